"""The state that a server's connections share."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from inferworks.http.connection import Connection
from inferworks.http.exchange import Admission, Exchange, RequestHead
from inferworks.http.shared import Limits, Shared, admit_all, plain_refusal

HEAD = RequestHead("POST", "/x", "", {})


async def never(_: Exchange) -> None:
    """Answer nothing."""


def shared(limits: Limits) -> Shared[Connection]:
    """The state of a server with `limits`, no connection yet."""
    return Shared(never, limits, plain_refusal, lambda _: None, lambda: None)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(400, ()), (405, ((b"allow", b""),)), (431, ()), (503, ((b"retry-after", b"1"),))],
)
def test_a_plain_refusal_is_a_line_of_text(
    status: int, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """Status and words make the body; some say with a header of their own what to do next."""
    refused = plain_refusal(status, "nö", HEAD)
    assert refused.status == status
    assert refused.content_type == b"text/plain; charset=utf-8"
    assert refused.body == f"{status} nö\n".encode()
    assert refused.headers == headers


def test_all_are_admitted_within_the_limits_of_the_server() -> None:
    """Without a rule of its own a server takes every body, for nobody in particular."""
    assert admit_all(HEAD) == Admission(body_bytes=None, owner=None)


def test_budgets_are_those_of_the_limits() -> None:
    """Held bytes and slow bodies are bounded together, over all connections."""
    state = shared(Limits(held_bytes=100, connections=8))
    assert state.budget.take("a", 50)
    assert not state.budget.take("a", 1), "one owner has half"
    assert state.budget.take("b", 50)
    places = [state.sending.take("a", 1) for _ in range(5)]
    assert places == [True, True, True, True, False], "one owner leaves as many as it has"


@pytest.mark.parametrize("connections", [1, 2])
def test_one_body_can_always_be_sent(connections: int) -> None:
    """The smallest server still has a place for a body."""
    assert shared(Limits(connections=connections)).sending.take("a", 1)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"HTTP/1.1 200 OK"),
        (429, b"HTTP/1.1 429 Too Many Requests"),
        (529, b"HTTP/1.1 529 Unknown"),
    ],
)
def test_a_start_is_kept_until_the_next_second(status: int, line: bytes) -> None:
    """First lines are written once a second: status, reason, and a date in GMT."""
    state = shared(Limits())
    start = state.start_of(status)
    assert state.starts == {status: start}
    first, date, end = start.split(b"\r\n")
    assert (first, end) == (line, b"")
    assert date.startswith(b"date: ")
    assert date.endswith(b" GMT")
    assert parsedate_to_datetime(date.removeprefix(b"date: ").decode()).tzinfo is not None
    state.stamp()
    assert state.starts == {}
