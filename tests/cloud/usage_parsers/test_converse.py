"""Usage and failures that Converse reports, whole and in events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.call import Call, Chunk
from inferworks.cloud.operation import Operation
from inferworks.cloud.usage_parsers.converse import ConverseEvents, ConverseReader
from inferworks.errors import UpstreamError
from inferworks.http.eventstream import written
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS, Tokens

CALL = Call(CallId("call_1"), Operation.CONVERSE, ModelId("m"), True, True, body=b"{}")


def answer(**usage: Any) -> ReportedUsage | None:
    """Usage read from a whole answer with these counts."""
    body = {"output": {}, "stopReason": "end_turn", "usage": usage}
    return ConverseReader(CALL).whole(msgspec.json.encode(body)).reported


def message(name: str, payload: bytes, kind: str = "event") -> bytes:
    """One binary message."""
    name_header = ":event-type" if kind == "event" else f":{kind}-type"
    return written({name_header: name, ":message-type": kind}, payload)


def read(*messages: bytes) -> list[Chunk]:
    """The chunks of a stream."""
    events, reader = ConverseEvents(), ConverseReader(CALL)
    return [reader.event(event) for event in events.feed(b"".join(messages))]


USAGES: dict[str, tuple[dict[str, Any], Tokens]] = {
    "plain": ({"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}, Tokens(5, 3)),
    "cached": (
        {
            "inputTokens": 5,
            "outputTokens": 3,
            "totalTokens": 25,
            "cacheReadInputTokens": 10,
            "cacheWriteInputTokens": 7,
        },
        Tokens(22, 3, cache_read=10, cache_write=7),
    ),
    "cached for an hour": (
        {
            "inputTokens": 5,
            "outputTokens": 3,
            "cacheWriteInputTokens": 7,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 3}],
        },
        Tokens(12, 3, cache_write=7, cache_write_1h=4),
    ),
    "cached, and in the input already": (
        {"inputTokens": 15, "outputTokens": 3, "totalTokens": 18, "cacheReadInputTokens": 10},
        Tokens(15, 3, cache_read=10),
    ),
    "a cache larger than the input": (
        {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8, "cacheReadInputTokens": 10},
        Tokens(15, 3, cache_read=10),
    ),
    "nulls": (
        {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8, "cacheReadInputTokens": None},
        Tokens(5, 3),
    ),
    "explicit zeros": ({"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}, NO_TOKENS),
}


@pytest.mark.parametrize("usage", USAGES)
def test_usage(usage: str) -> None:
    """The cache is part of our input, whether Bedrock adds it or has it in, by what its total says."""
    given_usage, tokens = USAGES[usage]
    assert answer(**given_usage) == ReportedUsage(tokens)


counts = st.integers(0, 10**9)


@given(counts, counts, counts, counts, st.none() | counts, st.lists(st.tuples(counts, counts)))
def test_no_usage_contradicts_itself(
    given_input: int,
    output: int,
    cache_read: int,
    cache_write: int,
    total: int | None,
    details: list[tuple[int, int]],
) -> None:
    """Parts fit into their wholes, whatever Bedrock counts, and no token is lost."""
    reported = answer(
        inputTokens=given_input,
        outputTokens=output,
        totalTokens=total,
        cacheReadInputTokens=cache_read,
        cacheWriteInputTokens=cache_write,
        cacheDetails=[{"ttl": "1h" if n % 2 else "5m", "inputTokens": c} for n, c in details],
    )
    assert reported is not None
    assert reported.tokens.flaw() is None
    assert reported.tokens.input >= max(given_input, cache_read + cache_write)
    assert reported.tokens.output == output


def test_an_answer_without_usage() -> None:
    """Silence is not zero."""
    assert ConverseReader(CALL).whole(b'{"output":{},"stopReason":"end_turn"}').reported is None


def test_a_stream() -> None:
    """Each message is an event around its payload; usage and tier come with `metadata`, then the end."""
    chunks = read(
        message("messageStart", b'{"role":"assistant"}'),
        message("contentBlockDelta", b'{"contentBlockIndex":0,\n"delta":{"text":"a"}}'),
        message("contentBlockStop", b""),
        message("aNewKind", b'{"x":1}'),
        message(
            "metadata",
            b'{"usage":{"inputTokens":5},"serviceTier":{"type":"flex"}}',
        ),
    )
    assert [chunk.data for chunk in chunks] == [
        b'data: {"messageStart":{"role":"assistant"}}\n\n',
        b'data: {"contentBlockDelta":{"contentBlockIndex":0, "delta":{"text":"a"}}}\n\n',
        b'data: {"contentBlockStop":{}}\n\n',
        b'data: {"aNewKind":{"x":1}}\n\n',
        b'data: {"metadata":{"usage":{"inputTokens":5},"serviceTier":{"type":"flex"}}}\n\n',
        b"data: [DONE]\n\n",
    ]
    assert [chunk.reported for chunk in chunks[:4]] == [None] * 4
    assert chunks[4].reported == ReportedUsage(Tokens(5, 1), service_tier="flex", is_estimate=True)
    assert [chunk.last for chunk in chunks] == [False] * 5 + [True]


FAILURES = {
    message("throttlingException", b'{"message":"Slow down"}', "exception"): (
        "throttlingException: Slow down"
    ),
    message("aNewerException", b"{}", "exception"): "aNewerException",
    message("modelTimeoutException", b"not json", "exception"): "cannot be read",
    written({":message-type": "error", ":error-code": "Internal"}, b""): "InternalError",
    written({":message-type": "exception"}, b"{}"): "unknownException",
    message("metadata", b'{"usage":'): "cannot be read",
    message("messageStart", b"\xff"): "cannot be read",
}


@pytest.mark.parametrize("data", FAILURES, ids=FAILURES.values())
def test_failures_amid_a_stream(data: bytes) -> None:
    """An exception, an error and what cannot be read break the answer off; names and reasons are told."""
    with pytest.raises(UpstreamError, match=FAILURES[data]) as caught:
        read(data)
    assert caught.value.sent


@pytest.mark.parametrize("data", [b"", b"[]", b'{"usage":1}', b"\xff", b"[" * 100_000])
def test_a_whole_answer_that_cannot_be_read(data: bytes) -> None:
    """An unreadable answer is the upstream's failure."""
    with pytest.raises(UpstreamError, match="cannot be read"):
        ConverseReader(CALL).whole(data)
