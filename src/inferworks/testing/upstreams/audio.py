"""OpenAI's speech and transcriptions as a fake upstream makes them.

Speech is the words of the answer as bytes. A transcription is the words of the answer; the recording is
measured with the standard library's `wave`. Usage is in tokens, or with `Reports.ALWAYS` in seconds of
sound.

Sources: https://platform.openai.com/docs/api-reference/audio/createSpeech, /audio/createTranscription,
/audio/transcript-text-done-event
"""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator

from inferworks.http.exchange import Exchange
from inferworks.testing.upstreams.forms import FILES, read_form
from inferworks.testing.upstreams.script import Answer, Body, Reports, Wire, Written, read_json

HEARD_TOKENS = 14
"""Tokens of any recording, however long."""
_BYTES_PER_S = 16_000
"""Bytes per second of a recording that is no WAV: an MP3 of the usual quality."""
_SOUNDS = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
"""The content type of each `response_format`; another is refused."""


def recording(length_ms: int, *, samples_per_s: int = 8000) -> bytes:
    """A WAV of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(samples_per_s)
        sound.writeframes(bytes(2 * samples_per_s * length_ms // 1000))
    return file.getvalue()


def _sound_of(request: Body) -> str:
    return str(request.get("response_format") or "mp3")


def _usage(answer: Answer, request: Body) -> Body:
    if answer.reports is Reports.NEVER:
        return {}
    if answer.reports is Reports.ALWAYS:
        return {"usage": {"type": "duration", "seconds": _heard_s(request)}}
    written = len(answer.words)
    details = {"text_tokens": 0, "audio_tokens": HEARD_TOKENS}
    usage = {
        "type": "tokens",
        "input_tokens": HEARD_TOKENS,
        "input_token_details": details,
        "output_tokens": written,
        "total_tokens": HEARD_TOKENS + written,
    }
    return {"usage": usage}


def _heard_s(request: Body) -> float:
    ((_, heard),) = request[FILES]
    measured = _measured_s(heard)
    return len(heard) / _BYTES_PER_S if measured is None else measured


def _measured_s(heard: bytes) -> float | None:
    try:
        with wave.open(io.BytesIO(heard)) as sound:
            return float(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, RuntimeError, ZeroDivisionError):
        return None  # a bare RuntimeError is of a part that is longer than the file


class _Speech(Wire):
    named = True

    def read(self, exchange: Exchange) -> Body | None:
        request = read_json(exchange)
        if request is None or _sound_of(request) not in _SOUNDS:
            return None
        return {**request, "stream": request.get("stream_format") == "sse"}

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        for word in answer.words:
            yield {"type": "speech.audio.delta", "audio": base64.b64encode(word.encode()).decode()}
        done: Body = {"type": "speech.audio.done"}
        if answer.reports is not Reports.NEVER:
            spoken = len(answer.words)
            read = answer.input_tokens
            total = read + spoken
            done["usage"] = {"input_tokens": read, "output_tokens": spoken, "total_tokens": total}
        yield done

    def written(self, answer: Answer, request: Body) -> Written:
        return Written(_SOUNDS[_sound_of(request)], tuple(word.encode() for word in answer.words))


class _Translations(Wire):
    """Transcriptions into English, never streamed."""

    def read(self, exchange: Exchange) -> Body | None:
        """The form; None where its one file is a broken WAV, or its length is wanted and cannot be told."""
        request = read_form(exchange)
        if request is None or len(request[FILES]) != 1:
            return None
        ((_, heard),) = request[FILES]
        must_be_measured = heard[:4] == b"RIFF" or request.get("response_format") == "verbose_json"
        return None if must_be_measured and _measured_s(heard) is None else request

    def whole(self, answer: Answer, request: Body) -> Body:
        text = "".join(answer.words)
        if request.get("response_format") == "verbose_json":
            return {
                "task": "transcribe", "language": "english", "text": text, "segments": [],
                "duration": round(_heard_s(request), 2), **_usage(answer, request),
            }  # fmt: skip
        return {"text": text, **_usage(answer, request)}

    def written(self, answer: Answer, request: Body) -> Written | None:
        text = "".join(answer.words)
        kind = b"text/plain; charset=utf-8"
        match request.get("response_format", "json"):
            case "text":
                return Written(kind, (text.encode() + b"\n",))
            case "srt":
                lines = f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n"
                return Written(kind, (lines.encode(),))
        return None


class _Transcriptions(_Translations):
    named = True

    def events(self, answer: Answer, request: Body) -> Iterator[Body]:
        for word in answer.words:
            yield {"type": "transcript.text.delta", "delta": word}
        text = "".join(answer.words)
        yield {"type": "transcript.text.done", "text": text, **_usage(answer, request)}


SPEECH = _Speech()
TRANSCRIPTIONS = _Transcriptions()
TRANSLATIONS = _Translations()
