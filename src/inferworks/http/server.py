"""An HTTP/1.1 server for handlers that must know exactly when their client leaves.

Problem. A gateway that meters has to know three things a general framework hides: that a record was
durable *before* the last byte went out, that the client is gone *now*, and that nothing is buffered in
between. Frameworks answer with background tasks, receive-channel polling and response generators whose
`finally` may never run; each of the peers' lost-usage bugs begins there.

Decision. One `asyncio.Protocol` per connection on uvloop, parsing by httptools. A request is read whole
(bounded), then its handler runs as one plain coroutine with an `Exchange` in hand. When the client
leaves, that coroutine is cancelled, at once and once: leaving its `async with` blocks is where records
are written. A client that closes only its sending half has left too, since nothing tells the two apart.
`send` waits when the socket is full, so back-pressure reaches the upstream. The head of a stream travels
with its first chunk in one segment.

Slow and hostile clients: a request must be complete within `request_timeout_s` of its first byte, a
client that stops reading is dropped after `write_timeout_s`, sizes and the number of connections are
bounded, and a message with two lengths or two credentials is refused. Requests are answered one at a
time per connection, so pipelining cannot multiply work: what comes while one runs is kept unparsed up to
`_BACKLOG_BYTES`, and only beyond that is the socket left unread (unread, it could not tell of a client
that leaves). A handler that fails before it answered is answered for with 500; one that fails in the
middle of its answer has its connection cut, so that half an answer never looks like a whole one.

Rejected. uvicorn and starlette (2 and 10 times the CPU per request, the figures are in the
decision record); HTTP/2 (a proxy in front speaks it; SDKs speak 1.1).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

Headers = Iterable[tuple[bytes, bytes]]

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_SINGLE = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"transfer-encoding",
        b"x-api-key",
    }
)
_PARSE_BYTES = 16 * 1024  # parsed at a time, so that few pipelined requests are ever held parsed
_BACKLOG_BYTES = 64 * 1024  # read ahead of a running exchange before the socket is left unread
_WRITE_BYTES = 256 * 1024  # handed to the socket at a time: a slow reader has a timeout for each
_UNACCEPTED = 1024  # connections that may wait to be accepted
_LINGER_S = 2.0  # for a refused client to read why
_NEVER = float("inf")


class ClientGone(ConnectionError):
    """The client left before its answer was complete."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of the server."""

    body_bytes: int = 20 * 1024 * 1024
    header_bytes: int = 64 * 1024
    connections: int = 10_000
    request_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    write_timeout_s: float = 30.0


def plain_refusal(status: int, message: str) -> tuple[bytes, bytes]:
    """The content type and body of a refusal by the server itself."""
    return b"text/plain; charset=utf-8", f"{status} {message}\n".encode()


Refusal = Callable[[int, str], tuple[bytes, bytes]]


class Exchange:
    """One request and its answer. `headers` has lower-case names; `body` is complete."""

    __slots__ = ("_chunked", "_connection", "_head", "body", "finished", "headers", "keep_alive",
                 "method", "path", "query", "started", "status")  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        *,
        keep_alive: bool = True,
        chunked: bool = True,
    ) -> None:
        """`keep_alive`: another request may follow. `chunked`: the client understands chunks."""
        path, _, query = target.partition(b"?")
        self.method = method
        self.path = path.decode("latin-1")
        self.query = query.decode("latin-1")
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.started = False
        self.finished = False
        self.status = 0
        self._chunked = chunked
        self._head = b""
        self._connection = connection

    async def respond(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Send a whole answer. ValueError when a header holds a line break."""
        fields = ((b"content-length", b"%d" % len(body)), (b"content-type", content_type), *headers)
        head = self._begin(status, fields)
        await self._connection.write(head if self.method == "HEAD" else head + body)
        self.finished = True

    async def start(self, status: int, headers: Headers) -> None:
        """Begin a stream. The head is held until the first `send`, so both leave in one segment."""
        if self._chunked:
            self._head = self._begin(status, ((b"transfer-encoding", b"chunked"), *headers))
        else:
            self.keep_alive = False  # for HTTP/1.0 the end of a stream is the end of the connection
            self._head = self._begin(status, headers)

    async def send(self, data: bytes) -> None:
        """Send one piece of a stream; waits while the client's socket is full."""
        assert self.started, "send comes after start"
        assert not self.finished, "send comes before end"
        if data:
            head, self._head = self._head, b""
            await self._connection.write(head + self._framed(data))

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece (which may be empty) and end the stream."""
        assert self.started, "end comes after start"
        assert not self.finished, "a stream is ended once"
        head, self._head = self._head, b""
        piece = self._framed(data) if data else b""
        last = b"0\r\n\r\n" if self._chunked and self.method != "HEAD" else b""
        await self._connection.write(head + piece + last)
        self.finished = True

    def _begin(self, status: int, headers: Headers) -> bytes:
        assert not self.started, "an exchange is answered once"
        head = self._connection.head(status, headers, keep_alive=self.keep_alive)
        self.started = True
        self.status = status
        return head

    def _framed(self, data: bytes) -> bytes:
        """`data` as this request's method and version want a piece of the body."""
        if self.method == "HEAD":
            return b""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client's connection: bytes in, exchanges run one after the other, bytes out."""

    _target: bytes
    _headers: dict[bytes, bytes]

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._limits = server.limits
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._backlog = bytearray()
        self._waiting: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._deaf = False
        """Whether what else this client sends is ignored: its last request was read, or refused."""
        self._refusal: tuple[int, str] | None = None
        """A refusal whose turn comes after the exchanges before it."""
        self._reset()
        self._receiving = False
        self.deadline: float = self._loop.time() + self._limits.keep_alive_s

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or turn it away when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        if self._server.closing:
            self._close()
        elif len(self._server.connections) > self._limits.connections:
            self._refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: whatever runs for it is cancelled now."""
        self._transport = None
        self._waiting.clear()
        self._backlog.clear()
        if self._task is not None:
            self._task.cancel()
        self._server.connections.discard(self)
        self._server.something_ended()

    def eof_received(self) -> None:
        """The client will send no more: it leaves, and waits for no running answer."""
        if self._task is not None:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came, or keep it until the running exchange is answered."""
        if self._deaf:
            return
        if self._task is None:
            self._parse(data)
        else:
            self._keep(data)

    def pause_writing(self) -> None:
        """The client's socket is full."""
        self._writable = self._loop.create_future()
        self.deadline = self._loop.time() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        if self._task is not None:
            self.deadline = _NEVER

    # --- reading requests

    def _parse(self, data: bytes) -> None:
        """Feed the parser, but no further than the request that is to run next."""
        for start in range(0, len(data), _PARSE_BYTES):
            if self._deaf:
                return
            if self._task is not None:
                self._keep(data[start:])
                return
            self._feed(data[start : start + _PARSE_BYTES])

    def _keep(self, data: bytes) -> None:
        """Keep what was sent ahead; when it is much, read no more for now."""
        self._backlog += data
        if len(self._backlog) > _BACKLOG_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def _feed(self, data: bytes) -> None:
        """Feed the parser; a message it cannot read is answered with 400 and the end."""
        self._unread_bytes += len(data)
        declined_at = -1
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            declined_at = offer.args[0]
        except httptools.HttpParserError as error:
            match error.__context__:
                case _Refused(status=status, message=message):
                    self._refuse(status, message)
                case _:
                    self._refuse(400, "this is not a well-formed HTTP/1.1 request")
        if declined_at >= 0:
            self._read_without_upgrade(data[declined_at:])
        elif self._receiving and self._unread_bytes > self._limits.header_bytes:
            self._refuse(431, f"the headers are larger than {self._limits.header_bytes} bytes")

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Decline an offer of another protocol: read the request again as if it had not been made.

        The parser takes all that follows such an offer for the other protocol, the body included; Java's
        HTTP client makes one (`upgrade: h2c`) with every first POST.
        """
        method = self._parser.get_method()
        version = self._parser.get_http_version().encode()
        kept = [pair for pair in self._headers.items() if pair[0] not in {b"upgrade", b"expect"}]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self._target, version, field_lines(kept))
        self._parser = httptools.HttpRequestParser(self)
        self._feed(head + rest)

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """The first byte of a request starts its clock."""
        self._reset()
        if self._task is None:
            self.deadline = self._loop.time() + self._limits.request_timeout_s

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field. Trailers, which come after the body, are counted and otherwise ignored."""
        self._count_header(len(name) + len(value) + 4)
        if self._head_read:
            return
        name = name.lower()
        if (given := self._headers.get(name)) is None:
            self._headers[name] = value
        elif name in _SINGLE:
            raise _Refused(400, f"the header {name.decode('latin-1')} may be given only once")
        else:
            self._headers[name] = given + b", " + value

    def on_headers_complete(self) -> None:
        """Refuse what is too large before its body is read."""
        self._head_read = True
        if not self._target.startswith(b"/") and self._target != b"*":
            raise _Refused(400, "the request target must be a path")
        if self._headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _Refused(501, "the only transfer encoding understood is chunked")
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise _Refused(413, f"the body is larger than {self._limits.body_bytes} bytes")
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._owes_continue = True
            if self._task is None:
                self._pay_continue()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unread_bytes = 0
        self._body += body
        if len(self._body) > self._limits.body_bytes:
            raise _Refused(413, f"the body is larger than {self._limits.body_bytes} bytes")

    def on_message_complete(self) -> None:
        """The request is whole: run it, or let it wait for the one before."""
        if self._parser.should_upgrade():
            return  # to be read again
        self._receiving = False
        keep_alive = self._parser.should_keep_alive()
        exchange = Exchange(
            self,
            self._parser.get_method().decode("latin-1"),
            self._target,
            self._headers,
            bytes(self._body),
            keep_alive=keep_alive,
            chunked=self._parser.get_http_version() != "1.0",
        )
        self._deaf = not keep_alive
        if self._task is None:
            self._run(exchange)
        else:
            self._waiting.append(exchange)

    # --- running and answering

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """The head of an answer. ValueError when a header holds a line break."""
        close = b"" if keep_alive and not self._server.closing else b"connection: close\r\n"
        reason = _REASONS.get(status, b"Unknown")
        return b"HTTP/1.1 %d %b\r\ndate: %b\r\n%b%b\r\n" % (
            status, reason, self._server.date, field_lines(headers), close,
        )  # fmt: skip

    async def write(self, data: bytes) -> None:
        """Hand `data` to the socket; waits while it is full. ClientGone when there is no client."""
        for start in range(0, len(data), _WRITE_BYTES):
            if self._transport is None or self._transport.is_closing():
                raise ClientGone
            self._transport.write(data[start : start + _WRITE_BYTES])
            if self._writable is not None:
                await self._writable

    def shut(self) -> None:
        """End the connection now if nothing runs on it, else after the running exchange."""
        self._deaf = True
        if self._task is None:
            self._close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def busy(self) -> asyncio.Task[None] | None:
        """The task of the running exchange, if any."""
        return self._task

    @property
    def owing(self) -> bool:
        """Whether some of an answer is still to be made or sent."""
        unsent = self._transport is not None and self._transport.get_write_buffer_size() > 0
        return unsent or self._task is not None

    def _run(self, exchange: Exchange) -> None:
        self.deadline = _NEVER
        self._exchange = exchange
        self._task = self._loop.create_task(self._answer(exchange))
        self._server.running.add(self._task)
        self._task.add_done_callback(self._answered)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._server.handler(exchange)
        except ClientGone:
            self.abort()

    def _answered(self, task: asyncio.Task[None]) -> None:
        """The handler is done: see to it that its client has an answer, then go on to the next."""
        exchange, self._exchange, self._task = self._exchange, None, None
        self._server.running.discard(task)
        self._server.something_ended()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._server.report(error)
        if self._transport is None or self._transport.is_closing() or exchange is None:
            return
        if not exchange.started:
            self._send_refusal(500, "the server failed to answer; the failure has been reported")
        elif not exchange.finished:
            self.abort()  # a half-sent answer must not look like a whole one
        elif not exchange.keep_alive or self._server.closing:
            self._close()
        else:
            self._next()

    def _next(self) -> None:
        """Run the request that waits, or refuse the one that came badly, or wait for another."""
        if self._waiting:
            self._run(self._waiting.popleft())
        elif self._refusal is not None:
            self._send_refusal(*self._refusal)
        else:
            limit_s = (
                self._limits.request_timeout_s if self._receiving else self._limits.keep_alive_s
            )
            self.deadline = self._loop.time() + limit_s
            self._pay_continue()
            self._parse_backlog()

    def _parse_backlog(self) -> None:
        if self._backlog and self._transport is not None:
            data = bytes(self._backlog)
            self._backlog.clear()
            self._transport.resume_reading()
            self._parse(data)

    def _pay_continue(self) -> None:
        """Tell a client that asked first to send its body; not amid the answer to another request."""
        if self._owes_continue and self._receiving and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._owes_continue = False

    def _refuse(self, status: int, message: str) -> None:
        """Answer without a handler when the turn comes, and close; what else comes is ignored."""
        if self._deaf:
            return
        self._deaf = True
        if self._task is None:
            self._send_refusal(status, message)
        else:
            self._refusal = (status, message)

    def _send_refusal(self, status: int, message: str) -> None:
        if self._transport is None:
            return
        self._deaf = True
        content_type, body = self._server.refusal(status, message)
        fields = ((b"content-length", b"%d" % len(body)), (b"content-type", content_type))
        self._transport.write(self.head(status, fields, keep_alive=False) + body)
        self.deadline = self._loop.time() + _LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        """Close once everything is sent, or has been refused by the client for too long."""
        if self._transport is not None:
            self._transport.close()
            self.deadline = self._loop.time() + self._limits.write_timeout_s

    def _reset(self) -> None:
        """Ready for the next message."""
        self._receiving = True
        self._head_read = False
        self._owes_continue = False
        self._target = b""
        self._headers = {}
        self._header_bytes = 0
        self._unread_bytes = 0  # brought no body yet: the parser hands on only whole headers
        self._body = bytearray()

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise _Refused(431, f"the headers are larger than {self._limits.header_bytes} bytes")


def field_lines(headers: Headers) -> bytes:
    """Header fields as they are sent. ValueError when one holds a line break or a NUL.

    Such a value would be read as more headers, or as another message altogether (response splitting).
    """
    fields = [b"%b: %b\r\n" % pair for pair in headers]
    lines = b"".join(fields)
    if not lines.count(b"\n") == lines.count(b"\r") == len(fields) or b"\0" in lines:
        raise ValueError("a header holds a line break or a NUL")
    return lines


class _Refused(Exception):
    """Raised inside a parser callback; httptools hands it on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds `port` (0: a free one). OSError when it is taken.

    It listens already, since a port that is only bound can still be taken by another; who connects
    before `HttpServer.listen` accepts is kept waiting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_UNACCEPTED)
    except OSError:
        bound.close()
        raise
    return bound


class HttpServer:
    """A listening socket, its connections, and the second hand that drops the late ones."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits = Limits(),
        refusal: Refusal = plain_refusal,
        on_error: Callable[[BaseException], None] | None = None,
        tick_s: float = 1.0,
    ) -> None:
        """`on_error` hears of every exception that a handler let escape.

        Clients past their deadline are looked for every `tick_s` seconds.
        """
        self.handler = handler
        self.limits = limits
        self.refusal = refusal
        self.connections: set[Connection] = set()
        self.running: set[asyncio.Task[None]] = set()
        self.closing = False
        self.date = b""
        self._on_error = on_error
        self._tick_s = tick_s
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._end: asyncio.Future[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port. OSError when it cannot be had."""
        return await self.listen(bind(host, port))

    async def listen(self, bound: socket.socket) -> int:
        """Listen on a socket that `bind` made. Returns its port."""
        loop = asyncio.get_running_loop()
        self._stamp()
        self._server = await loop.create_server(
            lambda: Connection(self), sock=bound, backlog=_UNACCEPTED
        )
        self._ticking = loop.create_task(self._tick())
        return int(bound.getsockname()[1])

    async def stop(self, drain_s: float) -> int:
        """Stop listening, let running exchanges finish for `drain_s`, drop the rest.

        Returns how many answers had to be cut. Waits for every handler, those whose client left too, to
        leave its `async with` blocks, however long that takes: that is where records are written.
        """
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.shut()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._all_ended()
        late = [connection for connection in self.connections if connection.owing]
        for connection in list(self.connections):
            connection.abort()
        await self._all_ended()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking})
        return len(late)

    def report(self, error: BaseException) -> None:
        """Pass on an exception that escaped a handler."""
        if self._on_error is not None:
            self._on_error(error)
        else:
            context = {"message": "a handler failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def something_ended(self) -> None:
        """A connection or a handler has ended; whoever waits for the last one looks again."""
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    async def _all_ended(self) -> None:
        """Wait until no connection is open and no handler runs."""
        while self.connections or self.running:
            self._end = asyncio.get_running_loop().create_future()
            await self._end

    async def _tick(self) -> None:
        while True:
            self._stamp()
            now = asyncio.get_running_loop().time()
            for connection in [c for c in self.connections if c.deadline < now]:
                connection.abort()
            await asyncio.sleep(self._tick_s)

    def _stamp(self) -> None:
        self.date = formatdate(usegmt=True).encode()
