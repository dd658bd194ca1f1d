"""One request and its answer, over a carrier that keeps what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from inferworks.http.budget import FREE_BYTES, Budget, Held
from inferworks.http.exchange import ClientGone, Exchange, RequestHead
from inferworks.http.heads import Headers

JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")
LARGEST_JOINED = 64 * 1024
"""Largest body that leaves in one piece with its head."""


class Kept:
    """A carrier that keeps each write, and hands the head on as one line of its arguments."""

    most_body_bytes = 1000

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waits: list[int] = []
        """Sizes of the writes that were waited for."""
        self.is_full = False
        self.is_gone = False
        self.budget = Budget(10 * FREE_BYTES)

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """The head: status, whether the connection is kept, headers."""
        fields = b"".join(b" %b=%b" % field for field in headers)
        return b"<%d %s%b>" % (status, b"keep" if keep_alive else b"close", fields)

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Keep `data`; has to be waited for while the socket is full."""
        if self.is_gone:
            raise ClientGone
        self.written.append(data)
        return self._drained(len(data)) if self.is_full else None

    def hold(self) -> Held:
        """Count for the owner `client`."""
        return Held(self.budget, "client")

    async def _drained(self, n_bytes: int) -> None:
        await asyncio.sleep(0)
        self.waits.append(n_bytes)


def exchange(
    carrier: Kept, method: str = "POST", *, chunked: bool = True, keep_alive: bool = True
) -> Exchange:
    """A request with the body `ask`."""
    head = RequestHead(method, "/v1/x", "a=1", {b"host": b"h"}, keep_alive, chunked)
    return Exchange(carrier, head, b"ask")


def stream(asked: Exchange, *pieces: bytes, last: bytes = b"") -> None:
    """Answer `asked` with `pieces`, and end it with `last`."""

    async def answer() -> None:
        await asked.start(200, [JSON])
        for piece in pieces:
            await asked.send(piece)
        await asked.end(last)

    asyncio.run(answer())


def test_a_new_exchange_is_the_request_and_no_answer() -> None:
    """A handler sees line, headers and body; nothing has been sent."""
    carrier = Kept()
    asked = exchange(carrier)
    assert (asked.method, asked.path, asked.query, asked.body) == ("POST", "/v1/x", "a=1", b"ask")
    assert asked.headers == {b"host": b"h"}
    assert asked.most_body_bytes == 1000
    assert (asked.started, asked.finished, asked.status, asked.is_call) == (False, False, 0, False)
    assert carrier.written == []


def test_a_whole_answer_leaves_in_one_piece() -> None:
    """Length and type come first, then the answer's own headers, then those of any answer."""
    carrier = Kept()
    asked = exchange(carrier)
    asked.extra_headers = ((b"x-id", b"7"),)
    asyncio.run(asked.respond(201, b"hello", b"text/plain", ((b"a", b"b"),)))
    head = b"<201 keep content-length=5 content-type=text/plain a=b x-id=7>"
    assert carrier.written == [head + b"hello"]
    assert (asked.started, asked.finished, asked.status) == (True, True, 201)


@pytest.mark.parametrize("n_bytes", [0, LARGEST_JOINED, LARGEST_JOINED + 1])
def test_a_large_body_is_not_copied_behind_its_head(n_bytes: int) -> None:
    """One byte more than 64 kB leaves as two writes: head, then the body object itself."""
    carrier = Kept()
    body = bytes(n_bytes)
    asyncio.run(exchange(carrier).respond(200, body))
    head = b"<200 keep content-length=%d content-type=application/json>" % n_bytes
    if n_bytes <= LARGEST_JOINED:
        assert carrier.written == [head + body]
    else:
        assert carrier.written[0] == head
        assert carrier.written[1] is body


def test_an_answer_to_head_has_the_length_and_no_body() -> None:
    """The head of an answer to HEAD is that of the same GET."""
    carrier = Kept()
    asyncio.run(exchange(carrier, "HEAD").respond(200, b"hello"))
    assert carrier.written == [b"<200 keep content-length=5 content-type=application/json>"]


def test_the_head_of_a_stream_travels_with_its_first_piece() -> None:
    """Pieces are chunks, sizes in hexadecimal; empty ones are not sent, for they would end it."""
    carrier = Kept()
    asked = exchange(carrier)
    stream(asked, b"", b"0123456789abcdef", b"", b"z")
    head = b"<200 keep transfer-encoding=chunked content-type=application/json>"
    assert carrier.written == [
        head + b"10\r\n0123456789abcdef\r\n",
        b"1\r\nz\r\n",
        b"0\r\n\r\n",
    ]
    assert asked.finished


def test_the_last_piece_and_the_end_leave_together() -> None:
    """A stream of one piece is one write: head, piece and end."""
    carrier = Kept()
    stream(exchange(carrier), last=b"all")
    head = b"<200 keep transfer-encoding=chunked content-type=application/json>"
    assert carrier.written == [head + b"3\r\nall\r\n0\r\n\r\n"]


def test_an_empty_stream_is_a_head_and_an_end() -> None:
    """A stream may have no piece at all."""
    carrier = Kept()
    stream(exchange(carrier))
    assert carrier.written == [
        b"<200 keep transfer-encoding=chunked content-type=application/json>0\r\n\r\n"
    ]


def test_a_client_without_chunks_gets_bytes_until_the_connection_ends() -> None:
    """For HTTP/1.0 the pieces are bare, and the connection is not kept."""
    carrier = Kept()
    asked = exchange(carrier, chunked=False)
    stream(asked, b"one", last=b"two")
    assert carrier.written == [b"<200 close content-type=application/json>one", b"two"]
    assert not asked.keep_alive


def test_a_stream_in_answer_to_head_is_its_head() -> None:
    """Neither pieces nor an end follow the head, which is sent once."""
    carrier = Kept()
    stream(exchange(carrier, "HEAD"), b"one", last=b"two")
    head = b"<200 keep transfer-encoding=chunked content-type=application/json>"
    assert b"".join(carrier.written) == head


def test_each_write_waits_while_the_socket_is_full() -> None:
    """Back-pressure reaches the handler at every piece of an answer, the first part of a large one too."""
    carrier = Kept()
    carrier.is_full = True
    stream(exchange(carrier), b"one", last=b"two")
    assert carrier.waits == [len(data) for data in carrier.written]
    carrier.waits.clear()
    carrier.written.clear()
    asyncio.run(exchange(carrier).respond(200, bytes(LARGEST_JOINED + 1)))
    assert carrier.waits == [len(data) for data in carrier.written]
    assert len(carrier.waits) == 2


def test_an_answer_to_nobody_is_not_finished() -> None:
    """A write without a client raises, so the handler knows; the answer had begun."""
    carrier = Kept()
    carrier.is_gone = True
    asked = exchange(carrier)
    with pytest.raises(ClientGone):
        asyncio.run(asked.respond(200, b""))
    assert (asked.started, asked.finished) == (True, False)


MISUSE: dict[str, tuple[Callable[[Exchange], list[Awaitable[None]]], str]] = {
    "send first": (lambda x: [x.send(b"a")], "send comes after start"),
    "end first": (lambda x: [x.end()], "end comes after start"),
    "two answers": (lambda x: [x.respond(200, b""), x.respond(200, b"")], "answered once"),
    "a stream behind": (lambda x: [x.respond(200, b""), x.start(200, [])], "answered once"),
    "send last": (lambda x: [x.start(200, []), x.end(), x.send(b"")], "send comes before end"),
    "two ends": (lambda x: [x.start(200, []), x.end(), x.end()], "a stream is ended once"),
}


@pytest.mark.parametrize(("steps", "told"), MISUSE.values(), ids=MISUSE)
def test_misuse_fails_at_once(
    steps: Callable[[Exchange], list[Awaitable[None]]], told: str
) -> None:
    """A handler that answers twice, or out of order, is told so and damages no other answer."""
    carrier = Kept()

    async def answer() -> None:
        *before, wrong = steps(exchange(carrier))
        for step in before:
            await step
        written = list(carrier.written)
        with pytest.raises(AssertionError, match=told):
            await wrong
        assert carrier.written == written

    asyncio.run(answer())


def test_a_replaced_body_gives_its_bytes_back() -> None:
    """A body that takes another's place is counted in place of it."""
    carrier = Kept()
    asked = exchange(carrier)
    before, after = asked.hold(), asked.hold()
    assert before.more(100)
    asked.held = before
    assert after.more(30)
    asked.replace_body(b"new", after)
    assert (asked.body, asked.held, carrier.budget.held_bytes) == (b"new", after, 30)
    after.release()
    assert carrier.budget.held_bytes == 0
