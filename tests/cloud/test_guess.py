"""What is guessed where nobody tells."""

from __future__ import annotations

import base64

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.cloud.call import Chunk, Told
from inferworks.cloud.guess import prompt_tokens, whole_usage
from inferworks.meter.usage import Confidence, Tokens
from inferworks.testing.providers import make_call

JSON = b"application/json"
PHOTOGRAPH = base64.b64encode(bytes(range(256)) * 400).decode()


def test_four_bytes_of_text_are_a_token() -> None:
    """A prompt is guessed by its size."""
    call = replace(make_call(), body=b"x" * 400)
    assert prompt_tokens(call) == 100


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PHOTOGRAPH}"}},
        {"type": "image", "source": {"type": "base64", "data": PHOTOGRAPH}},
        {"type": "input_audio", "input_audio": {"data": PHOTOGRAPH, "format": "wav"}},
    ],
)
def test_media_are_no_text(part: dict[str, object]) -> None:
    """A photograph or a sound in a prompt is not charged by its bytes."""
    body = msgspec.json.encode({"messages": [{"role": "user", "content": [part]}]})
    assert len(body) > 100_000
    assert prompt_tokens(replace(make_call(), body=body)) < 60


def test_a_form_is_no_text() -> None:
    """Nor are the parts of a form."""
    call = replace(make_call(), body=b"x" * 400, content_type=b"multipart/form-data; boundary=x")
    assert prompt_tokens(call) == 0


def test_what_is_told_is_not_guessed() -> None:
    """An answer that tells its usage is believed, also when it tells zeros."""
    told = Told(Tokens(0, 0))
    assert whole_usage(make_call(), Chunk(b"x" * 400, told, last=True), JSON) == (
        told,
        Confidence.REPORTED,
    )


@pytest.mark.parametrize(("content_type", "output"), [(JSON, 100), (b"audio/mpeg", 0)])
def test_a_silent_answer_is_guessed(content_type: bytes, output: int) -> None:
    """An answer that tells nothing is guessed by its text; a sound has none."""
    call = make_call()
    told, sure = whole_usage(call, Chunk(b"x" * 400, last=True), content_type)
    assert (told.tokens, sure) == (Tokens(len(call.body) // 4, output), Confidence.ESTIMATED)
