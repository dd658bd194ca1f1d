"""An HTTP/1.1 client for upstreams: keeps connections, streams at once, gives up cleanly.

Same reasons as the server beside it. A response is read piece by piece as it comes from the socket;
when its reader is slow the socket is not read further, so back-pressure reaches the upstream. Leaving
`stream(...)` early drops the connection, which is how an upstream learns that nobody wants its answer.

Every failure becomes an `UpstreamError` here and nowhere else; its `sent` says whether the upstream may
have begun to work (and to cost). A request is never repeated here: that is the router's decision.

An answer is believed only when it is whole: one without a length ends with the connection, and then only
when the upstream closed it in order. A second answer to one question, or bytes that nobody asked for,
end the connection, so that they can never be taken for the answer to the next.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from inferworks.errors import ConfigError, UpstreamError

_HIGH_WATER_BYTES = 256 * 1024
_HEAD_BYTES = 256 * 1024
_TARGET = re.compile(r"/[!-~]*")
_HOST = re.compile(r"[a-z0-9._:%-]+")
_BREAK = re.compile(rb"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream listens, and the path its API begins at."""

    host: str
    port: int
    tls: bool
    base_path: str

    @classmethod
    def parse(cls, url: str) -> Origin:
        """The origin of an address such as `http://127.0.0.1:8000/v1`; ConfigError when it is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"not an http or https address: {url!r} ({error})") from error
        if parts.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host):
            raise ConfigError(f"not an http or https address: {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(f"the address of {host} may have no user, query or fragment")
        tls = parts.scheme == "https"
        return cls(host, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The address it was parsed from, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base_path}"

    @property
    def authority(self) -> str:
        """Host and port as the `host` header wants them: without the port that its scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for an upstream, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    between_bytes_s: float = 120.0
    idle_s: float = 30.0
    """How long an unused connection is kept; less than servers commonly do."""


class Response:
    """An upstream's answer: `status`, `headers` (lower-case names) and its body as it comes."""

    def __init__(self, connection: _Connection, status: int, headers: dict[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection

    async def pieces(self, timeout_s: float) -> AsyncIterator[bytes]:
        """The body, piece by piece; UpstreamError when it breaks off or stalls for `timeout_s`."""
        while piece := await self._connection.next_piece(timeout_s):
            yield piece

    async def next_piece(self, timeout_s: float) -> bytes:
        """The next piece of the body; empty at its end."""
        return await self._connection.next_piece(timeout_s)

    async def read(self, timeout_s: float, limit_bytes: int) -> bytes:
        """The whole body; UpstreamError when larger than `limit_bytes`."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self._connection.next_piece(timeout_s):
            size += len(piece)
            if size > limit_bytes:
                raise UpstreamError(f"answer larger than {limit_bytes} bytes", sent=True)
            pieces.append(piece)
        return b"".join(pieces)


class _Connection(asyncio.Protocol):
    """One connection to an upstream: one request at a time."""

    status: int
    complete: bool
    free_since: float
    _headers: dict[bytes, bytes]
    _pieces: deque[bytes]
    _buffered: int
    _head_bytes: int
    _error: str | None
    _until_close: bool
    _reusable: bool

    def __init__(self, where: str) -> None:
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.free_since = 0.0
        self._begin()

    # --- what the event loop and the parser call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.complete and self._error is None:
            if self.status and self._until_close and exc is None:
                self.complete = True
            else:
                when = "mid-answer" if self.status else "before it answered"
                self._error = f"{self._where} closed the connection {when}"
        self._wake()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(f"{self._where} sent something that is not HTTP/1.1")
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES:
                self._fail(f"{self._where} sent headers larger than {_HEAD_BYTES} bytes")
        if self._buffered > _HIGH_WATER_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError(
                "a second answer to one request"
            )  # the parser makes it an error of its own

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # what comes after the body are trailers
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = {}
            return
        self.status = status
        self._until_close = not ({b"content-length", b"transfer-encoding"} & self._headers.keys())

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        self.complete = True
        self._reusable = self._parser.should_keep_alive()

    # --- what the client calls

    def ask(self, request: bytes) -> None:
        """Send one request. Not waited for: the answer may come before all of it has left."""
        self._begin()
        if self._transport is None or self._transport.is_closing():
            raise UpstreamError(f"{self._where} closed the connection", sent=False)
        self._transport.write(request)

    async def answer_head(self, timeout_s: float) -> Response:
        """Wait for the head of the answer."""
        while not self.status:
            await self._wait(timeout_s)
        return Response(self, self.status, self._headers)

    async def next_piece(self, timeout_s: float) -> bytes:
        """All of the body that has come and was not taken; waits for some; empty at the end."""
        while not self._pieces:
            if self.complete:
                return b""
            await self._wait(timeout_s)
        pieces = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        if self._buffered > _HIGH_WATER_BYTES and self._transport is not None:
            self._transport.resume_reading()
        self._buffered = 0
        return pieces

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        if self._transport is None or self._transport.is_closing():
            return False
        answered = self.complete and self._reusable and not self._pieces
        return answered and self._transport.get_write_buffer_size() == 0

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _begin(self) -> None:
        """Forget the exchange before; ready for the next."""
        self._parser = httptools.HttpResponseParser(self)
        self._headers = {}
        self._pieces = deque()
        self._buffered = 0
        self._head_bytes = 0
        self._error = None
        self._until_close = False
        self._reusable = False
        self.status = 0
        self.complete = False

    async def _wait(self, timeout_s: float) -> None:
        if self._error is None and self._transport is None:
            self._error = f"{self._where} closed the connection"
        if self._error is not None:
            raise UpstreamError(self._error, sent=True)
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self._time_out, timeout_s)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _time_out(self, timeout_s: float) -> None:
        self._fail(f"{self._where} sent nothing for {timeout_s:g} s")
        self._wake()

    def _fail(self, error: str) -> None:
        """Believe nothing more that comes; the first failure is the one told."""
        self._error = self._error or error
        self.drop()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Pool:
    """The connections that are open and unused."""

    def __init__(self, timeouts: Timeouts, kept_per_origin: int) -> None:
        self.idle: dict[Origin, deque[_Connection]] = {}
        self._timeouts = timeouts
        self._kept_per_origin = kept_per_origin
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    def close(self) -> None:
        """Drop every kept connection, and keep none from now on."""
        self._closed = True
        for kept in self.idle.values():
            for connection in kept:
                connection.drop()
        self.idle.clear()

    async def take(self, origin: Origin) -> _Connection:
        """A kept connection, the last one used first, or a new one. UpstreamError when there is none."""
        kept = self.idle.get(origin)
        oldest = asyncio.get_running_loop().time() - self._timeouts.idle_s
        while kept:
            connection = kept.pop()
            if connection.usable and connection.free_since > oldest:
                return connection
            connection.drop()
        return await self._connect(origin)

    async def _connect(self, origin: Origin) -> _Connection:
        loop = asyncio.get_running_loop()
        where = origin.authority
        connection = _Connection(where)
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await loop.create_connection(
                    lambda: connection,
                    origin.host,
                    origin.port,
                    ssl=self._tls if origin.tls else None,
                )
        except TimeoutError as error:
            seconds = self._timeouts.connect_s
            raise UpstreamError(f"no connection to {where} in {seconds:g} s", sent=False) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
            raise UpstreamError(f"no connection to {where}: {error}", sent=False) from error
        return connection

    def give_back(self, origin: Origin, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end; drop any other."""
        if self._closed or not connection.usable:
            connection.drop()
            return
        kept = self.idle.setdefault(origin, deque())
        now = asyncio.get_running_loop().time()
        while kept and (kept[0].free_since <= now - self._timeouts.idle_s or not kept[0].usable):
            kept.popleft().drop()
        if len(kept) >= self._kept_per_origin:
            kept.popleft().drop()
        connection.free_since = now
        kept.append(connection)


class _Asking(AbstractAsyncContextManager[Response]):
    """One request. A class and not a generator: that would add a fifth to the CPU time of a call."""

    def __init__(self, pool: _Pool, origin: Origin, request: bytes, timeout_s: float) -> None:
        self._pool = pool
        self._origin = origin
        self._request = request
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Response:
        self._connection = await self._pool.take(self._origin)
        try:
            self._connection.ask(self._request)
            return await self._connection.answer_head(self._timeout_s)
        except BaseException:
            self._pool.give_back(self._origin, self._connection)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._pool.give_back(self._origin, self._connection)


class HttpClient:
    """Requests to upstreams over kept connections."""

    def __init__(self, timeouts: Timeouts = Timeouts(), *, kept_per_origin: int = 256) -> None:
        self._timeouts = timeouts
        self._pool = _Pool(timeouts, kept_per_origin)

    def stream(
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request and enter with the head of its answer; `path` comes after the base path.

        Leaving before the body was read to its end drops the connection. UpstreamError on failure.
        """
        request = _request(method, origin, path, headers, body)
        return _Asking(self._pool, origin, request, self._timeouts.first_byte_s)

    def close(self) -> None:
        """Drop every kept connection, and keep none from now on."""
        self._pool.close()


def _request(
    method: str, origin: Origin, path: str, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """The bytes of a request. UpstreamError when they would be read as something else."""
    target = f"{origin.base_path}{path}"
    if not _TARGET.fullmatch(target):
        raise UpstreamError(f"not a path that can be asked for: {target[:200]!r}", sent=False)
    length = b"content-length: %d\r\n" % len(body) if body or method != "GET" else b""
    start = f"{method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n".encode("ascii")
    return b"%b%b%b\r\n%b" % (start, length, _field_lines(headers), body)


def _field_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header fields as they are sent.

    One with a line break (a key read from a file, say) is refused: it would be read as more headers or as
    a second request.
    """
    pairs = list(headers)
    lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    if not lines.count(b"\n") == lines.count(b"\r") == len(pairs) or b"\0" in lines:
        bad = [name.decode("latin-1") for name, value in pairs if _BREAK.search(name + value)]
        raise UpstreamError(f"a line break in the headers {bad} for an upstream", sent=False)
    return lines
