"""Upstreams, well-behaved and faulty; each remembers its requests and answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from inferworks.http.server import Exchange, HttpServer
from inferworks.simulation.network import Manners, Network
from inferworks.simulation.turns import Turns
from inferworks.testing.upstream import Answer, FakeUpstream, Fault, Reports
from inferworks.testing.upstreams.scripted_server import Broken

_WORDS = ("Gross", " margin", " is", " what", " is", " left", " of", " revenue", ".", " ü", " 円")

_BAD = (
    "slow", "hang", "hang mid", "reset", "close", "garbage", "error event", "429", "500", "529",
    "no usage", "zero usage", "flood", "not http", "hangs up after",
)  # fmt: skip


_SLOW = {"slow": (0.001, 0.05, 0.4), "very slow": (0.6, 1.5)}
"""Seconds before each event."""


@dataclass
class Asked:
    """A request that reached an upstream."""

    at_ns: int
    upstream: str
    behaviour: str
    input_tokens: int
    output_tokens: int
    whole: bool = False
    """True if all of its answer was handed over, with its usage."""


@dataclass
class Upstream:
    """One host that serves models, in the mood that the world gives it."""

    name: str
    turns: Turns
    network: Network
    random: Random
    badness: float = 0.0
    """The share of requests that go wrong."""
    asked: dict[str, list[Asked]] = field(default_factory=dict)
    """Requests received, by the label of the request's end user."""
    bugs: list[BaseException] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Name of the host in the configuration."""
        return f"{self.name}.test"

    async def start(self) -> None:
        """Listen, at an address of its own."""
        self._fake = FakeUpstream((Answer(),))
        self._server = HttpServer(self._handle, on_error=self._escaped)
        address = f"10.0.0.{self.name.removeprefix('up')}"
        self.network.names[self.host] = address
        self.network.manners[address] = self._manners
        self.network.manners[self.host] = self._named
        await self._server.start(address, 80)

    async def stop(self) -> None:
        """Drop every connection."""
        await self._server.stop(0.0)

    def _named(self) -> Manners:
        bad = self.random.random() < self.badness / 8
        return Manners(connects="no name" if bad else "yes")

    def _manners(self) -> Manners:
        random = self.random
        manners = Manners(
            latency_ns=(10_000, random.choice((200_000, 5_000_000))),
            piece_bytes=random.choice(((1, 7), (1, 400), (500, 60_000))),
            window_bytes=random.choice((2_000, 64_000)),
        )
        if random.random() < self.badness:
            manners.connects = random.choice(
                ("yes", "yes", "refused", "refused", "never", "no descriptors")
            )
            manners.cut_after = random.choice((None, 0, random.randrange(4000)))
        return manners

    async def _handle(self, exchange: Exchange) -> None:
        random = self.random
        label = ""
        with suppress(ValueError):
            label = str(json.loads(exchange.body).get("user", ""))
        bad = random.random() < self.badness
        behaviour = random.choice(_BAD) if bad else random.choice(("good", "slow", "very slow"))
        words = tuple(random.choices(_WORDS, k=random.randint(1, 40)))
        answer = Answer(words=words, input_tokens=random.randint(1, 900))
        told = (0, 0) if behaviour == "zero usage" else (answer.input_tokens, len(words))
        asked = Asked(self.turns.now_ns, self.name, behaviour, *told)
        self.asked.setdefault(label, []).append(asked)
        self.turns.note(f"{self.name} {label} {behaviour}")
        await self._answer(exchange, answer, behaviour)
        asked.whole = behaviour in {"good", *_SLOW, "hangs up after"}

    async def _answer(self, exchange: Exchange, answer: Answer, behaviour: str) -> None:
        random = self.random
        faults = {
            "hang": Fault.HANG_BEFORE_HEADERS, "hang mid": Fault.HANG, "reset": Fault.RESET,
            "close": Fault.CLOSE, "garbage": Fault.GARBAGE, "error event": Fault.ERROR_EVENT,
        }  # fmt: skip
        changes: dict[str, Any] = {}
        if behaviour in faults:
            changes = {"fault": faults[behaviour], "fault_after": random.randrange(6)}
        elif behaviour in _SLOW:
            changes = {"event_s": random.choice(_SLOW[behaviour])}
        elif behaviour.isdecimal():
            headers = ((b"retry-after", b"2"),) if random.random() < 0.5 else ()
            changes = {"status": int(behaviour), "headers": headers}
        elif behaviour in {"no usage", "zero usage"}:
            changes = {"reports": Reports.NEVER if behaviour == "no usage" else Reports.ZERO}
        if random.random() < 0.2:
            changes["piece_bytes"] = random.randint(1, 300)
        if behaviour == "hang":
            await asyncio.Event().wait()
        if behaviour == "flood":
            await exchange.start(200, [(b"content-type", b"application/json")])
            for _ in range(random.randint(3, 20)):
                await exchange.send(b'{"a": "' + b"x" * 20_000)
            await exchange.end()
        elif behaviour == "not http":
            exchange._carrier.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")  # noqa: SLF001 what no server does
            raise Broken
        else:
            exchange.keep_alive = exchange.keep_alive and behaviour != "hangs up after"
            await self._fake.answer(exchange, msgspec.structs.replace(answer, **changes))

    def _escaped(self, error: BaseException) -> None:
        if not isinstance(error, Broken):
            self.bugs.append(error)
