"""An HTTP/1.1 server for handlers that must know exactly when their client leaves.

Problem. A gateway that meters has to know three things a general framework hides: that a record was
durable *before* the last byte went out, that the client is gone *now*, and that nothing is buffered in
between. Frameworks answer with background tasks, receive-channel polling and response generators whose
`finally` may never run; each of the peers' lost-usage bugs begins there.

Decision. One `asyncio.Protocol` per connection on uvloop, parsing by httptools. A request is read whole
(bounded), then its handler runs as one plain coroutine with an `Exchange` in hand. When the client
leaves, that coroutine is cancelled, at once and once: leaving its `async with` blocks is where records
are written. `send` waits when the socket is full, so back-pressure reaches the upstream. The head of a
stream travels with its first chunk in one segment.

Slow and hostile clients: a request must be complete within `request_timeout_s` of its first byte, a
client that stops reading is dropped after `write_timeout_s`, sizes and the number of connections are
bounded, a message with two lengths or two credentials is refused, and requests are answered one at a
time per connection, so pipelining cannot multiply work.

Rejected. uvicorn and starlette (5 and 10 times the CPU per request, the figures are in the
decision record); HTTP/2 (a proxy in front speaks it; SDKs speak 1.1).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

Headers = Iterable[tuple[bytes, bytes]]

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_SINGLE = frozenset({b"authorization", b"content-length", b"host", b"content-type"})


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

    __slots__ = ("_connection", "_head", "body", "finished", "headers", "method", "path", "query",
                 "started", "status")  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
    ) -> None:
        path, _, query = target.partition(b"?")
        self.method = method
        self.path = path.decode("latin-1")
        self.query = query.decode("latin-1")
        self.headers = headers
        self.body = body
        self.started = False
        self.finished = False
        self.status = 0
        self._head = b""
        self._connection = connection

    async def respond(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: Headers = (),
    ) -> None:
        """Send a whole answer."""
        self._begin(status)
        length = b"content-length: %d\r\ncontent-type: %b\r\n" % (len(body), content_type)
        head = self._connection.head(status, length, headers)
        await self._connection.write(head if self.method == "HEAD" else head + body)
        self._finish()

    async def start(self, status: int, headers: Headers) -> None:
        """Begin a stream. The head is held until the first `send`, so both leave in one segment."""
        self._begin(status)
        self._head = self._connection.head(status, b"transfer-encoding: chunked\r\n", headers)

    async def send(self, data: bytes) -> None:
        """Send one piece of a stream; waits while the client's socket is full."""
        if data:
            head, self._head = self._head, b""
            await self._connection.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece (which may be empty) and end the stream."""
        head, self._head = self._head, b""
        piece = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        await self._connection.write(b"%b%b0\r\n\r\n" % (head, piece))
        self._finish()

    def _begin(self, status: int) -> None:
        assert not self.started, "an exchange is answered once"
        self.started = True
        self.status = status

    def _finish(self) -> None:
        self.finished = True


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client's connection: bytes in, exchanges run one after the other, bytes out."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._limits = server.limits
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._keep_alive = True
        self._refused = False
        self._reset()
        self.deadline: float = self._loop.time() + self._limits.keep_alive_s

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or turn it away when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        if len(self._server.connections) > self._limits.connections:
            self._refuse(503, "too many connections; try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: whatever runs for it is cancelled now."""
        self._server.connections.discard(self)
        self._transport = None
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a message it cannot read is answered with 400 and the end."""
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._keep_alive = False  # the offer is declined by answering in HTTP/1.1
        except httptools.HttpParserError as error:
            match error.__context__:
                case _Refused(status=status, message=message):
                    self._refuse(status, message)
                case _:
                    self._refuse(400, "this is not a well-formed HTTP/1.1 request")

    def pause_writing(self) -> None:
        """The client's socket is full."""
        self._writable = self._loop.create_future()
        self.deadline = self._loop.time() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        self.deadline = float("inf")

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
        """One header field."""
        name = name.lower()
        self._count_header(len(name) + len(value) + 4)
        if name in _SINGLE and name in self._headers:
            raise _Refused(400, f"the header {name.decode('latin-1')} may be given only once")
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Refuse what is too large before its body is read."""
        if not self._target.startswith(b"/") and self._target != b"*":
            raise _Refused(400, "the request target must be a path")
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise _Refused(413, f"the body is larger than {self._limits.body_bytes} bytes")
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            raise _Refused(413, f"the body is larger than {self._limits.body_bytes} bytes")
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole: run it, or let it wait for the one before."""
        method = self._parser.get_method().decode("latin-1")
        self._keep_alive = self._keep_alive and self._parser.should_keep_alive()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        exchange = Exchange(self, method, self._target, self._headers, body)
        if self._task is None:
            self._run(exchange)
        else:
            self._waiting.append(exchange)
            if self._transport:
                self._transport.pause_reading()

    # --- running and answering

    def head(self, status: int, fixed: bytes, headers: Headers) -> bytes:
        """The head of an answer: status line, `fixed` lines, `headers`."""
        lines = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        close = b"" if self._keep_alive and not self._server.closing else b"connection: close\r\n"
        return b"HTTP/1.1 %d %b\r\ndate: %b\r\n%b%b%b\r\n" % (
            status, _REASONS.get(status, b"Unknown"), self._server.date, fixed, close, lines,
        )  # fmt: skip

    async def write(self, data: bytes) -> None:
        """Hand `data` to the socket; waits while it is full. ClientGone when there is no client."""
        if self._transport is None or self._transport.is_closing():
            raise ClientGone
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def shut(self) -> None:
        """End the connection now if nothing runs on it, else after the running exchange."""
        self._keep_alive = False
        if self._task is None and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def busy(self) -> asyncio.Task[None] | None:
        """The task of the running exchange, if any."""
        return self._task

    def _run(self, exchange: Exchange) -> None:
        self.deadline = float("inf")
        self._task = self._loop.create_task(self._answer(exchange))
        self._task.add_done_callback(self._answered)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._server.handler(exchange)
        except ClientGone:
            self.abort()
        if not exchange.finished:
            self.abort()  # a half-sent answer must not look like a whole one

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.abort()
            self._server.report(error)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._waiting and self._keep_alive:
            transport.resume_reading()
            self._run(self._waiting.popleft())
        elif task.cancelled() or not self._keep_alive or self._server.closing:
            transport.close()
        else:
            self.deadline = self._loop.time() + self._limits.keep_alive_s

    def _refuse(self, status: int, message: str) -> None:
        """Answer without a handler and close; what else this client sends is ignored."""
        self._refused = True
        self._keep_alive = False
        if self._task is not None or self._transport is None:
            self.abort()
            return
        content_type, body = self._server.refusal(status, message)
        fixed = b"content-length: %d\r\ncontent-type: %b\r\n" % (len(body), content_type)
        self._transport.write(self.head(status, fixed, ()) + body)
        self.deadline = self._loop.time() + 2.0  # let the client read why before the end
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise _Refused(431, f"the headers are larger than {self._limits.header_bytes} bytes")


class _Refused(Exception):
    """Raised inside a parser callback; httptools hands it on."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class HttpServer:
    """A listening socket, its connections, and the second hand that drops the late ones."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits = Limits(),
        refusal: Refusal = plain_refusal,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_error` hears of every exception that a handler let escape."""
        self.handler = handler
        self.limits = limits
        self.refusal = refusal
        self.connections: set[Connection] = set()
        self.closing = False
        self.date = b""
        self._on_error = on_error
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port. OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        self._stamp()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self._ticking = loop.create_task(self._tick())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, drain_s: float) -> int:
        """Stop listening, let running exchanges finish for `drain_s`, drop the rest.

        Returns how many had to be dropped.
        """
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.shut()
        running = {c.busy for c in self.connections if c.busy is not None}
        late: set[asyncio.Task[None]] = set()
        if running:
            _, late = await asyncio.wait(running, timeout=drain_s)
        for connection in list(self.connections):
            connection.abort()
        if late:
            await asyncio.wait(late)
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

    async def _tick(self) -> None:
        while True:
            self._stamp()
            now = asyncio.get_running_loop().time()
            for connection in [c for c in self.connections if c.deadline < now]:
                connection.abort()
            await asyncio.sleep(1.0)

    def _stamp(self) -> None:
        self.date = formatdate(usegmt=True).encode()
