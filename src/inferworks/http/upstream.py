"""One connection to an upstream, and the answer that comes over it.

A response is read piece by piece as it comes from the socket; when its reader is slow the socket is not
read further, so back-pressure reaches the upstream. An answer is believed only when it is whole: one
without a length ends with the connection, and then only when the upstream closed it in order. A second
answer to one question, or bytes that nobody asked for, end the connection, so that they can never be
taken for the answer to the next.

A connection may end just as it is used again: its end and our request pass each other on the way. Then no
byte of an answer comes, and the end comes at once, for it was under way already. That is told apart from
an upstream that breaks off at its work (`unread`); a later end, or that of a new connection, is not it.

We ask for answers as they are (`identity`). One that comes compressed all the same, for not every proxy
heeds that, is decoded as it is read; where it cannot be, it is an answer that nobody can read.

Two kinds of waiting are bounded. A silence is as long as nothing comes that the reader could take: bytes of
framing, of heads that do not end and of interim answers do not break it. And what must have come by a
certain time, the head or the whole answer, is late even if bytes never stop coming and nobody waits.

Whoever reads takes what is there (`take`), and only when nothing is there awaits `more`, a bare future:
an answer that came in one segment, as small ones do, is read without a coroutine for each layer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from io import BytesIO
from typing import cast

import httptools

from inferworks.errors import UnreadableError, UpstreamError
from inferworks.http.coding import Inflater, coding_of
from inferworks.http.deadlines import NEVER, Deadlines
from inferworks.http.heads import KnownHead, learn, with_length

_HIGH_WATER_BYTES = 256 * 1024
_HEAD_BYTES = 256 * 1024
_BODILESS = frozenset({204, 304})
_UNDER_WAY_S = 1.0
"""Longest round trip: an end that arrives later was not under way when its connection was reused."""


class Response:
    """An upstream's answer: `status`, `headers` (lower-case names) and its body as it comes."""

    __slots__ = ("_coding", "_connection", "_inflater", "_pieces", "headers", "status")

    _inflater: Inflater
    _pieces: Iterator[bytes] | None

    headers: Mapping[bytes, bytes]

    def __init__(self, connection: UpstreamConnection) -> None:
        """The answer that comes over `connection`, once that has a `status`."""
        self.status = connection.status
        self.headers = connection.headers
        self._connection = connection
        self._coding = self.headers.get(b"content-encoding")
        if self._coding is not None:
            self._coding = coding_of(self._coding) or None
            self._pieces = None

    @property
    def plain(self) -> UpstreamConnection | None:
        """Connection from which the body may be taken as it comes; None where it has to be decoded."""
        return self._connection if self._coding is None else None

    async def pieces(self, timeout_s: float) -> AsyncIterator[bytes]:
        """The body, piece by piece; UpstreamError when it breaks off or stalls for `timeout_s`."""
        while piece := await self.next_piece(timeout_s):
            yield piece

    async def next_piece(self, timeout_s: float) -> bytes:
        """The next piece of the body: all that has come; empty at its end.

        UnreadableError when it cannot be decoded.
        """
        connection = self._connection
        if self._coding is None:
            while not connection.buffered_bytes and not connection.complete:
                await connection.more(timeout_s)
            return connection.take()
        try:
            if self._pieces is None:
                self._inflater = Inflater(self._coding)
                self._pieces = iter(())
            while (piece := next(self._pieces, None)) is None:
                if raw := connection.take():
                    self._pieces = self._inflater.feed(raw)
                elif connection.complete:
                    self._inflater.end()
                    return b""
                else:
                    await connection.more(timeout_s)
        except ValueError as error:
            raise UnreadableError(error) from error
        await asyncio.sleep(0)  # it may stand for a thousand times its size: others have their turn
        return piece

    async def read(self, timeout_s: float, limit_bytes: int) -> bytes:
        """The whole body; UnreadableError when larger than `limit_bytes`."""
        connection = self._connection
        if self._coding is not None:
            whole = BytesIO()
            async for piece in self.pieces(timeout_s):
                whole.write(piece)
                if whole.tell() > limit_bytes:
                    raise _too_large(limit_bytes)
            return whole.getvalue()
        if connection.complete and connection.buffered_bytes <= limit_bytes:
            return connection.take()
        whole = BytesIO()  # grows in place, and gives what it holds without a copy of it
        while True:
            whole.write(connection.take())
            if whole.tell() > limit_bytes:
                raise _too_large(limit_bytes)
            if connection.complete:
                return whole.getvalue()
            await connection.more(timeout_s)


def _too_large(limit_bytes: int) -> UnreadableError:
    return UnreadableError(f"it is larger than {limit_bytes} bytes")


class UpstreamConnection(asyncio.Protocol):
    """One connection to an upstream: one request at a time."""

    status: int
    """The status of the answer; 0 until its head has come."""
    complete: bool
    """True when all of the answer has come."""
    buffered_bytes: int
    """Bytes of the body that have come and were not taken."""
    free_since: float
    reused_at: float
    """Time of the last reuse, in seconds of the event loop's clock; minus infinity for a new connection."""
    unread: bool
    """True when the connection ended just as it was reused: most likely the request was not read."""
    headers: dict[bytes, bytes]
    """Headers of the answer by lower-case name."""
    _pieces: deque[bytes]
    _head_bytes: int
    _error: str | None
    _parser: httptools.HttpResponseParser | None
    """Parser from the first byte to the end: it and the connection hold each other, but no longer."""
    _late: bool
    _garbled: bool
    """True when what came is no head of an answer."""
    _until_close: bool
    _reusable: bool
    _untouched: bool

    def __init__(self, where: str, deadlines: Deadlines) -> None:
        self.deadline = NEVER
        self.free_since = 0.0
        self.reused_at = -NEVER
        self.unread = False
        self._where = where
        self._deadlines = deadlines
        self._timeout_s = 0.0
        self._due_at = NEVER
        """Deadline of the next part that has to come: the head of the answer, then all of it."""
        self._whole_at = NEVER
        self._silent_at = NEVER
        """Deadline of a silence: nothing to take has come for too long."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser = None
        self._known: KnownHead[tuple[int, dict[bytes, bytes]]] | None = None
        """The head of the last answer that came in one segment, if it can be recognised."""
        self._begin()

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; requests may be sent."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, which may be that of the answer too."""
        self._transport = None
        self._parser = None
        self._deadlines.members.discard(self)
        if not self.complete and self._error is None:
            if self.status and self._until_close and exc is None:
                self.complete = True
            else:
                self.unread = self._untouched and self._loop.time() < self.reused_at + _UNDER_WAY_S
                if self.unread:
                    when = "just as it was reused"
                else:
                    when = "mid-answer" if self.status else "before it answered"
                self._error = f"{self._where} closed the connection {when}"
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Read on, and wake whoever waits. A head that is the one before's needs no parser."""
        known = self._known
        body = known.body_in(data) if known is not None and self._untouched else None
        if known is not None and body is not None:
            self.status, self.headers = known.parsed
            if len(body) != known.body_bytes:
                self.headers = with_length(self.headers, len(body))
            if body:
                self._pieces.append(body)
                self.buffered_bytes += len(body)
            self._untouched = False
            self.complete = self._reusable = True
            self._due_at = NEVER
            self._wake()
            return
        untouched, self._untouched = self._untouched, False
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._garbled = self._error is None
            self._fail(f"{self._where} sent something that is not HTTP/1.1")
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._garbled = self._error is None
                self._fail(f"{self._where} sent headers larger than {_HEAD_BYTES} bytes")
        if self.buffered_bytes > _HIGH_WATER_BYTES and self._transport is not None:
            self._transport.pause_reading()
        if untouched:
            self._known = self._learned(data)
        self._wake()

    def late(self) -> None:
        """Fail the answer: a deadline has passed."""
        self._late = self._error is None
        if self.deadline == self._whole_at:
            why = "did not finish its answer in time"
        elif self.status or self._untouched:
            why = f"sent no data for {self._timeout_s:g} s"
        else:
            why = f"did not send complete response headers within {self._timeout_s:g} s"
        self._due_at = NEVER
        self._fail(f"{self._where} {why}")
        self._wake()

    # --- reading an answer

    def _learned(self, data: bytes) -> KnownHead[tuple[int, dict[bytes, bytes]]] | None:
        """The head of the answer, if that is all that `data` holds."""
        length = self.headers.get(b"content-length")
        if self._error or not self.complete or not self._reusable or length is None:
            return None
        if b"transfer-encoding" in self.headers or self.status in _BODILESS:
            return None
        return learn(data, length, (self.status, self.headers))

    def on_message_begin(self) -> None:
        """The parser has found the first byte of an answer."""
        if self.complete:
            raise ValueError(
                "a second answer to one request"
            )  # the parser makes it an error of its own

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has read a header field."""
        if not self.status:  # what comes after the body are trailers
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The parser has read a head; that of an interim answer is forgotten."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}
            return
        self.status = status
        self._due_at = self._whole_at
        self._until_close = not ({b"content-length", b"transfer-encoding"} & self.headers.keys())

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(body)
        self.buffered_bytes += len(body)

    def on_message_complete(self) -> None:
        """The parser has found the end of an answer."""
        assert self._parser is not None
        if self._parser.get_status_code() < 200:
            return
        self.complete = True
        self._due_at = NEVER
        self._reusable = self._parser.should_keep_alive()

    # --- what the client calls

    def send(
        self, request: Sequence[bytes], first_byte_s: float = NEVER, answer_s: float = NEVER
    ) -> None:
        """Send one request, given in pieces. Not waited for: the answer may come before all of it has left.

        In `first_byte_s` seconds the head of the answer must have come, in `answer_s` all of it.
        """
        self._begin()
        now = self._loop.time()
        self._timeout_s = first_byte_s
        self._whole_at = now + answer_s
        self._due_at = due_at = now + min(first_byte_s, answer_s)
        self.deadline = due_at
        self._silent_at = NEVER
        if self._transport is None or self._transport.is_closing():
            raise UpstreamError(f"{self._where} closed the connection", sent=False)
        self._deadlines.members.add(
            self
        )  # not before: uvloop tells no end of one given up as it was made
        if due_at < self._deadlines.fires_at:
            self._deadlines.expect(due_at)
        self._transport.writelines(request)

    def more(self, timeout_s: float | None = None) -> asyncio.Future[None]:
        """Return a future that is done when more has come. UpstreamError when nothing more will."""
        if self._error is None and self._transport is None:
            self._error = f"{self._where} closed the connection"
        if self._error is not None:
            raise UpstreamError(
                self._error,
                sent=True,
                gave_up=self._late,
                unread=self.unread,
                answered=self._garbled or (bool(self.status) and not self._late),
            )
        self._waiter = waiter = self._loop.create_future()
        if timeout_s is None:
            return waiter
        silent_at = self._silent_at
        if silent_at == NEVER:
            self._timeout_s = timeout_s
            self._silent_at = silent_at = self._loop.time() + timeout_s
        if silent_at < self.deadline:  # which is what is due, while nobody waits
            self.deadline = silent_at
            if silent_at < self._deadlines.fires_at:  # it may have rung while nobody waited
                self._deadlines.expect(silent_at)
        return waiter

    def take(self) -> bytes:
        """All of the body that has come and was not taken."""
        if not self._pieces:
            return b""
        self._silent_at = NEVER
        pieces = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self.buffered_bytes > _HIGH_WATER_BYTES and self._transport is not None:
            self._transport.resume_reading()
        self.buffered_bytes = 0
        return pieces

    @property
    def usable(self) -> bool:
        """True when another request may be sent on this connection."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        answered = self.complete and self._reusable and not self._pieces
        return answered and transport.get_write_buffer_size() == 0

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        """Forget the exchange before; ready for the next."""
        self.headers = {}
        self._pieces = deque()
        self.buffered_bytes = 0
        self._head_bytes = 0
        self._error = None
        self._late = False
        self._garbled = False
        self._until_close = False
        self._reusable = False
        self._untouched = True
        self.status = 0
        self.complete = False

    def _fail(self, error: str) -> None:
        """Believe nothing more that comes; the first failure is the one told."""
        self._error = self._error or error
        self.drop()

    def _wake(self) -> None:
        self.deadline = self._due_at
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
