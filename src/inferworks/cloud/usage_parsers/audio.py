"""Usage parsers of OpenAI's speech and transcriptions, with counts where no usage is reported.

**Speech** is billed by the characters that are spoken or by tokens. Audio has no place to report either, so
the characters are counted in the request, which is exact; asked for events (`stream_format: sse`) the newer
models report their tokens with the last one, and both are recorded.

**Transcriptions** report the length of the recording (`usage` of the type `duration`, or `duration` in the
verbose form), or tokens. As text or as subtitles they report nothing; nor do some servers ever. Then the
length is taken from the recording's own header where it has one (exact), and else from its size at 128
kbit/s (an estimate). While a stream of one is under way its text is counted, as an estimate. vLLM writes
its streams as those of a chat, and reports tokens in an event of their own when asked to.

Sources: https://platform.openai.com/docs/api-reference/audio, /audio/speech-audio-done-event,
/audio/transcript-text-done-event, https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from inferworks.cloud.bodies.bounds import check_answer
from inferworks.cloud.bodies.lenient import read_answer
from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.usage_parsers.audio_length import length_ms
from inferworks.cloud.usage_parsers.clamped import clamped, highest
from inferworks.cloud.usage_parsers.in_band import is_empty, refusal
from inferworks.cloud.usage_parsers.request_fields import asked
from inferworks.dialects.openai_audio import (
    AudioUsage,
    MeteredAudio,
    MeteredSpeechRequest,
    MeteredTranscriptionFields,
)
from inferworks.dialects.openai_usage import InputTokenDetails
from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.multipart import is_form, read_parts
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens

_BYTES_PER_TOKEN: Final = 4
_MS_PER_SECOND: Final = 1000
_USUAL_BYTES_PER_MS: Final = 16
"""128 kbit/s, the usual rate of compressed sound."""
_TEXTS: Final = frozenset({"text", "srt", "vtt"})
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_read_body = msgspec.json.Decoder(MeteredAudio)


class SpeechReader:
    """Reads speech, as sound or as events."""

    def __init__(self, call: Call) -> None:
        characters = len(asked(call, MeteredSpeechRequest).input)
        self._items = Items(characters=characters)
        self._reported = ReportedUsage(NO_TOKENS, self._items, is_counted=True)
        self._is_begun = False

    def whole(self, data: bytes) -> Chunk:
        """All the sound at once."""
        return Chunk(data, self._reported, last=True)

    def piece(self, data: bytes) -> Chunk:
        """Pass on a piece of audio."""
        self._is_begun = True
        return Chunk(data, self._reported)

    def end(self) -> Chunk:
        """Return the last chunk; UpstreamError when the answer is empty."""
        if not self._is_begun:
            raise UpstreamError("the answer is empty", sent=True)
        return Chunk(b"", self._reported, last=True)

    def ended(self) -> Chunk | None:
        """Return None: events without their last one are not whole."""
        return None

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        if data == DONE:
            if not self._is_begun:
                raise UnreadableError("it has no sound")
            return Chunk(event, last=True)
        body = _read(data)
        self._is_begun = True
        if body.type != "speech.audio.done":
            return Chunk(event, self._reported)
        usage = body.usage
        if usage is None or usage.input_tokens is None:
            return Chunk(event, self._reported, last=True)
        spoken = usage.output_tokens or 0
        tokens = Tokens(usage.input_tokens, spoken, output_audio=spoken)
        return Chunk(event, ReportedUsage(tokens, self._items), last=True)


class TranscriptionReader:
    """Reads a transcription, whole or in events."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._heard: ReportedUsage | None = None
        self._reported: ReportedUsage | None = None
        """Usage that a stream has reported before its end."""
        self._seen = 0
        """Tokens of text, by our own count."""
        self._is_begun = self._has_ended = False

    def whole(self, data: bytes) -> Chunk:
        """A whole transcription, in the form that was asked for."""
        if asked(self._call, MeteredTranscriptionFields).response_format in _TEXTS:
            return Chunk(data, self._by_recording(), last=True)
        body = _read(data)
        return Chunk(data, _reported(body) or self._by_recording(), last=True)

    def event(self, event: bytes) -> Chunk:
        """One event; all of them pass."""
        data = event_data(event)
        if not data:
            return Chunk(event)  # a comment
        if data == DONE:
            if not self._is_begun:
                raise UnreadableError("it has no text")
            return Chunk(event, self._reported or self._by_recording(), last=True)
        body = _read(data)
        self._is_begun = True
        self._has_ended = self._has_ended or any(c.finish_reason for c in body.choices or ())
        if body.type == "transcript.text.done":
            return Chunk(event, _reported(body) or self._by_recording(), last=True)
        now = _reported(body)
        if now is not None:
            self._reported = now if self._reported is None else highest(self._reported, now)
        only_usage = body.choices is not None and not body.choices
        data = b"" if only_usage and not self._call.wants_usage else event
        if self._reported is not None:
            return Chunk(data, self._reported)
        if body.new_text:
            self._seen += max(1, len(body.new_text) // _BYTES_PER_TOKEN)
        items = self._by_recording().items
        return Chunk(data, ReportedUsage(Tokens(output=self._seen), items, is_estimate=True))

    def ended(self) -> Chunk | None:
        """The last chunk of a stream, written as a chat's, that ends without `[DONE]`."""
        if not self._has_ended:
            return None
        return Chunk(b"data: %b\n\n" % DONE, self._reported or self._by_recording(), last=True)

    def _by_recording(self) -> ReportedUsage:
        """Return the length of the recording that was sent, as usage."""
        if self._heard is None:
            self._heard = _heard(self._call)
        return self._heard


def _heard(call: Call) -> ReportedUsage:
    """The length of the recording that `call` brings: by its header, else by its size."""
    body = call.body
    parts = read_parts(body, call.content_type) if is_form(call.content_type) else ()
    for part in parts:
        if part.name == "file":
            exact_ms = length_ms(memoryview(body)[part.start : part.end])
            if exact_ms is not None:
                return ReportedUsage(NO_TOKENS, Items(audio_ms=exact_ms), is_counted=True)
            about_ms = -(-(part.end - part.start) // _USUAL_BYTES_PER_MS)
            return ReportedUsage(NO_TOKENS, Items(audio_ms=about_ms), is_estimate=True)
    raise UpstreamError("the request has no recording", sent=False)


def _reported(body: MeteredAudio) -> ReportedUsage | None:
    """Return the usage that a transcription reports; None when it reports none."""
    usage = body.usage or AudioUsage()
    if usage.prompt_tokens is not None:
        return ReportedUsage(Tokens(usage.prompt_tokens, usage.completion_tokens or 0))
    if usage.input_tokens is not None:
        details = usage.input_token_details or InputTokenDetails()
        heard = details.audio_tokens or 0
        tokens = Tokens(usage.input_tokens, usage.output_tokens or 0, input_audio=heard)
        return ReportedUsage(clamped(tokens))
    seconds = body.duration if usage.seconds is None else usage.seconds
    if seconds is None or isinstance(seconds, str):
        return None
    exact_ms = round(seconds * _MS_PER_SECOND, 6)  # 1.1 s is no 1100.0000000000002 ms
    return ReportedUsage(NO_TOKENS, Items(audio_ms=math.ceil(exact_ms)))


def _read(data: bytes) -> MeteredAudio:
    """Read an answer or an event. UpstreamError when it is an error, or unreadable."""
    check_answer(data)
    body = read_answer(data, _read_body)
    if body.type == "error" or (body.text is None and not is_empty(body.error)):
        raise refusal(data)
    return body
