"""The script of a fake upstream, and the bytes that its operations are made of."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from inferworks.testing.upstreams.script import (
    Answer,
    Reports,
    Scripted,
    Wire,
    event_of,
    json_of,
    nth,
    read_json,
    usage_of,
    words_of,
)

ANSWER = Answer(words=("a", "b", "c"), input_tokens=7)


def exchange(body: bytes) -> Any:
    """An exchange of which only the body is looked at."""
    return SimpleNamespace(body=body)


def test_a_script_without_a_tool_calls_none() -> None:
    """More tools are called only beside a first one."""
    first, second = ("find", "{}"), ("add", '{"a": 1}')
    assert Scripted().tools == ()
    assert Scripted(more_tools=(second,)).tools == ()
    assert Scripted(tool=first).tools == (first,)
    assert Scripted(tool=first, more_tools=(second,)).tools == (first, second)


@pytest.mark.parametrize(("number", "expected"), [(0, "call"), (1, "call_1"), (12, "call_12")])
def test_the_first_call_has_the_plain_id(number: int, expected: str) -> None:
    """No two calls of a conversation have the same id."""
    assert nth("call", number) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, (("a", "b", "c"), "stop")),
        (4, (("a", "b", "c"), "stop")),
        (3, (("a", "b", "c"), "stop")),
        (2, (("a", "b"), "length")),
        (1, (("a",), "length")),
        (0, ((), "length")),
    ],
)
def test_a_limit_cuts_words_beyond_it(limit: int | None, expected: tuple[object, str]) -> None:
    """An answer that just fits has not been cut."""
    assert words_of(ANSWER, limit) == expected


@pytest.mark.parametrize("reports", Reports)
def test_usage_adds_up(reports: Reports) -> None:
    """The total is the sum of both sides, or everything is an explicit zero."""
    answer = Answer(input_tokens=7, reports=reports)
    read, written = (0, 0) if reports is Reports.ZERO else (7, 5)
    assert usage_of(answer, 5) == {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def test_json_is_written_in_either_of_two_ways() -> None:
    """Compact as OpenAI writes it, or spaced as Python does; letters beyond ASCII stay themselves."""
    value = {"a": [1, 2], "b": "円"}
    assert json_of(value) == '{"a":[1,2],"b":"円"}'.encode()
    assert json_of(value, spaced=True) == '{"a": [1, 2], "b": "円"}'.encode()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, b"data: x\n\n"),
        ({"name": "ping"}, b"event: ping\ndata: x\n\n"),
        ({"line_end": b"\r\n"}, b"data: x\r\n\r\n"),
        ({"name": "ping", "line_end": b"\r"}, b"event: ping\rdata: x\r\r"),
    ],
)
def test_an_event_ends_with_an_empty_line(named: dict[str, Any], expected: bytes) -> None:
    """Each of the line ends that the standard knows is used throughout the event."""
    assert event_of(b"x", **named) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"null", b'"a"', b"\xff", b"[" * 100_000])
def test_a_request_that_is_no_object_is_none(body: bytes) -> None:
    """Arbitrary bytes, and JSON of another kind or too deep, are no request."""
    assert read_json(exchange(body)) is None


def test_a_request_is_read_as_it_is() -> None:
    """Every field comes through."""
    request = {"model": "m", "stream": True, "messages": []}
    assert read_json(exchange(json.dumps(request).encode())) == request


def test_an_operation_that_overrides_nothing_has_no_answer() -> None:
    """A request is read as JSON; nothing is streamed, and no whole body is made up."""
    wire = Wire()
    assert wire.read(exchange(b'{"a": 1}')) == {"a": 1}
    assert wire.events(ANSWER, {}) is None
    assert wire.written(ANSWER, {}) is None
    assert wire.error_of(500) is None
    assert (wire.named, wire.dialect) == (False, "")
    with pytest.raises(AssertionError, match="its answers are no JSON"):
        wire.whole(ANSWER, {})
