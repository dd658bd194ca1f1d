"""OpenAI's speech, transcriptions and translations of speech: what we read of a request.

Speech is always taken for a stream: it comes as it is made, as sound or (`stream_format: sse`) as events,
and is handed on like that. A transcription is one only on request, and only with the models that do so.

Sources: https://platform.openai.com/docs/api-reference/audio/createSpeech, /audio/createTranscription,
/audio/createTranslation
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from inferworks.api.wire.base import Asked, Form
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.form_fields import decode_form
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation

_Name = Annotated[str, Meta(min_length=1, max_length=256)]


class SpeechRequest(msgspec.Struct, gc=False):
    """The parameters of `audio.speech` that we check."""

    model: _Name
    input: Annotated[str, Meta(min_length=1)]
    voice: str | dict[str, msgspec.Raw] | None = None
    """A name, or an object with the id of a voice of one's own; some engines have but one voice."""
    response_format: str | None = None
    speed: float | None = None
    stream_format: Literal["sse", "audio"] | None = None


class TranscriptionFields(msgspec.Struct, gc=False):
    """The fields of an `audio.transcriptions` form that we check."""

    model: _Name
    stream: bool = False
    stream_include_usage: bool = False
    """vLLM's: an event with the usage, before the end of a stream."""
    response_format: str = "json"


class TranslationFields(msgspec.Struct, gc=False):
    """The fields of an `audio.translations` form that we check. There are no streams of it."""

    model: _Name
    response_format: str = "json"


_decode = msgspec.json.Decoder(SpeechRequest).decode


def decode_speech(body: bytes, _content_type: bytes = b"") -> Asked:
    """The request in `body`; CallError 400 when it is wrong."""
    return Asked(decode_json(body, _decode).model, stream=True)


def decode_transcription(body: bytes, content_type: bytes) -> Asked:
    """The form in `body`; CallError 400 when it is wrong."""
    fields = decode_form(body, content_type, TranscriptionFields, file=("file",))
    return Asked(fields.model, stream=fields.stream, wants_usage=fields.stream_include_usage)


def decode_translation(body: bytes, content_type: bytes) -> Asked:
    """The form in `body`; CallError 400 when it is wrong."""
    return Asked(decode_form(body, content_type, TranslationFields, file=("file",)).model)


SPEECH = Form(Operation.SPEECH, decode_speech, OPENAI_ERRORS, request=SpeechRequest)
TRANSCRIPTIONS = Form(
    Operation.TRANSCRIPTIONS, decode_transcription, OPENAI_ERRORS, fields=TranscriptionFields
)
TRANSLATIONS = Form(
    Operation.TRANSLATIONS, decode_translation, OPENAI_ERRORS, fields=TranslationFields
)
