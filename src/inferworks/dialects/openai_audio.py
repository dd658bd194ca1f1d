"""OpenAI's speech, transcriptions and translations of speech, also as vLLM has them.

Sources: https://platform.openai.com/docs/api-reference/audio, /audio/speech-audio-done-event,
/audio/transcript-text-done-event, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from inferworks.dialects.openai_usage import InputTokenDetails
from inferworks.dialects.token_conventions import Count

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Seconds = Annotated[float, Meta(ge=0, le=7 * 86_400)]


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


class AudioUsage(msgspec.Struct):
    """The `usage` object of speech and of transcriptions, of any type; None is what it does not say."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens: Count | None = None
    """With `completion_tokens`, what vLLM calls them."""
    completion_tokens: Count | None = None
    input_token_details: InputTokenDetails | None = None
    seconds: _Seconds | None = None


class TranscribedDelta(msgspec.Struct):
    """Text that an event of vLLM's adds."""

    content: str | None = None


class TranscribedChoice(msgspec.Struct):
    """A choice of vLLM's, whose transcriptions stream as chats do."""

    delta: TranscribedDelta | None = None
    finish_reason: str | None = None


class MeteredAudio(msgspec.Struct):
    """Fields of an answer or an event that are read."""

    type: str = ""
    choices: list[TranscribedChoice] | None = None
    text: str | None = None
    delta: str | None = None
    usage: AudioUsage | None = None
    duration: _Seconds | str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def new_text(self) -> str:
        """Text that an event adds: OpenAI's `delta`, or vLLM's, which is that of a chat."""
        deltas = [choice.delta for choice in self.choices or () if choice.delta is not None]
        return (self.delta or "") + "".join(delta.content or "" for delta in deltas)


class MeteredSpeechRequest(msgspec.Struct):
    """Text to be spoken, whose characters are counted; the gateway has checked the rest."""

    input: str = ""


class MeteredTranscriptionFields(msgspec.Struct):
    """Form of a transcription, by which it has its usage or has none."""

    response_format: str = "json"
