"""Heads that came before: recognised only where the parser would say the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.http.connection import Connection
from inferworks.http.deadlines import Deadlines
from inferworks.http.exchange import Exchange
from inferworks.http.heads import KnownHead, field_lines, learn
from inferworks.http.shared import Limits, Shared, plain_refusal
from inferworks.http.upstream import Response, UpstreamConnection

FIRST = b"POST /v1/x?y=1 HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\nx-a:  b \r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += bytes(data)

    def is_closing(self) -> bool:
        """Return whether the transport was closed."""
        return self.closing

    def close(self) -> None:
        """Take no more."""
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        """Return true, as TCP does."""
        return True

    def write_eof(self) -> None:
        """Nothing is left to do."""

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def get_write_buffer_size(self) -> int:
        """All is sent at once."""
        return 0


async def heard(
    segments: Sequence[bytes], *, recognise: bool, limits: Limits
) -> tuple[object, ...]:
    """Requests that a connection's handler saw of `segments`, and its answers."""
    requests: list[object] = []

    async def note(exchange: Exchange) -> None:
        requests.append(
            (exchange.method, exchange.path, exchange.query, dict(exchange.headers), exchange.body,
             exchange.keep_alive)
        )  # fmt: skip
        await exchange.respond(200, b"")

    shared = Shared(note, limits, plain_refusal, requests.append, lambda: None)
    connection, wire = Connection(shared), Wire()
    connection.connection_made(wire)
    for segment in segments:
        if not recognise:
            connection._known = None
        connection.data_received(segment)
        for _ in range(4):
            await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.sleep(0)
    return requests, re.sub(rb"date: [^\r]*", b"", wire.written), wire.closing


def same(segments: Sequence[bytes], limits: Limits) -> None:
    """Fail unless the segments mean the same with and without recognition."""

    async def both() -> None:
        assert await heard(segments, recognise=True, limits=limits) == await heard(
            segments, recognise=False, limits=limits
        )

    asyncio.run(both())


NAMES = st.sampled_from(
    [b"content-length", b"Content-Length", b"Transfer-Encoding", b"Connection", b"X-A",
     b"expect", b"upgrade", b"authorization", b"content-length ", b" x", b""]
)  # fmt: skip
VALUES = st.sampled_from(
    [b"3", b"0", b"3 ", b"003", b"+3", b"3, 3", b"12", b"chunked", b"close", b"keep-alive", b"a:b",
     b"100-continue", b"h2c", b"", b"x\r\n y", b"x\ny", b"x\ry", b"x\0y", b"\xe9"]
)  # fmt: skip
FIELDS = st.tuples(NAMES, st.sampled_from([b":", b": ", b":\t"]), VALUES)
LINES = st.sampled_from([b"POST / HTTP/1.1", b"GET /a?b HTTP/1.1", b"POST / HTTP/1.0", b"PUT * HTTP/1.1",
                         b"CONNECT a:1 HTTP/1.1", b"POST x HTTP/1.1", b"\r\nGET / HTTP/1.1"])  # fmt: skip
BODIES = st.sampled_from([b"", b"abc", b"ab\r\n\r\n", b"abcdefghijkl", b"3\r\nabc\r\n0\r\n\r\n",
                          b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"])  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\n"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request, more or less: some are fine, some try to be two."""
    end = draw(ENDS) if draw(st.integers(0, 9)) == 0 else b"\r\n"
    fields = draw(st.lists(FIELDS, max_size=4))
    body = draw(BODIES)
    lines = [draw(LINES), *(name + colon + value for name, colon, value in fields)]
    if draw(st.integers(0, 5)):
        lines.append(b"host: x")
    if draw(st.booleans()):
        lines.append(b"content-length: %d" % len(body))
    return end.join([*lines, b"", body])


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(messages(), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=12)), max_size=4),
    st.sampled_from([Limits(), Limits(header_bytes=60), Limits(body_bytes=3)]),
)
def test_recognising_changes_nothing(
    first: list[bytes], again: list[tuple[int, bytes]], limits: Limits
) -> None:
    """Handlers and clients see the same with and without recognition, whatever comes again."""
    repeats = [first[which % len(first)] + more for which, more in again]
    same([*first, *first, *repeats], limits)


STATUS = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 Old", b"HTTP/1.1 429 ",
                          b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Go", b"ICY 200"])  # fmt: skip
OWN = st.sampled_from([b"", b"x-a: 1\r\n", b"connection: close\r\n", b"Content-Length: 3\r\n",
                       b"transfer-encoding: chunked\r\n", b"date:  x \r\n", b"x: a\r\n b\r\n"])  # fmt: skip


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An answer, more or less."""
    body = draw(st.sampled_from([b"", b"abc", b"a\r\n\r\nb", b"3\r\nabc\r\n0\r\n\r\n"]))
    length = b"content-length: %d\r\n" % len(body) if draw(st.integers(0, 4)) else b""
    return draw(STATUS) + b"\r\n" + draw(OWN) + length + draw(OWN) + b"\r\n" + body


async def read(segments: Sequence[bytes], *, recognise: bool) -> list[object]:
    """Events that an upstream's connection sees in `segments`, each the answer to a question."""
    seen: list[object] = []
    connection = UpstreamConnection("here", Deadlines())
    connection.connection_made(Wire())
    for segment in segments:
        if not recognise:
            connection._known = None
            connection._parser = httptools.HttpResponseParser(connection)
        connection.send(b"")
        connection.data_received(segment)
        answer = Response(connection)
        body = connection.take()
        seen.append((answer.status, answer.headers, body, connection.complete, connection.usable,
                     connection._error))  # fmt: skip
        if not connection.usable:
            break
    connection.connection_lost(None)
    return seen


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(answers(), min_size=1, max_size=2), st.binary(max_size=3))
def test_recognising_answers_changes_nothing(first: list[bytes], more: bytes) -> None:
    """Answers, repeated or with more behind them, read as a new parser would read them."""

    async def both() -> None:
        segments = [answer for answer in first for _ in range(2)] + [first[0] + more]
        assert await read(segments, recognise=True) == await read(segments, recognise=False)

    asyncio.run(both())


def test_a_known_head_is_not_parsed() -> None:
    """The parser is asked once for any number of requests with the same head."""

    async def main() -> None:
        bodies: list[bytes] = []

        async def note(exchange: Exchange) -> None:
            bodies.append(exchange.body)
            await exchange.respond(200, b"")

        connection = Connection(Shared(note, Limits(), plain_refusal, print, lambda: None))
        connection.connection_made(Wire())
        connection.data_received(FIRST + b"abc")
        await asyncio.sleep(0)
        connection._reader.parser = None  # whoever asks it now fails
        for body in (b"def", b"more than that", b""):
            connection.data_received(FIRST.replace(b": 3", b": %d" % len(body)) + body)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.sleep(0)
        assert bodies == [b"abc", b"def", b"more than that", b""]

    asyncio.run(main())


BODY_OF = {
    "the same": (FIRST + b"abc", b"abc"),
    "another length": (FIRST.replace(b": 3", b": 12") + b"x" * 12, b"x" * 12),
    "none": (FIRST.replace(b": 3", b": 0"), b""),
    "a body with an empty line": (FIRST.replace(b": 3", b": 6") + b"\r\n\r\nab", b"\r\n\r\nab"),
    "too little": (FIRST + b"ab", None),
    "too much": (FIRST + b"abcd", None),
    "two requests": ((FIRST + b"abc") * 2, None),
    "no digits": (FIRST.replace(b": 3", b": ") + b"abc", None),
    "a zero before": (FIRST.replace(b": 3", b": 03") + b"abc", None),
    "a sign": (FIRST.replace(b": 3", b": +3") + b"abc", None),
    "two lengths": (FIRST.replace(b": 3", b": 3, 3") + b"abc", None),
    "too many digits": (FIRST.replace(b": 3", b": " + b"0" * 20 + b"3") + b"abc", None),
    "a space after": (FIRST.replace(b": 3", b": 3 ") + b"abc", None),
    "a header more": (FIRST[:-2] + b"x: y\r\n\r\nabc", None),
    "a header other": (FIRST.replace(b"x-a:", b"x-b:") + b"abc", None),
    "cut in the head": (FIRST[:-5], None),
    "cut in the digits": (FIRST[: FIRST.index(b"3\r\n")], None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize(("data", "body"), BODY_OF.values(), ids=BODY_OF)
def test_body_of_a_known_head(data: bytes, body: bytes | None) -> None:
    """A message is recognised when all but the digits is the same and the digits tell the truth."""
    known = learn(FIRST + b"abc", b"3", None)
    assert known is not None
    assert known.body_in(data) == body


UNKNOWN = {
    "a length that is not in the head": (FIRST + b"abc", b"4"),
    "more than the body": (FIRST + b"abcd", b"3"),
    "no length but a body": (b"GET / HTTP/1.1\r\n\r\nabc", None),
    "a length in another form": (b"GET / HTTP/1.1\r\ncontent-length: 3 \r\n\r\nabc", b"3"),
    "blank lines before": (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
}


@pytest.mark.parametrize(("data", "length"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_learned(data: bytes, length: bytes | None) -> None:
    """Heads other than of the plain kind are left to the parser."""
    assert learn(data, length, None) is None


def test_a_head_without_a_body() -> None:
    """A request without a body is recognised as a whole or not at all."""
    known = KnownHead(b"GET / HTTP/1.1\r\n\r\n", b"", 0, None)
    assert known.body_in(b"GET / HTTP/1.1\r\n\r\n") == b""
    assert known.body_in(b"GET / HTTP/1.1\r\n\r\nG") is None
    assert known.body_in(b"GET / HTTP/1.1\r\n") is None


def test_field_lines() -> None:
    """Fields are written one to a line; none are no lines."""
    assert field_lines([(b"a", b"b"), (b"c", b"")]) == b"a: b\r\nc: \r\n"
    assert field_lines([]) == b""


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
def test_field_with_a_break(value: bytes) -> None:
    """A field that would be read as two is refused."""
    with pytest.raises(ValueError, match="line break"):
        field_lines([(b"a", value)])
