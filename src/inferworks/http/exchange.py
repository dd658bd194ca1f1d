"""One request and its answer: all that a handler sees of a connection.

A handler is one plain coroutine with an `Exchange` in hand. `respond` sends a whole answer; `start`,
`send` and `end` send a stream, whose head travels with its first piece in one segment. Each waits while
the client's socket is full, so back-pressure reaches whoever makes the answer; where it is not, which is
nearly always, nothing is waited for and no coroutine is made for the waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from inferworks.http.budget import Held
from inferworks.http.heads import Headers

_IN_ONE_PIECE = 64 * 1024  # a body larger than this is not copied behind its head


class ClientGone(ConnectionError):
    """The client left before its answer was complete."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request line and headers of a request; shared by several exchanges, so never changed."""

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]
    """Values by lower-case name."""
    keep_alive: bool = True
    """True when another request may follow on the connection."""
    chunked: bool = True
    """True when the client understands a chunked answer."""
    peer: str = ""
    """Address at the other end of the connection, which may be a proxy's; empty when it has none."""


class Admission(NamedTuple):
    """Limits of an admitted request's body, decided by its head."""

    body_bytes: int | None = None
    """Largest body in bytes; None: the server's limit."""
    owner: Hashable = None
    """Owner for whom its bytes are counted; None for an unauthenticated client."""


class Refused(NamedTuple):
    """An answer that is given by the head alone."""

    status: int
    content_type: bytes
    body: bytes
    headers: Headers = ()


Admit = Callable[[RequestHead], Admission | Refused]
"""Function that admits each request with a body by its head, before any of the body is taken."""


class Carrier(Protocol):
    """Transport of an answer to the client: a connection, or a fake of one."""

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """The head of an answer. ValueError when a header holds a line break."""
        ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Hand `data` on; what is returned has to be awaited. ClientGone when there is no client."""
        ...

    def hold(self) -> Held:
        """Return a counter of bytes held for the client."""
        ...

    @property
    def most_body_bytes(self) -> int:
        """Largest body that is accepted, in bytes."""
        ...


OnLeave = Callable[[Callable[[], object]], bool]
"""Decide whether a handler goes on without its client; every write then raises ClientGone.

The argument cancels the handler after all. A server that stops calls it when its drain time is over.
"""


class Exchange:
    """One request and its answer. `headers` has lower-case names; `body` is complete."""

    __slots__ = ("_carrier", "_chunked", "_head", "body", "extra_headers", "finished", "headers", "held",
                 "is_call", "keep_alive", "method", "on_leave", "path", "peer", "query", "request_id",
                 "started", "status")  # fmt: skip

    def __init__(self, carrier: Carrier, head: RequestHead, body: bytes) -> None:
        self.method = head.method
        self.path = head.path
        self.query = head.query
        self.headers = head.headers
        self.body = body
        self.keep_alive = head.keep_alive
        self.peer = head.peer
        self.on_leave: OnLeave | None = None
        """Function called when the client leaves; with none, the handler is cancelled at once."""
        self.extra_headers: Headers = ()
        """Headers that the answer has besides its own, whatever it will be."""
        self.request_id = ""
        """Identifier of this request that the client is told; empty until it is known."""
        self.is_call = False
        """True when the request has become a call, of which there is a record."""
        self.started = False
        self.finished = False
        self.held: Held | None = None
        """Bytes counted for `body`, if it is large."""
        self.status = 0
        self._chunked = head.chunked
        self._head = b""
        self._carrier = carrier

    def replace_body(self, body: bytes, held: Held) -> None:
        """Go on with `body` in place of the one that came; `held` is what is counted for it."""
        if self.held is not None:
            self.held.release()
        self.body, self.held = body, held

    def hold(self) -> Held:
        """Return a counter of bytes held for this client."""
        return self._carrier.hold()

    @property
    def most_body_bytes(self) -> int:
        """Largest body that is accepted, in bytes."""
        return self._carrier.most_body_bytes

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
        if self.method == "HEAD":
            full = self._carrier.write(head)
        elif len(body) <= _IN_ONE_PIECE:
            full = self._carrier.write(head + body)
        else:
            full = self._carrier.write(head)
            if full is not None:
                await full
            full = self._carrier.write(body)
        if full is not None:
            await full
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
            if self.method == "HEAD":
                data = b""
            elif self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            full = self._carrier.write(head + data)
            if full is not None:
                await full

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece (which may be empty) and end the stream."""
        assert self.started, "end comes after start"
        assert not self.finished, "a stream is ended once"
        head, self._head = self._head, b""
        if self.method == "HEAD":
            data = b""
        elif self._chunked:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        full = self._carrier.write(head + data)
        if full is not None:
            await full
        self.finished = True

    def _begin(self, status: int, headers: Headers) -> bytes:
        assert not self.started, "an exchange is answered once"
        if self.extra_headers:
            headers = (*headers, *self.extra_headers)
        head = self._carrier.head(status, headers, keep_alive=self.keep_alive)
        self.started = True
        self.status = status
        return head


Handler = Callable[[Exchange], Awaitable[None]]
