"""OpenAI's speech and transcriptions, without a server around them."""

from __future__ import annotations

import base64
import io
import wave
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.testing.upstreams.audio import (
    HEARD_TOKENS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    recording,
)
from inferworks.testing.upstreams.forms import FILES
from inferworks.testing.upstreams.script import Answer, Reports

ANSWER = Answer(words=("Good", " day"), input_tokens=3)
BOUNDARY = "x"


def json_exchange(body: bytes) -> Any:
    """A request in JSON."""
    return SimpleNamespace(body=body, headers={})


def form_exchange(*files: bytes, **fields: str) -> Any:
    """A form of files and fields."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    parts = [(head % (name, "")).encode() + value.encode() for name, value in fields.items()]
    parts += [(head % ("file", '; filename="a.wav"')).encode() + file for file in files]
    body = b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
    kind = f"multipart/form-data; boundary={BOUNDARY}".encode()
    return SimpleNamespace(body=body, headers={b"content-type": kind})


def heard(file: bytes, **fields: object) -> dict[str, Any]:
    """A form that was read."""
    return {FILES: [("file", file)], **fields}


@pytest.mark.parametrize(
    ("length_ms", "samples_per_s", "frames"),
    [(0, 8000, 0), (1, 8000, 8), (1500, 8000, 12_000), (1000, 16_000, 16_000)],
)
def test_a_recording_is_as_long_as_asked(length_ms: int, samples_per_s: int, frames: int) -> None:
    """A WAV of one channel of silence, which the standard library reads."""
    with wave.open(io.BytesIO(recording(length_ms, samples_per_s=samples_per_s))) as sound:
        assert (sound.getnframes(), sound.getframerate()) == (frames, samples_per_s)
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        assert not any(sound.readframes(frames))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", None),
        (b'{"response_format": "ogg"}', None),
        (b'{"response_format": null}', {"response_format": None, "stream": False}),
        (b'{"stream_format": "sse"}', {"stream_format": "sse", "stream": True}),
        (b'{"stream_format": "audio"}', {"stream_format": "audio", "stream": False}),
    ],
)
def test_speech_is_streamed_as_events_on_request(body: bytes, expected: object) -> None:
    """A format of sound that is not known is refused, and none is MP3."""
    assert SPEECH.read(json_exchange(body)) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, b"audio/mpeg"), ("mp3", b"audio/mpeg"), ("opus", b"audio/opus"),
        ("aac", b"audio/aac"), ("flac", b"audio/flac"), ("wav", b"audio/wav"), ("pcm", b"audio/pcm"),
    ],
)  # fmt: skip
def test_speech_is_the_words_as_bytes(name: str | None, kind: bytes) -> None:
    """Each word is a piece, under the content type of its format."""
    written = SPEECH.written(ANSWER, {"response_format": name})
    assert (written.content_type, written.pieces) == (kind, (b"Good", b" day"))


@pytest.mark.parametrize("reports", Reports)
def test_events_of_speech_end_with_usage(reports: Reports) -> None:
    """The sound is the words; the tokens of both sides add up, unless none are reported."""
    answer = Answer(words=("Good", " day"), input_tokens=3, reports=reports)
    *deltas, done = SPEECH.events(answer, {})
    assert [base64.b64decode(event["audio"]) for event in deltas] == [b"Good", b" day"]
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert done == {"type": "speech.audio.done"} | (
        {} if reports is Reports.NEVER else {"usage": usage}
    )


def test_a_form_with_one_recording_is_read() -> None:
    """Its fields come by name, its file as bytes."""
    file = recording(10)
    request = TRANSCRIPTIONS.read(form_exchange(file, model="whisper-1", stream="true"))
    assert request == heard(file, model="whisper-1", stream=True, n=1)


@pytest.mark.parametrize(
    "exchange",
    [
        json_exchange(b"{}"),
        form_exchange(model="whisper-1"),
        form_exchange(b"one", b"two"),
        form_exchange(b"RIFFbroken"),
        form_exchange(b"an MP3", response_format="verbose_json"),
    ],
    ids=["no form", "no file", "two files", "a broken WAV", "a length that cannot be told"],
)
def test_a_form_that_cannot_be_heard_is_refused(exchange: Any) -> None:
    """Another file than a WAV is taken at its word, but for its length."""
    assert TRANSLATIONS.read(exchange) is None
    assert TRANSLATIONS.read(form_exchange(b"an MP3")) is not None


@pytest.mark.parametrize(
    ("reports", "usage"),
    [
        (Reports.NEVER, None),
        (Reports.ALWAYS, {"type": "duration", "seconds": 1.5}),
        (
            Reports.AS_ASKED,
            {
                "type": "tokens",
                "input_tokens": HEARD_TOKENS,
                "input_token_details": {"text_tokens": 0, "audio_tokens": HEARD_TOKENS},
                "output_tokens": 2,
                "total_tokens": HEARD_TOKENS + 2,
            },
        ),
    ],
)
def test_a_transcription_has_its_usage(reports: Reports, usage: object) -> None:
    """In tokens, or in seconds of sound; the last event of a stream has what the whole has."""
    answer = Answer(words=("Good", " day"), reports=reports)
    expected = {"text": "Good day"} | ({} if usage is None else {"usage": usage})
    request = heard(recording(1500))
    assert TRANSLATIONS.whole(answer, request) == expected
    *deltas, done = TRANSCRIPTIONS.events(answer, request)
    assert [event["delta"] for event in deltas] == ["Good", " day"]
    assert done == {"type": "transcript.text.done", **expected}
    assert TRANSLATIONS.events(answer, request) is None


def test_the_length_of_another_file_is_estimated() -> None:
    """16,000 bytes are a second, as in an MP3 of the usual quality."""
    answer = Answer(reports=Reports.ALWAYS)
    request = heard(b"x" * 4000)
    assert TRANSLATIONS.whole(answer, request)["usage"] == {"type": "duration", "seconds": 0.25}


def test_a_verbose_answer_has_the_length() -> None:
    """The length is rounded to a hundredth of a second."""
    body = TRANSLATIONS.whole(ANSWER, heard(recording(1234), response_format="verbose_json"))
    assert (body["duration"], body["text"], body["task"]) == (1.23, "Good day", "transcribe")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text", b"Good day\n"),
        ("srt", b"1\n00:00:00,000 --> 00:00:01,000\nGood day\n\n"),
        ("json", None),
        ("verbose_json", None),
        (None, None),
    ],
)
def test_texts_and_subtitles_are_no_json(name: str | None, expected: bytes | None) -> None:
    """Every other format is JSON."""
    request = {} if name is None else {"response_format": name}
    written = TRANSLATIONS.written(ANSWER, request)
    if expected is None:
        assert written is None
    else:
        assert written is not None
        assert written.content_type == b"text/plain; charset=utf-8"
        assert written.pieces == (expected,)
