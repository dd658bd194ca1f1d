"""An HTTP/1.1 client for upstreams: keeps connections, streams at once, gives up cleanly.

Same reasons as the server beside it. Leaving `stream(...)` early drops the connection, which is how an
upstream learns that nobody wants its answer.

Every failure becomes an `UpstreamError` here or in `upstream` and nowhere else; its `sent` says whether
the upstream may have begun to work (and to cost). A request is never repeated here: that is the router's
decision.

Kept connections. One that has ended while it was kept is dropped unseen: the event loop has noticed. One
whose end is under way cannot be told from a good one, not even by looking at the socket before each use
(which would cost every call a system call), so it is used, and what then fails says `unread`. The others
kept for that upstream have waited longer and are as likely to be gone, so they go too: who asks again gets
a new connection, or one that has answered since.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from collections import deque
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache

from inferworks.errors import UpstreamError
from inferworks.http.deadlines import NEVER, Deadlines
from inferworks.http.heads import field_lines
from inferworks.http.origin import Origin
from inferworks.http.upstream import Response, UpstreamConnection

__all__ = ["NEVER", "HttpClient", "Origin", "Response", "Timeouts"]

_IN_ONE_PIECE_BYTES = 16 * 1024  # a larger body is not copied behind its head
_TARGET = re.compile(r"/[!-~]*")
_BREAK = re.compile(rb"[\r\n\0]")
_IN_C = re.compile(r"^\[.*?\] | \(_ssl\.c:\d+\)$")  # what Python puts around the words of OpenSSL
_PLAIN = "accept-encoding: identity\r\n"
"""Without it any coding is welcome (RFC 9110, 12.5.3), and proxies before an upstream choose one."""
_NOTHING_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts for an upstream, in seconds."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    between_bytes_s: float = 120.0
    answer_s: float = NEVER
    """Limit for a whole answer, from the request to its last byte."""
    idle_s: float = 30.0
    """Time that an unused connection is kept; shorter than most servers' keep-alive."""


_DEFAULT = Timeouts()


class _Pool:
    """The connections that are open and unused."""

    def __init__(
        self, timeouts: Timeouts, kept_per_origin: int, tls: ssl.SSLContext | None
    ) -> None:
        self.idle: dict[Origin, deque[UpstreamConnection]] = {}
        self._timeouts = timeouts
        self._kept_per_origin = kept_per_origin
        self._deadlines = Deadlines()
        self._tls = tls
        self._closed = False

    def close(self) -> None:
        """Drop every kept connection, and keep none from now on."""
        self._closed = True
        for kept in self.idle.values():
            for connection in kept:
                connection.drop()
        self.idle.clear()
        self._deadlines.close()

    def take_idle(self, origin: Origin) -> UpstreamConnection | None:
        """A kept connection, the last one used first."""
        kept = self.idle.get(origin)
        now = asyncio.get_running_loop().time()
        while kept:
            connection = kept.pop()
            if connection.usable and connection.free_since > now - self._timeouts.idle_s:
                connection.reused_at = now
                return connection
            connection.drop()
        return None

    async def connect(self, origin: Origin) -> UpstreamConnection:
        """Open a new connection; UpstreamError when that fails."""
        where = origin.authority
        connection = UpstreamConnection(where, self._deadlines)
        if origin.tls and self._tls is None:
            # The certificates of all authorities are read, which takes longer than a loop may stand.
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await _open(connection, origin, self._tls if origin.tls else None)
        except TimeoutError as error:
            seconds = self._timeouts.connect_s
            raise UpstreamError(
                f"could not connect to {where} within {seconds:g} s", sent=False
            ) from error
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not trusted ({error.verify_message})"
            raise UpstreamError(f"could not connect to {where}: {why}", sent=False) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name
            why, ours = _describe(error, tls=origin.tls), _is_local(error)
            raise UpstreamError(
                f"could not connect to {where}: {why}", sent=False, ours=ours
            ) from error
        return connection

    def give_back(self, origin: Origin, connection: UpstreamConnection) -> None:
        """Keep a connection whose answer was read to its end; drop any other."""
        if self._closed or not connection.usable:
            connection.drop()
            if connection.unread:
                for other in self.idle.pop(origin, ()):
                    other.drop()
            return
        kept = self.idle.setdefault(origin, deque())
        now = asyncio.get_running_loop().time()
        while kept and (kept[0].free_since <= now - self._timeouts.idle_s or not kept[0].usable):
            kept.popleft().drop()
        if len(kept) >= self._kept_per_origin:
            kept.popleft().drop()
        connection.free_since = now
        kept.append(connection)


async def _open(connection: UpstreamConnection, origin: Origin, tls: ssl.SSLContext | None) -> None:
    """Connect to the first address of `origin` that takes it. OSError when none does."""
    loop = asyncio.get_running_loop()
    name = origin.host if tls else None
    refused: list[str] = []  # in words: an error would hold this frame, which would hold the error
    for address in await _addresses(origin):
        try:
            await loop.create_connection(
                lambda: connection, address, origin.port, ssl=tls, server_hostname=name
            )
        except ssl.SSLError:
            raise  # it did take it
        except OSError as error:
            if _is_local(error):
                raise  # nor could another be tried
            refused.append(_describe(error, tls=origin.tls))
        else:
            return
    raise OSError("; ".join(dict.fromkeys(refused)) or "its host name has no address")


def _describe(error: OSError | UnicodeError, *, tls: bool) -> str:
    """Describe a connection error in words; OSError may have none."""
    match error:
        case ssl.SSLError(reason=reason):
            # Where OpenSSL is newer than Python, Python has no name for some of its reasons.
            why = (reason or _IN_C.sub("", str(error))).lower().replace("_", " ")
            return f"the TLS handshake failed ({why})"
        case ConnectionResetError() | ConnectionAbortedError() if tls:
            return "the TLS handshake failed (it closed the connection, without a reason)"
        case OSError(errno=number, strerror=why) if number in _NOTHING_LEFT:
            return f"there is nothing left here to make one with ({why})"
        case _:
            return str(error) or type(error).__name__


def _is_local(error: OSError | UnicodeError) -> bool:
    """Return True when this machine has no descriptor or memory left, so that no upstream was asked."""
    return isinstance(error, OSError) and error.errno in _NOTHING_LEFT


async def _addresses(origin: Origin) -> list[str]:
    """The addresses of `origin`, the best first. OSError or UnicodeError when it has none.

    Not left to `create_connection`, which in uvloop forgets the look-up of a name when it is given up: an
    answer that comes later, and is a failure, is then reported as one that nobody has retrieved.
    """
    if ":" in origin.host:  # an address, perhaps with a scope, which a look-up would lose
        return [origin.host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror:
        os.close(
            os.open(os.devnull, os.O_RDONLY)
        )  # without a descriptor no name is known: say that
        raise
    return [str(address[0]) for *_, address in found]


class _Request(AbstractAsyncContextManager[Response]):
    """One request. A class and not a generator: that would add a fifth to the CPU time of a call."""

    __slots__ = ("_connection", "_origin", "_pool", "_request", "_timeouts")

    def __init__(
        self, pool: _Pool, origin: Origin, request: tuple[bytes, ...], timeouts: Timeouts
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._request = request
        self._timeouts = timeouts

    async def __aenter__(self) -> Response:
        connection = self._pool.take_idle(self._origin) or await self._pool.connect(self._origin)
        self._connection = connection
        try:
            timeouts = self._timeouts
            connection.send(self._request, timeouts.first_byte_s, timeouts.answer_s)
            while not connection.status:
                await connection.more()
        except BaseException:
            self._pool.give_back(self._origin, connection)
            raise
        return Response(connection)

    async def __aexit__(self, *_: object) -> None:
        self._pool.give_back(self._origin, self._connection)


class HttpClient:
    """Requests to upstreams over kept connections."""

    def __init__(
        self,
        timeouts: Timeouts = _DEFAULT,
        *,
        kept_per_origin: int = 256,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Certificates are verified against the system's authorities, or as `tls` says."""
        self._timeouts = timeouts
        self._pool = _Pool(timeouts, kept_per_origin, tls)

    def stream(
        self,
        method: str,
        origin: Origin,
        path: str,
        headers: Collection[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request and enter with the head of its answer; `path` comes after the base path.

        Leaving before the body was read to its end drops the connection. UpstreamError on failure.
        """
        start = _start(method, origin, path)
        try:
            fields = field_lines(headers)
        except ValueError as error:
            # A key read from a file, say: it would be read as more headers or as a second request.
            bad = [name.decode("latin-1") for name, value in headers if _BREAK.search(name + value)]
            raise UpstreamError(
                f"request headers {bad} contain a line break", sent=False
            ) from error
        length = b"content-length: %d\r\n" % len(body) if body or method != "GET" else b""
        request: tuple[bytes, ...]
        if len(body) > _IN_ONE_PIECE_BYTES:
            request = b"%b%b%b\r\n" % (start, length, fields), body
        else:
            request = (b"%b%b%b\r\n%b" % (start, length, fields, body),)
        return _Request(self._pool, origin, request, self._timeouts)

    def close(self) -> None:
        """Drop every kept connection, and keep none from now on."""
        self._pool.close()


@lru_cache(maxsize=1024)
def _start(method: str, origin: Origin, path: str) -> bytes:
    """The first lines of a request, which are few and the same for many."""
    target = f"{origin.base_path}{path}"
    if not _TARGET.fullmatch(target):
        raise UpstreamError(f"invalid request path: {target[:200]!r}", sent=False)
    return f"{method} {target} HTTP/1.1\r\nhost: {origin.authority}\r\n{_PLAIN}".encode("ascii")
