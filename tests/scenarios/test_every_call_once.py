"""Exactly one Usage of every call, whatever clients and crashes do.

These run the real thing: `inferworks up` in its own process with its replica, real sockets, real
kills. What the clients saw is compared with what the journal holds afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from inferworks.http.client import Origin
from inferworks.meter.facts import Facts
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome, Usage
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

FOREVER = (0, 2**63 - 1)


@dataclass(frozen=True)
class Seen:
    """Bytes that one client received of its call."""

    data: bytes
    stream: bool

    @property
    def whole(self) -> bool:
        """True if the answer came to its end."""
        head, found, body = self.data.partition(b"\r\n\r\n")
        if not found:
            return False
        if self.stream:
            return body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        return len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])

    @property
    def call_id(self) -> str:
        """The call's id in the answer's head."""
        return self.data.split(b"x-inferworks-call-id: ")[1].split(b"\r\n")[0].decode()

    @property
    def usage(self) -> dict[str, Any]:
        """The usage that the answer told."""
        at = self.data.rindex(b'"usage":') + len(b'"usage":')
        return msgspec.json.decode(
            self.data[at : self.data.index(b"}", at) + 1], type=dict[str, Any]
        )


def request(key: str, number: int, *, stream: bool, max_tokens: int) -> bytes:
    """A chat completion, as bytes on the wire."""
    body = {
        "model": "inferworks-tiny",
        "messages": [{"role": "user", "content": f"What is {number} + {number}?"}],
        "max_tokens": max_tokens,
        "min_tokens": max_tokens,
        "ignore_eos": True,
        "temperature": 1,
        "seed": number,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    data = msgspec.json.encode(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data


async def call(
    origin: Origin,
    sent: bytes,
    *,
    stream: bool,
    leave_after: int | None = None,
    begun: Callable[[], None] = lambda: None,
) -> Seen:
    """Send a request and read the answer, whose first bytes are told to `begun`.

    Leave after so many bytes of it, if given.
    """
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    seen = b""
    try:
        writer.write(sent)
        while leave_after is None or len(seen) < leave_after:
            room = 65536 if leave_after is None else leave_after - len(seen)
            piece = await reader.read(room)
            if not piece:
                break
            if not seen:
                begun()
            seen += piece
    except ConnectionError:
        pass  # the gateway was killed: what came until then is what was seen
    finally:
        writer.transport.abort()
    return Seen(seen, stream)


def facts_of(platform: RealPlatform) -> Facts:
    """All that the journal holds, once the platform has stopped without a complaint."""
    assert "Traceback" not in platform.log(), platform.log()
    with JournalReader(platform.folder.journal) as reader:
        assert list(reader.opened_unclosed()) == []
        return reader.facts(*FOREVER)


def check_once(facts: Facts, seen: Sequence[Seen]) -> dict[str, Usage]:
    """The invariants that hold after any storm; the usages by call id."""
    usages = {str(usage.call_id): usage for usage in facts.usages}
    assert len(usages) == len(facts.usages)
    for answer in filter(lambda answer: answer.whole, seen):
        usage = usages[answer.call_id]
        assert usage.outcome is Outcome.ANSWERED
        assert usage.tokens.input == answer.usage["prompt_tokens"]
        assert usage.tokens.output == answer.usage["completion_tokens"]
    prefilled: Counter[str] = Counter()
    for step in facts.steps:
        for part in step.calls:
            assert str(part.call_id) in usages, "the replica worked on a call without a record"
            prefilled[str(part.call_id)] += part.prefill_tokens
    for call_id, usage in usages.items():
        if usage.outcome is Outcome.ANSWERED:
            assert prefilled[call_id] == usage.tokens.input
    return usages


def test_200_calls_with_random_disconnects(tmp_path: Path) -> None:
    """Of 200 concurrent calls, many leave at a random byte; each has exactly one record."""
    chance = random.Random(20261121)

    async def storm(origin: Origin, key: str) -> list[Seen]:
        calls = []
        for number in range(200):
            stream = chance.random() < 0.7
            sent = request(key, number, stream=stream, max_tokens=chance.randint(4, 40))
            leave_after = chance.randint(0, 12_000) if chance.random() < 0.6 else None
            calls.append(call(origin, sent, stream=stream, leave_after=leave_after))
        return await asyncio.gather(*calls)

    # One customer's calls may all wait, so that none is refused.
    (tmp_path / "inferworks.toml").write_text(
        "[fairness]\nqueue_per_customer = 200\nqueue_wait_s = 300\n"
    )
    with real_platform(tmp_path / "data", tmp_path) as platform:
        key = platform.key()
        seen = uvloop.run(storm(platform.start(), key))
        assert platform.stop() == 0
        facts = facts_of(platform)
        usages = check_once(facts, seen)
    outcomes = Counter(usage.outcome for usage in usages.values())
    assert outcomes[Outcome.CANCELLED] > 0
    assert outcomes[Outcome.ANSWERED] >= sum(answer.whole for answer in seen) > 60
    assert set(outcomes) <= {Outcome.ANSWERED, Outcome.CANCELLED}
    assert sum(outcomes.values()) <= 200


def test_sigkill_under_load(tmp_path: Path) -> None:
    """A gateway killed under load and started again has one record for every call, none twice."""

    async def storm(origin: Origin, key: str, platform: RealPlatform) -> list[Seen]:
        """Keep 32 calls in flight; kill the gateway once 40 are answered and a long answer begins."""
        seen: list[Seen] = []
        killed = asyncio.Event()

        def kill() -> None:
            if len(seen) >= 40 and not killed.is_set():
                killed.set()
                platform.kill()

        async def client(first: int) -> None:
            for number in range(first, first + 1000):
                if killed.is_set():
                    return
                is_long = not first  # in flight for sure when it has only begun
                stream = is_long or number % 4 != 0
                sent = request(
                    key, number, stream=stream, max_tokens=250 if is_long else 8 + number % 64
                )
                begun = {"begun": kill} if is_long else {}
                try:
                    seen.append(await call(origin, sent, stream=stream, **begun))
                except ConnectionError:
                    return

        await asyncio.gather(*(client(1000 * n) for n in range(32)))
        return seen

    with real_platform(tmp_path / "data") as platform:
        key = platform.key()
        seen = uvloop.run(storm(platform.start(), key, platform))
        platform.start()
        assert platform.stop() == 0
        facts = facts_of(platform)
        usages = check_once(facts, seen)
    outcomes = Counter(usage.outcome for usage in usages.values())
    assert outcomes[Outcome.ANSWERED] >= sum(answer.whole for answer in seen) >= 40
    assert outcomes[Outcome.CRASHED] > 0, "nothing was in flight when the gateway was killed"
    for usage in usages.values():
        if usage.outcome is Outcome.CRASHED and usage.tokens.input:
            assert usage.confidence == "counted"
