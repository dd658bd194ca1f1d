"""OpenAI's speech, transcriptions and translations of speech: what we read of a request.

Speech is always taken for a stream: it comes as it is made, as sound or (`stream_format: sse`) as events,
and is handed on like that. A transcription is one only on request, and only with the models that do so.

Sources: https://platform.openai.com/docs/api-reference/audio/createSpeech, /audio/createTranscription,
/audio/createTranslation
"""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.api.wire.decoding import decode_json
from inferworks.api.wire.form_fields import decode_form
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.cloud.operation import Operation
from inferworks.dialects.openai_audio import (
    SpeechRequest,
    TranscriptionFields,
    TranslationFields,
)

_decode = msgspec.json.Decoder(SpeechRequest).decode


def decode_speech(body: bytes, _content_type: bytes = b"") -> RequestInfo:
    """The request in `body`; CallError 400 when it is wrong."""
    return RequestInfo(decode_json(body, _decode).model, stream=True)


def decode_transcription(body: bytes, content_type: bytes) -> RequestInfo:
    """The form in `body`; CallError 400 when it is wrong."""
    fields = decode_form(body, content_type, TranscriptionFields, file=("file",))
    return RequestInfo(fields.model, stream=fields.stream, wants_usage=fields.stream_include_usage)


def decode_translation(body: bytes, content_type: bytes) -> RequestInfo:
    """The form in `body`; CallError 400 when it is wrong."""
    return RequestInfo(decode_form(body, content_type, TranslationFields, file=("file",)).model)


SPEECH = EndpointSpec(Operation.SPEECH, decode_speech, OPENAI_ERRORS, request=SpeechRequest)
TRANSCRIPTIONS = EndpointSpec(
    Operation.TRANSCRIPTIONS, decode_transcription, OPENAI_ERRORS, fields=TranscriptionFields
)
TRANSLATIONS = EndpointSpec(
    Operation.TRANSLATIONS, decode_translation, OPENAI_ERRORS, fields=TranslationFields
)
