"""Clients: well-behaved ones, ones that leave early, and hostile ones."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, Final
from zlib import crc32

from inferworks.simulation.gateway import HOST, PORT
from inferworks.simulation.turns import Turns

PATIENCE_S: Final = 90.0
"""Seconds that exceed all time limits of the gateway: a client that waits so long was forgotten."""
_IN_TURN_S: Final = 60.0
"""Longer than a whole answer takes, and less than an idle connection is kept."""
CHAT: Final = "/v1/chat/completions"
_CALL_ID = re.compile(rb"x-inferworks-call-id: (\S+)", re.IGNORECASE)
_COST = re.compile(rb"x-inferworks-cost: (\S+)", re.IGNORECASE)
_COST_IN_ANSWER = re.compile(rb'"cost":\s?([0-9.]+)')
_PICO: Final = 10**12


@dataclass
class Call:
    """One call as its client has seen it."""

    label: str
    """Told to the gateway as its end user, so that the call is known everywhere."""
    customer: str
    stream: bool
    asked_ns: int
    sent: bool = False
    """True once the whole request left."""
    status: int = 0
    call_id: str = ""
    whole: bool = False
    """True once the whole answer came."""
    cost_pico: int | None = None
    """Cost disclosed to the client, in picounits."""
    body: bytes = b""
    forgotten: bool = False
    """True if nothing came of it in all that time."""


class Wire(asyncio.Protocol):
    """A client's end of a connection: all that came, and whether it ended."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.ended = False
        self.news = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport of the open connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """More came."""
        self.came += data
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call: no more bytes will come."""
        self.ended = True
        self.news.set()


class Clients:
    """All clients of a world, with their results."""

    def __init__(self, turns: Turns, random: Random) -> None:
        self.turns = turns
        self.random = random
        self.calls: list[Call] = []
        self.answered_after_heal = 0

    def request(
        self, call: Call, secret: str, model: str, *, more: dict[str, Any] | None = None
    ) -> bytes:
        """The bytes of a chat."""
        body: dict[str, Any] = {
            "model": model,
            "user": call.label,
            "messages": [{"role": "user", "content": "What is gross margin? " * self.random.randint(1, 9)}],
        }  # fmt: skip
        if call.stream:
            body |= {"stream": True}
        if self.random.random() < 0.5:
            body |= {"usage": {"include": True}}
        body |= more or {}
        return http("POST", CHAT, json.dumps(body).encode(), secret)

    def new_call(self, customer: str, *, stream: bool) -> Call:
        """A call that is about to be made."""
        call = Call(f"call-{len(self.calls)}", customer, stream, self.turns.now_ns)
        self.calls.append(call)
        return call

    async def ask(self, customer: str, secret: str, model: str) -> Call:
        """Make one call in one of the ways in which clients make calls."""
        random = self.random
        way = random.choice(
            ("reads", "reads", "reads", "reads", "leaves", "slow reader", "byte by byte", "half")
        )
        call = self.new_call(customer, stream=random.random() < 0.5)
        data = self.request(call, secret, model)
        wire = await connected()
        if wire is None:
            return call
        try:
            await self._send(wire, call, data, way)
            if way == "half":
                return call
            if way == "slow reader":
                wire.transport.pause_reading()
                await asyncio.sleep(random.choice((0.01, 1.0, 40.0)))
                wire.transport.resume_reading()
            patience_s = random.choice((0.0, 0.02, 0.5, 3.0)) if way == "leaves" else PATIENCE_S
            await self._read(wire, call, patience_s)
            call.forgotten = way != "leaves" and not call.whole and not wire.ended
        finally:
            wire.transport.abort()
        self.turns.note(f"{call.label} {way} {call.status} {call.whole} {crc32(call.body):08x}")
        return call

    async def pipeline(self, customer: str, secret: str, model: str) -> None:
        """Several calls on one connection, sent at once, read one after the other."""
        calls = [self.new_call(customer, stream=False) for _ in range(self.random.randint(2, 4))]
        wire = await connected()
        if wire is None:
            return
        wire.transport.write(b"".join(self.request(call, secret, model) for call in calls))
        for call in calls:
            call.sent = True
            await self._read(wire, call, _IN_TURN_S)
            if not call.whole:
                call.forgotten = not wire.ended
                break
        wire.transport.abort()

    async def harm(self, secret: str, model: str) -> None:
        """Something that no client should do, with a key."""
        random = self.random
        call = self.new_call("mallory", stream=False)
        good = self.request(call, secret, model)
        data = random.choice(
            (
                good[: random.randrange(len(good))],
                bytes(random.choices(range(256), k=random.randint(1, 3000))),
                good.replace(b"content-length: ", b"content-length: 1\r\ncontent-length: "),
                good.replace(b"\r\n", b"\n"),
                b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000,
                http("POST", CHAT, b"[" * random.choice((10, 5000)), secret),
                self.request(call, secret, model, more={"messages": " " * 70_000}),
                http("POST", CHAT, b'{"model": "nobody has it", "messages": []}', secret),
                http("POST", CHAT, good.partition(b"\r\n\r\n")[2], "iw_wrong"),
                http("CONNECT", "example.com:443", b"", secret),
                http("GET", "/metrics", b"", secret),
                http("POST", "/v1/usage/events", b'{"specversion":"1.0"}', secret),
                self.request(call, secret, model, more={"max_tokens": 10**30}),
                self.request(call, secret, model, more={"user": "x" * 5000}),
                self.request(call, secret, model, more={"n": -1, "stop": [None] * 2000}),
            )
        )  # fmt: skip
        wire = await connected()
        if wire is None:
            return
        for piece in self._pieces(data):
            wire.transport.write(piece)
            await asyncio.sleep(random.choice((0.0, 0.001)))
        if random.random() < 0.3:
            wire.transport.write_eof()
        deadline = self.turns.now_ns + round(random.choice((0.1, 2.0, 20.0)) * 1e9)
        while not wire.ended and self.turns.now_ns < deadline:
            await wait(wire, (deadline - self.turns.now_ns) / 1e9)
        wire.transport.abort()

    async def _send(self, wire: Wire, call: Call, data: bytes, way: str) -> None:
        if way == "half":
            wire.transport.write(data[: self.random.randrange(len(data))])
            await asyncio.sleep(self.random.choice((0.0, 0.1, 2.0)))
            return
        for piece in self._pieces(data) if way == "byte by byte" else (data,):
            wire.transport.write(piece)
            await asyncio.sleep(0)
        call.sent = True

    def _pieces(self, data: bytes) -> list[bytes]:
        cuts = sorted(
            self.random.randrange(len(data) + 1) for _ in range(self.random.randint(0, 9))
        )
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    async def _read(self, wire: Wire, call: Call, patience_s: float) -> None:
        """Read one answer, and leave later bytes."""
        deadline = self.turns.now_ns + round(patience_s * 1e9)
        while True:
            size = take_in(call, bytes(wire.came))
            if size is not None:
                del wire.came[:size]
                return
            if wire.ended or self.turns.now_ns >= deadline:
                return
            await wait(wire, (deadline - self.turns.now_ns) / 1e9)


async def connected() -> Wire | None:
    """A connection to the gateway, if it takes one."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5.0):
            _, wire = await loop.create_connection(Wire, HOST, PORT)
    except (OSError, TimeoutError):
        return None
    return wire


async def wait(wire: Wire, seconds: float) -> None:
    """Wait for more."""
    wire.news.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wire.news.wait()


def http(method: str, path: str, body: bytes, secret: str) -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {secret}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def take_in(call: Call, data: bytes) -> int | None:
    """Update `call` from `data`; return the size of its answer once that is whole."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    call.status = int(head.split(b" ", 2)[1])
    if named := _CALL_ID.search(head):
        call.call_id = named[1].decode()
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body, size = unchunked(rest) if length is None else (rest[: int(length[1])], int(length[1]))
    call.body = body
    if size is None or len(rest) < size:
        return None
    call.whole = True
    told = _COST.search(head) or _COST_IN_ANSWER.search(body)
    if told:
        call.cost_pico = int(Decimal(told[1].decode()) * _PICO)
    return len(head) + 4 + size


def unchunked(data: bytes) -> tuple[bytes, int | None]:
    """The body in chunked `data` as far as it came, and the size of it all once it is whole."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return b"".join(pieces), None
        size = int(data[at:end], 16)
        if size == 0:
            whole = data[end + 2 : end + 4] == b"\r\n"
            return b"".join(pieces), end + 4 if whole else None
        pieces.append(data[end + 2 : end + 2 + size])
        at = end + 4 + size
