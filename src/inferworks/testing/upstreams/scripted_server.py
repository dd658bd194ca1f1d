"""Base of every fake upstream: a port, a script, a memory, and the ways in which an answer breaks.

A vendor's fake defines the answer to one request (`answer`) and the look of a broken answer (`Breakage`);
the rest is here. The server follows its script over real HTTP: each request gets the next answer, and the
last answer is repeated.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from inferworks.http.client import Origin
from inferworks.http.server import Connection, Exchange, Headers, HttpServer
from inferworks.testing.upstreams.script import Fault, Scripted

JSON = b"application/json"
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
"""Header of a stream of server-sent events."""
_MOMENT_S = 0.02

A = TypeVar("A", bound=Scripted)
"""Type of the answers in a script."""


class Received(msgspec.Struct, frozen=True):
    """A request as it came; header names in lower case."""

    path: str
    headers: dict[bytes, bytes]
    body: bytes


class Broken(Exception):
    """Raised in the handler to make the server cut its connection."""


class ScriptedUpstream(ABC, Generic[A]):
    """Handler of requests with a memory; `opened` gives it a port.

    Requests are kept in `received`, and `left_early` counts the clients that were gone before their
    answer was complete.
    """

    base_path: ClassVar[str] = ""
    """Path at which the API begins."""

    def __init__(self, answers: Sequence[A]) -> None:
        self.received: list[Received] = []
        self.left_early = 0
        self.server = HttpServer(self.handle, on_error=self._escaped)
        self.origin = Origin("127.0.0.1", 9, tls=False, base_path=self.base_path)
        self._answers = list(answers)
        self._connections: set[Connection] = set()
        self._bugs: list[BaseException] = []

    @abstractmethod
    async def answer(self, exchange: Exchange, scripted: A) -> None:
        """Answer one request as `scripted` says; `Broken` cuts its connection."""

    @property
    def connections(self) -> int:
        """Number of connections that ever sent a request: fewer than requests when they are kept alive."""
        return len(self._connections)

    def script(self, *answers: A) -> None:
        """Set the answers to the requests from now on."""
        self._answers = list(answers)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says."""
        self._connections |= self.server.connections
        self.received.append(Received(exchange.path, dict(exchange.headers), exchange.body))
        scripted = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        try:
            if scripted.fault is Fault.HANG_BEFORE_HEADERS:
                await _hang()
            await self.answer(exchange, scripted)
        except asyncio.CancelledError:
            self.left_early += 1
            raise

    async def stop(self) -> None:
        """Drop every client; AssertionError when the fake itself had failed."""
        await self.server.stop(drain_s=0.0)
        assert not self._bugs, f"the fake upstream itself failed: {self._bugs}"

    def _escaped(self, error: BaseException) -> None:
        if not isinstance(error, Broken):
            self._bugs.append(error)


U = TypeVar("U", bound=ScriptedUpstream[Any])


@asynccontextmanager
async def opened(upstream: U) -> AsyncIterator[U]:
    """`upstream` on a free port of the loopback while the block runs."""
    port = await upstream.server.start("127.0.0.1", 0)
    upstream.origin = msgspec.structs.replace(upstream.origin, port=port)
    try:
        yield upstream
    finally:
        await upstream.stop()


class Breakage(msgspec.Struct, frozen=True):
    """Bytes at the point where an answer breaks, in one vendor's format."""

    garbage: bytes
    """Unreadable bytes, in a stream."""
    error: bytes
    """An error, in a stream."""
    error_body: bytes
    """An error, where the rest of a whole answer should be."""
    nothing: bytes = b": \n\n"
    """Bytes without content, sent before a hang so that the head leaves."""


async def write_whole(
    exchange: Exchange,
    answer: Scripted,
    body: bytes,
    breakage: Breakage,
    *,
    content_type: bytes = JSON,
    headers: Headers = (),
) -> None:
    """Send an answer that is no stream, or as much of it as comes before its fault."""
    await asyncio.sleep(answer.event_s)
    if answer.fault is Fault.NONE:
        await exchange.respond(answer.status, body, content_type, headers)
        return
    await exchange.start(answer.status, [(b"content-type", content_type)])
    if answer.fault_after:
        await exchange.send(body[: len(body) // 2])
    if answer.fault is Fault.ERROR_EVENT:
        await exchange.end(breakage.error_body)
    else:
        await _go_wrong(exchange, answer.fault, breakage)


async def write_events(
    exchange: Exchange,
    answer: Scripted,
    events: Iterable[bytes],
    breakage: Breakage,
    *,
    last: bytes = b"",
    headers: Headers = (EVENTS,),
) -> None:
    """Send a stream up to its fault, else to its end; `last` follows the events at once."""
    await exchange.start(answer.status, headers)
    for number, event in enumerate(events):
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            await _go_wrong(exchange, answer.fault, breakage)
            return
        await asyncio.sleep(answer.event_s)
        await _write(exchange, event, answer.piece_bytes)
    await _write(exchange, last, answer.piece_bytes)
    if answer.end_apart:
        await asyncio.sleep(_MOMENT_S)
    await exchange.end()


async def _write(exchange: Exchange, data: bytes, piece_bytes: int | None) -> None:
    """Send `data` at once, or in pieces each of which leaves by itself."""
    if piece_bytes is None:
        await exchange.send(data)
        return
    for start in range(0, len(data), piece_bytes):
        await exchange.send(data[start : start + piece_bytes])
        await asyncio.sleep(0)


async def _go_wrong(exchange: Exchange, fault: Fault, breakage: Breakage) -> None:
    """Break an answer that has begun."""
    match fault:
        case Fault.HANG:
            await exchange.send(breakage.nothing)
            await _hang()
        case Fault.RESET:
            raise Broken
        case Fault.GARBAGE:
            await exchange.send(breakage.garbage)
        case Fault.ERROR_EVENT:
            await exchange.send(breakage.error)
    await exchange.end()


async def _hang() -> None:
    await asyncio.Event().wait()
