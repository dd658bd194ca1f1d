"""Usage of pictures, speech and transcriptions, and the length of a recording by its own header."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.support.operations import form_call, json_call

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.audio import SpeechReader, TranscriptionReader
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens
from inferworks.testing.upstreams.audio import recording


def event_of(body: dict[str, Any]) -> bytes:
    """A named event, as OpenAI writes them."""
    return f"event: {body.get('type', 'x')}\ndata: {json.dumps(body)}\n\n".encode()


def transcription(sound: bytes = b"", **fields: str) -> TranscriptionReader:
    """A reader of a transcription of `sound`."""
    return TranscriptionReader(
        form_call(Operation.TRANSCRIPTIONS, {"model": "m", **fields}, file=("file", sound))
    )


def test_speech_is_counted_in_characters() -> None:
    """A character is one whatever it weighs; sound that never began is no answer."""
    call = json_call(Operation.SPEECH, {"input": "für 🎉", "voice": "alloy"})
    reported = ReportedUsage(NO_TOKENS, Items(characters=5), is_counted=True)
    reader = SpeechReader(call)
    with pytest.raises(UpstreamError, match="empty"):
        reader.end()
    assert reader.piece(b"\xff") == Chunk(b"\xff", reported)
    assert reader.end() == Chunk(b"", reported, last=True)
    assert reader.whole(b"\xff") == Chunk(b"\xff", reported, last=True)
    for event in (b"data: {", event_of({"type": "error", "error": {"message": "no"}})):
        with pytest.raises(UpstreamError):
            reader.event(event)


@pytest.mark.parametrize(
    ("answer", "reported"),
    [
        (
            {"text": "a", "usage": {"type": "duration", "seconds": 2}},
            ReportedUsage(NO_TOKENS, Items(audio_ms=2000)),
        ),
        ({"text": "a", "duration": 1.2345}, ReportedUsage(NO_TOKENS, Items(audio_ms=1235))),
        ({"text": "a", "duration": 1.1}, ReportedUsage(NO_TOKENS, Items(audio_ms=1100))),
        ({"text": "a", "duration": 1.2, "usage": {"type": "duration", "seconds": 2}},
         ReportedUsage(NO_TOKENS, Items(audio_ms=2000))),
        ({"text": "a", "usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 2,
                                 "input_token_details": {"audio_tokens": 7}}},
         ReportedUsage(Tokens(9, 2, input_audio=7))),
        ({"text": "a", "usage": {"type": "tokens", "input_tokens": 0, "output_tokens": 0}},
         ReportedUsage(NO_TOKENS)),
        ({"text": "a", "duration": "1.5"}, ReportedUsage(NO_TOKENS, Items(audio_ms=250), is_counted=True)),
        ({"text": "a"}, ReportedUsage(NO_TOKENS, Items(audio_ms=250), is_counted=True)),
    ],
)  # fmt: skip
def test_what_a_transcription_tells(answer: dict[str, Any], reported: ReportedUsage) -> None:
    """Usage goes before duration, and both before our own measure; an explicit zero is told."""
    data = json.dumps(answer).encode()
    assert transcription(recording(250)).whole(data) == Chunk(data, reported, last=True)
    done = event_of({"type": "transcript.text.done", **answer})
    streamed = transcription(recording(250)).event(done)
    assert (streamed.reported, streamed.last) == (reported, True)


def test_text_is_not_read() -> None:
    """A transcript may be any text, one that looks like an error of ours too."""
    for form in ("text", "srt", "vtt"):
        chunk = transcription(recording(250), response_format=form).whole(b'{"error": {}}')
        assert chunk.reported == ReportedUsage(NO_TOKENS, Items(audio_ms=250), is_counted=True)


def test_a_stream_of_text_is_counted_along() -> None:
    """Amid a stream its text and the recording's length are known, as an estimate."""
    reader = transcription(recording(250), stream="true")
    delta = event_of({"type": "transcript.text.delta", "delta": "a" * 40})
    reader.event(delta)
    assert reader.event(delta).reported == ReportedUsage(
        Tokens(output=20), Items(audio_ms=250), is_estimate=True
    )
    last = reader.event(b"data: [DONE]\n\n")
    assert (last.last, last.reported) == (
        True,
        ReportedUsage(NO_TOKENS, Items(audio_ms=250), is_counted=True),
    )
    assert reader.event(b": ping\n\n") == Chunk(b": ping\n\n")


@pytest.mark.parametrize("wanted", [False, True])
def test_a_stream_of_a_transcription_as_vllm_writes_it(wanted: bool) -> None:
    """Its usage comes in an event of its own, which is for those who asked; `[DONE]` is the end."""
    call = form_call(
        Operation.TRANSCRIPTIONS, {"model": "m", "stream": "true"}, file=("file", recording(250))
    )
    reader = TranscriptionReader(msgspec.structs.replace(call, wants_usage=wanted))
    text = {"object": "transcription.chunk", "choices": [{"index": 0, "delta": {"content": "ab"}}]}
    first = reader.event(event_of(text))
    assert first.reported == ReportedUsage(Tokens(output=1), Items(audio_ms=250), is_estimate=True)
    used = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    usage = event_of({"object": "transcription.chunk", "choices": [], "usage": used})
    assert reader.event(usage) == Chunk(usage if wanted else b"", ReportedUsage(Tokens(7, 2)))
    assert reader.event(b"data: [DONE]\n\n") == Chunk(
        b"data: [DONE]\n\n", ReportedUsage(Tokens(7, 2)), last=True
    )
