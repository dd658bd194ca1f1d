"""Usage of OpenAI's responses, whole and counted along a stream."""

from __future__ import annotations

import json

from tests.support.readers import RESPONSE_EXAMPLE, read, reader_of

from inferworks.cloud.call import Chunk
from inferworks.cloud.operation import Operation
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


def test_a_failed_response_is_an_answer() -> None:
    """A failed response was worked on: it passes, and its usage is told."""
    failed = {**RESPONSE_EXAMPLE, "status": "failed", "error": {"code": "server_error"}}
    chunk = read(Operation.RESPONSES, failed)
    assert chunk.last
    assert chunk.reported is not None
    event = (
        b"event: response.failed\ndata: "
        + json.dumps({"type": "response.failed", "response": failed}).encode()
        + b"\n\n"
    )
    streamed = reader_of(Operation.RESPONSES).event(event)
    assert (streamed.last, streamed.reported, streamed.data) == (True, chunk.reported, event)


def test_a_stream_of_responses_is_counted_along() -> None:
    """By its events or its words; the count is marked as ours until the upstream tells."""
    reader = reader_of(Operation.RESPONSES)
    delta = b'event: x\ndata: {"type":"response.output_text.delta","delta":"%s"}\n\n'
    first, long = reader.event(delta % b"a"), reader.event(delta % (b"a" * 40))
    assert first.reported is not None
    assert long.reported is not None
    assert (first.reported.tokens.output, long.reported.tokens.output) == (1, 10)
    assert long.reported.is_estimate
    assert reader.event(b": ping\n\n").reported is None
    other = b'data: {"type":"response.new.thing","delta":{"x":1},"response":{"usage":null}}\n\n'
    assert reader.event(other) == Chunk(other)


def test_half_a_letter_in_a_response_passes() -> None:
    """As it came, and what is counted along and told is read."""
    reader = reader_of(Operation.RESPONSES)
    response = {"object": "response", "output": [{"text": "\ud83d"}],
                "usage": {"input_tokens": 10, "output_tokens": 2}}  # fmt: skip
    for body in (
        {"type": "response.output_text.delta", "delta": "\ud83d"},
        {"type": "response.completed", "response": response},
    ):
        event = f"data: {json.dumps(body)}\n\n".encode()
        chunk = reader.event(event)
        assert chunk.data == event
        assert chunk.reported is not None
    assert chunk.reported == ReportedUsage(Tokens(10, 2))
    assert reader.whole(json.dumps(response).encode()).reported == ReportedUsage(Tokens(10, 2))
