"""Delivery of warnings: at least once, by one sender at a time, and never for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inferworks.errors import UpstreamError
from inferworks.limits import outbox
from inferworks.limits.ledger import Rows
from inferworks.limits.outbox import NotTakenError, Outbox
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits
from inferworks.limits.warnings import LimitWarning
from inferworks.units import NS_PER_SECOND

S = NS_PER_SECOND
START_NS = 1_700_000_000 * S


class World:
    """A ledger with a clock of its own, and a receiver that takes what it is told to take."""

    def __init__(self, count: int = 1) -> None:
        self.now_ns = START_NS
        self.ledger = MemoryLedger(lambda: self.now_ns)
        for n in range(count):
            one = LimitWarning(f"w{n}", "account", "{}", START_NS + n, due_ns=START_NS)
            self.ledger.warnings[one.id] = one
        self.got: list[str] = []
        self.error: UpstreamError | None = None
        self.running = self.most_running = 0
        self.hangs = False

    async def take(self, warning: LimitWarning) -> None:
        """Take a warning, or raise."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(60 if self.hangs else 0)
        self.running -= 1
        self.got.append(warning.id)
        if self.error is not None:
            raise self.error

    def outbox(self) -> Outbox:
        """Return a sender."""
        return Outbox(MemoryLimits(self.ledger), self)

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * S)


def test_each_is_sent_once_and_a_few_at_once() -> None:
    """All that is due is sent, and nothing twice."""
    world = World(20)
    sender = world.outbox()
    assert asyncio.run(sender.send()) == 20
    assert sorted(world.got) == sorted(f"w{n}" for n in range(20))
    assert world.most_running == outbox.AT_ONCE
    assert all(one.sent_ns == START_NS for one in world.ledger.warnings.values())
    world.pass_s(10**6)
    assert asyncio.run(sender.send()) == 0
    assert sender.outcomes == {"delivered": 20}


def test_what_fails_is_repeated_after_longer_pauses_and_given_up_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten attempts in three days and a half; then a line in the log says that it is given up."""
    world = World()
    world.error = UpstreamError("nobody listens", sent=False)
    sender = world.outbox()
    asyncio.run(sender.send())
    pauses = []
    while due_ns := world.ledger.warnings["w0"].due_ns:
        pauses.append((due_ns - world.now_ns) / S)
        world.now_ns = due_ns - 1
        assert asyncio.run(sender.send()) == 0
        world.now_ns = due_ns
        assert asyncio.run(sender.send()) == 1
    assert pauses == sorted(pauses)
    assert (len(world.got), round(pauses[0])) == (10, 5)
    assert 3 * 86_400 < sum(pauses) < 4 * 86_400
    assert sender.outcomes == {"failed": 10, "given_up": 1}
    assert "warning w0 was not taken, and is given up: nobody listens" in caplog.text


def test_a_receiver_says_when_to_try_again_or_never() -> None:
    """A longer pause that is asked for is kept, up to a day; one that is gone gets nothing more."""
    world = World()
    world.error = NotTakenError("busy", 3600)
    sender = world.outbox()
    asyncio.run(sender.send())
    assert world.ledger.warnings["w0"].due_ns == START_NS + 3600 * S
    world.pass_s(3600)
    world.error = NotTakenError("busy", 10**9)
    asyncio.run(sender.send())
    assert world.ledger.warnings["w0"].due_ns == world.now_ns + 86_400 * S
    world.pass_s(86_400)
    world.error = NotTakenError("gone", is_final=True)
    asyncio.run(sender.send())
    assert world.ledger.warnings["w0"].due_ns == 0
    assert sender.outcomes["given_up"] == 1


def test_a_sender_that_dies_leaves_it_to_another() -> None:
    """A warning that a sender has taken is nobody else's for a minute; then another sends it."""
    world = World()
    first, second = world.outbox(), world.outbox()

    async def die() -> None:
        world.hangs = True
        task = asyncio.ensure_future(first.send())
        while not world.running:
            await asyncio.sleep(0.001)
        task.cancel()
        world.hangs = False

    asyncio.run(die())
    assert asyncio.run(second.send()) == 0
    world.pass_s(61)
    assert asyncio.run(second.send()) == 1
    assert world.ledger.warnings["w0"].tries == 2
    assert second.outcomes == {"delivered": 1}


def test_senders_of_several_gateways_share_the_work(tmp_path: Path) -> None:
    """Four senders on one store send each of a hundred warnings once."""
    stores = [SqliteLimits(tmp_path / "limits.db") for _ in range(4)]
    world = World(0)

    def put(rows: Rows) -> None:
        now_ns = rows.now_ns()
        for n in range(100):
            rows.put_warning(LimitWarning(f"w{n}", "account", "{}", now_ns, due_ns=now_ns))

    stores[0].transact(put)

    async def run() -> None:
        await asyncio.gather(*(Outbox(store, world).send() for store in stores))

    asyncio.run(run())
    assert sorted(world.got) == sorted(f"w{n}" for n in range(100))
    for store in stores:
        store.close()
