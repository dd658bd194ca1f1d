"""Bedrock's InvokeModel: Anthropic's events out of Amazon's messages, and counts of tokens."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from inferworks.cloud.usage_parsers.invoke import CountedReader, InvokeEvents
from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.eventstream import written
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS
from inferworks.testing.providers import make_call


def message(payload: dict[str, Any], **headers: str) -> bytes:
    """A message of Amazon's with these headers."""
    named = {f":{name.replace('_', '-')}": value for name, value in headers.items()}
    return written(named, json.dumps(payload).encode())


def wrapped(event: dict[str, Any]) -> bytes:
    """An event of Anthropic's in a message of Amazon's."""
    inside = base64.b64encode(json.dumps(event).encode()).decode()
    return message({"bytes": inside}, message_type="event", event_type="chunk")


def test_an_event_is_unwrapped_with_its_name() -> None:
    """As Anthropic itself would have sent it, in pieces of any size."""
    data = wrapped({"type": "message_stop", "x": 1})
    events = InvokeEvents()
    found = [event for at in range(len(data)) for event in events.feed(data[at : at + 1])]
    assert found == [b'event: message_stop\ndata: {"type": "message_stop", "x": 1}\n\n']
    assert events.end() == []


def test_an_exception_becomes_an_error_of_anthropics() -> None:
    """Of the kind that its name means, with its own words."""
    failed = message(
        {"message": "slow down"}, message_type="exception", exception_type="throttlingException"
    )
    [event] = InvokeEvents().feed(failed)
    name, data = event.decode().splitlines()[:2]
    assert name == "event: error"
    reported = json.loads(data.removeprefix("data: "))
    assert reported["type"] == "error"
    assert reported["error"]["type"] == "rate_limit_error"
    assert "slow down" in reported["error"]["message"]


def test_what_holds_no_event_is_refused() -> None:
    """A chunk without bytes, with bytes that are no JSON, or with ones that are not in base64."""
    for payload in ({}, {"bytes": "bm8="}, {"bytes": "!"}):
        with pytest.raises(ValueError, match="the answer cannot be read"):
            InvokeEvents().feed(message(payload, message_type="event", event_type="chunk"))


def test_a_stream_that_ends_within_a_message_is_refused() -> None:
    """Half of a message is no end."""
    events = InvokeEvents()
    events.feed(wrapped({"type": "ping"})[:-1])
    with pytest.raises(ValueError, match=r"\w"):
        events.end()


def test_a_count_is_put_as_anthropic_does() -> None:
    """The number under its other name, and no tokens used: counting is free."""
    chunk = CountedReader(make_call()).whole(b'{"inputTokens": 42}')
    assert json.loads(chunk.data) == {"input_tokens": 42}
    assert chunk.last
    assert chunk.reported == ReportedUsage(NO_TOKENS)


def test_a_count_that_is_none_is_unreadable() -> None:
    """Text, another object, or a number in words."""
    for data in (b"", b"{}", b'{"inputTokens": "x"}', b"\xff"):
        with pytest.raises(UnreadableError):
            CountedReader(make_call()).whole(data)


def test_a_count_is_never_streamed() -> None:
    """An event is a fault of the upstream's; the end of a stream adds nothing."""
    with pytest.raises(UpstreamError, match="not streamed"):
        CountedReader(make_call()).event(b"data: {}\n\n")
    assert CountedReader(make_call()).ended() is None
