"""Usage of pictures: tokens as they are told, and pictures as they come."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.operations import form_call, json_call

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.audio import TranscriptionReader
from inferworks.cloud.usage_parsers.images import ImagesReader
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Items, Tokens


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
    assert chunk.reported is not None
    assert (chunk.reported.tokens.input, chunk.reported.tokens.output) == (read, made)
    assert chunk.reported.tokens.flaw() is None
    assert chunk.reported.items == Items(images=number)
    if drawn is None:
        assert chunk.reported.tokens.output_image == made


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
    assert second.reported == ReportedUsage(Tokens(6, 20, output_image=20), Items(images=2))
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
