"""Usage of pictures, speech and transcriptions, and the length of a recording by its own header."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.operations import form_call, json_call

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.audio import SpeechReader, TranscriptionReader
from inferworks.cloud.usage_parsers.audio_length import length_ms
from inferworks.cloud.usage_parsers.images import ImagesReader
from inferworks.cloud.usage_parsers.stability import StableImageReader
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens
from inferworks.testing.upstreams.audio import recording


def event_of(body: dict[str, Any]) -> bytes:
    """A named event, as OpenAI writes them."""
    return f"event: {body.get('type', 'x')}\ndata: {json.dumps(body)}\n\n".encode()


def images(**fields: object) -> ImagesReader:
    """A reader of pictures."""
    return ImagesReader(json_call(Operation.IMAGES, {"prompt": "A cat.", **fields}))


def transcription(sound: bytes = b"", **fields: str) -> TranscriptionReader:
    """A reader of a transcription of `sound`."""
    return TranscriptionReader(
        form_call(Operation.TRANSCRIPTIONS, {"model": "m", **fields}, file=("file", sound))
    )


COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, st.none() | COUNT, st.none() | COUNT, st.integers(0, 10))
def test_pictures_tell_consistent_tokens(
    read: int, made: int, seen: int | None, drawn: int | None, number: int
) -> None:
    """Totals are kept, parts fit and pictures are those that came, whatever is told."""
    usage = {
        "input_tokens": read,
        "output_tokens": made,
        "input_tokens_details": {"image_tokens": seen, "text_tokens": 0},
        "output_tokens_details": None if drawn is None else {"image_tokens": drawn},
    }
    body = json.dumps({"created": 1, "data": [{"b64_json": "x"}] * number, "usage": usage}).encode()
    chunk = images().whole(body)
    assert chunk.told is not None
    assert (chunk.told.tokens.input, chunk.told.tokens.output) == (read, made)
    assert chunk.told.tokens.flaw() is None
    assert chunk.told.items == Items(images=number)
    if drawn is None:
        assert chunk.told.tokens.output_image == made


def test_two_pictures_in_one_stream() -> None:
    """The stream ends with the last that was asked for; tokens of both are summed."""
    reader = images(n=2, stream=True)
    done = {"type": "image_generation.completed", "b64_json": "x",
            "usage": {"input_tokens": 3, "output_tokens": 10}}  # fmt: skip
    partial = event_of({"type": "image_generation.partial_image", "b64_json": "x"})
    before = reader.event(partial)
    assert before == Chunk(partial, ReportedUsage(NO_TOKENS, Items(images=2), is_estimate=True))
    first, second = reader.event(event_of(done)), reader.event(event_of(done))
    assert (first.last, second.last) == (False, True)
    assert second.told == ReportedUsage(Tokens(6, 20, output_image=20), Items(images=2))
    assert reader.event(b": ping\n\n") == Chunk(b": ping\n\n")
    assert reader.event(b"data: [DONE]\n\n").last
    with pytest.raises(UpstreamError):
        images().event(b"data: [DONE]\n\n")


@pytest.mark.parametrize("reader", [images(), transcription()], ids=["images", "transcription"])
@pytest.mark.parametrize(
    "data",
    [b"x", b"[]", b'{"error":{"message":"no"}}', b'{"type":"error","error":{"message":"no"}}'],
)
def test_an_error_event_breaks_the_answer(
    reader: ImagesReader | TranscriptionReader, data: bytes
) -> None:
    """An error in the clothes of an event, and what cannot be read, fail the attempt."""
    with pytest.raises(UpstreamError):
        reader.event(b"data: " + data + b"\n\n")
    with pytest.raises(UpstreamError):
        reader.whole(data)


def test_speech_is_counted_in_characters() -> None:
    """A character is one whatever it weighs; sound that never began is no answer."""
    call = json_call(Operation.SPEECH, {"input": "für 🎉", "voice": "alloy"})
    told = ReportedUsage(NO_TOKENS, Items(characters=5), is_counted=True)
    reader = SpeechReader(call)
    with pytest.raises(UpstreamError, match="empty"):
        reader.end()
    assert reader.piece(b"\xff") == Chunk(b"\xff", told)
    assert reader.end() == Chunk(b"", told, last=True)
    assert reader.whole(b"\xff") == Chunk(b"\xff", told, last=True)
    for event in (b"data: {", event_of({"type": "error", "error": {"message": "no"}})):
        with pytest.raises(UpstreamError):
            reader.event(event)


@pytest.mark.parametrize(
    ("answer", "told"),
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
def test_what_a_transcription_tells(answer: dict[str, Any], told: ReportedUsage) -> None:
    """Usage goes before duration, and both before our own measure; an explicit zero is told."""
    data = json.dumps(answer).encode()
    assert transcription(recording(250)).whole(data) == Chunk(data, told, last=True)
    done = event_of({"type": "transcript.text.done", **answer})
    streamed = transcription(recording(250)).event(done)
    assert (streamed.told, streamed.last) == (told, True)


def test_text_is_not_read() -> None:
    """A transcript may be any text, one that looks like an error of ours too."""
    for form in ("text", "srt", "vtt"):
        chunk = transcription(recording(250), response_format=form).whole(b'{"error": {}}')
        assert chunk.told == ReportedUsage(NO_TOKENS, Items(audio_ms=250), is_counted=True)


def test_a_stream_of_text_is_counted_along() -> None:
    """Amid a stream its text and the recording's length are known, as an estimate."""
    reader = transcription(recording(250), stream="true")
    delta = event_of({"type": "transcript.text.delta", "delta": "a" * 40})
    reader.event(delta)
    assert reader.event(delta).told == ReportedUsage(
        Tokens(output=20), Items(audio_ms=250), is_estimate=True
    )
    last = reader.event(b"data: [DONE]\n\n")
    assert (last.last, last.told) == (
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
    assert first.told == ReportedUsage(Tokens(output=1), Items(audio_ms=250), is_estimate=True)
    used = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    usage = event_of({"object": "transcription.chunk", "choices": [], "usage": used})
    assert reader.event(usage) == Chunk(usage if wanted else b"", ReportedUsage(Tokens(7, 2)))
    assert reader.event(b"data: [DONE]\n\n") == Chunk(
        b"data: [DONE]\n\n", ReportedUsage(Tokens(7, 2)), last=True
    )


@pytest.mark.parametrize("data", [b"", b"{}", b'{"errors":["no"]}', b"{", b'{"image":1}'])
def test_no_picture_is_no_answer(data: bytes) -> None:
    """JSON without a picture, and nothing at all, are no pictures."""
    call = form_call(Operation.STABLE_IMAGE, {"prompt": "A cat."})
    with pytest.raises(UpstreamError):
        StableImageReader(call).whole(data)
    with pytest.raises(UpstreamError):
        StableImageReader(call).event(data)


def test_a_request_that_cannot_be_read_was_not_sent() -> None:
    """A reader is made before anything is charged for; the door lets nothing through that fails here."""
    call = json_call(Operation.SPEECH, {"input": 1})
    with pytest.raises(UpstreamError) as caught:
        SpeechReader(call)
    assert not caught.value.sent
    with pytest.raises(UpstreamError, match="no recording"):
        TranscriptionReader(json_call(Operation.TRANSCRIPTIONS, {})).whole(b"{}")


@given(
    st.integers(0, 5000),
    st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]),
    st.integers(1, 2),
    st.integers(1, 4),
    st.binary(max_size=30),
)
def test_wav(frames: int, rate: int, channels: int, width: int, extra: bytes) -> None:
    """A file that the standard library writes has the length it says, rounded up to a millisecond."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(bytes(frames * channels * width))
    written = file.getvalue()
    exact = -(-frames * 1000 // rate)
    assert length_ms(written) == (exact or None)
    padded = extra + b"\0" * (len(extra) % 2)
    chunk = b"LIST" + len(extra).to_bytes(4, "little") + padded
    assert length_ms(written[:12] + chunk + written[12:]) == (exact or None)
    streamed = bytearray(written)
    for size in (0, 0xFFFFFFFF):  # one that was never finished
        streamed[40:44] = size.to_bytes(4, "little")
        assert length_ms(bytes(streamed)) == (exact or None)
    cheap = bytearray(written)
    cheap[28:32] = (0xFFFFFFFF).to_bytes(4, "little")  # a rate of bytes that no decoder looks at
    assert length_ms(bytes(cheap)) == (exact or None)


@pytest.mark.slow
@given(st.integers(1, (1 << 20) - 1), st.integers(1, (1 << 36) - 1))
def test_flac(rate: int, samples: int) -> None:
    """The first block says how many samples there are and how many a second has."""
    packed = (rate << 44 | 1 << 41 | 15 << 36 | samples).to_bytes(8, "big")
    header = b"fLaC\x80\0\0\x22" + bytes(10) + packed + bytes(16)
    assert length_ms(header) == -(-samples * 1000 // rate)


@given(st.sampled_from([b"RIFF\0\0\0\0WAVE", b"fLaC", b""]), st.binary(max_size=80))
def test_damaged_headers_say_nothing_wrong(head: bytes, rest: bytes) -> None:
    """Noise after a good beginning is a length above zero, or none, and never an exception."""
    found = length_ms(head + rest)
    assert found is None or found > 0
