"""A client of one connection: asks, and tells when the first byte and the end of the answer came."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import httptools

from gateways.calls import Target


@dataclass(frozen=True)
class Answer:
    """An answer that came to its end in good order. Times are of `time.monotonic_ns`."""

    status: int
    body: bytes
    asked_ns: int
    first_byte_ns: int
    """Arrival of the first byte of its body."""
    ended_ns: int

    @property
    def took_ms(self) -> float:
        """Milliseconds from the request to the end of the answer."""
        return (self.ended_ns - self.asked_ns) / 1e6

    @property
    def first_byte_ms(self) -> float:
        """Milliseconds from the request to the first byte."""
        return (self.first_byte_ns - self.asked_ns) / 1e6


class Connection(asyncio.Protocol):
    """One connection, one call at a time."""

    _asked_ns: int
    _first_byte_ns: int
    _pieces: list[bytes]

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Answer] | None = None
        self.usable = True

    async def ask(self, request: bytes) -> Answer:
        """Send `request` and wait for the whole answer; ConnectionError when it breaks off."""
        self._parser = httptools.HttpResponseParser(self)
        self._pieces = []
        self._first_byte_ns = 0
        self._answer = self._loop.create_future()
        self._asked_ns = time.monotonic_ns()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Leave."""
        self._transport.close()

    def on_piece(self, data: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(data)

    # --- what the event loop and the parser call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse incoming bytes."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The answer that is waited for will not come."""
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(f"the answer broke off: {exc}"))

    def on_body(self, body: bytes) -> None:
        """A piece of the body, its framing taken off."""
        if not self._first_byte_ns:
            self._first_byte_ns = time.monotonic_ns()
        self.on_piece(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self.usable = self._parser.should_keep_alive()
        now_ns = time.monotonic_ns()
        status, body = self._parser.get_status_code(), b"".join(self._pieces)
        first_ns = self._first_byte_ns or now_ns
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, body, self._asked_ns, first_ns, now_ns))


async def open_connection(target: Target) -> Connection:
    """A new connection to `target`."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Connection, "127.0.0.1", target.port))[1]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the `ordered` values do not exceed; not a number for none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
