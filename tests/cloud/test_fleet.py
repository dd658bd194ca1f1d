"""The fleet keeps replicas running, offers those that are ready, and ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferworks.clock import SystemClock
from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.cloud.backends.stub import StubBackend
from inferworks.cloud.fleet import Fleet, FleetSettings
from inferworks.errors import UpstreamError
from inferworks.ids import ModelId, NodeId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.journal import Journal
from inferworks.meter.record import SpoolCursor
from inferworks.meter.stores.stub import MemoryStore

MODEL = ModelId("tiny")


class HastyClock(SystemClock):
    """Remembers how long it was asked to sleep, and sleeps a thousandth of that."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Sleep a little."""
        self.pauses_s.append(seconds)
        await asyncio.sleep(seconds / 1000)


Test = Callable[[Fleet, StubBackend, HastyClock], Awaitable[None]]


def with_fleet(
    folder: Path, backend: StubBackend, test: Test, *, replicas: int = 2, hang_s: float = 30.0
) -> None:
    """Run `test` with a fleet that has not been started."""

    async def run() -> None:
        journal = Journal(MemoryStore())
        journal.start()
        clock = HastyClock()
        specs = [ReplicaSpec(ReplicaId(f"r{n}"), NodeId("node"), MODEL, 4) for n in range(replicas)]
        fleet = Fleet(
            backend,
            specs,
            journal,
            clock,
            FleetSettings(spools=folder, provider="own", hang_s=hang_s, collect_s=7.0),
        )
        try:
            await test(fleet, backend, clock)
        finally:
            await fleet.stop(0.0)
            journal.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run(), debug=True)


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something holds."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


def test_a_started_fleet_offers_every_replica(tmp_path: Path) -> None:
    """Start returns when all are ready; a stopped fleet offers nothing."""

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        assert fleet.models() == [MODEL]
        assert fleet.offers(MODEL) == []
        await fleet.start()
        assert [offer.replica for offer in fleet.offers(MODEL)] == ["r0", "r1"]
        assert fleet.offers(ModelId("other")) == []
        assert fleet.status() == {"r0": "ready", "r1": "ready"}
        await fleet.stop(1.0)
        assert fleet.offers(MODEL) == []
        assert fleet.status() == {"r0": "down", "r1": "down"}

    with_fleet(tmp_path, StubBackend(), test)


def test_a_replica_begins_where_its_record_ends(tmp_path: Path) -> None:
    """No hour of the machine is counted twice when the clock was set back since the replica's last life."""
    covered_ns = 5 * 10**18  # in the year 2128

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        last = SpoolCursor(
            "file", ReplicaId("r0"), NodeId("node"), 0, State.DOWN, covered_ns, 0, finished=True
        )
        await fleet._journal.commit(last)
        await fleet.start()
        spools = {replica: reader.spool for replica, reader in fleet._traces.items()}
        assert spools[ReplicaId("r0")].started_ns == covered_ns
        assert spools[ReplicaId("r1")].started_ns < 4 * 10**18

    with_fleet(tmp_path, StubBackend(), test)


def test_a_dead_replica_is_not_offered_and_replaced(tmp_path: Path) -> None:
    """The other replicas carry on when one dies, and it comes back."""

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        await fleet.start()
        backend.replicas[0].crash()
        await until(lambda: len(fleet.offers(MODEL)) == 1)
        assert [offer.replica for offer in fleet.offers(MODEL)] == ["r1"]
        await until(lambda: len(fleet.offers(MODEL)) == 2)
        assert [spec.replica for spec in backend.started] == ["r0", "r1", "r0"]

    with_fleet(tmp_path, StubBackend(), test)


def test_a_replica_that_answers_nothing_is_killed_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that is there and does nothing is said, counted and treated as one that has died."""

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        await fleet.start()
        hanging, well = backend.replicas
        hanging.hang()
        await until(lambda: len(backend.replicas) == 3 and len(fleet.offers(MODEL)) == 2)
        assert await hanging.wait() == "killed"
        assert [spec.replica for spec in backend.started] == ["r0", "r1", "r0"]
        assert fleet._supervisor.works["r0"].failures == 1
        assert fleet._supervisor.works["r1"].failures == 0
        assert not well._ended.is_set()

    with_fleet(tmp_path, StubBackend(), test, hang_s=0.1)
    assert "replica r0 ended (it answered nothing for 0.1 s and was killed)" in caplog.text


def test_a_fleet_that_cannot_start_says_so(tmp_path: Path) -> None:
    """A replica that will not start makes the start fail, and nothing is left running."""

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        with pytest.raises(UpstreamError, match="would not start"):
            await fleet.start()
        assert fleet.offers(MODEL) == []

    with_fleet(tmp_path, StubBackend(failures=1), test)


def test_pauses_grow_while_a_replica_keeps_dying(tmp_path: Path) -> None:
    """A model that dies at once is started again ever more slowly, up to a bound."""

    async def test(fleet: Fleet, backend: StubBackend, clock: HastyClock) -> None:
        await fleet.start()
        for life in range(9):
            await until(lambda life=life: len(backend.replicas) == life + 1)  # type: ignore[misc]
            backend.replicas[life].crash()
        await until(lambda: len(backend.replicas) == 10)
        pauses = [seconds for seconds in clock.pauses_s if seconds != 7.0]
        assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]

    with_fleet(tmp_path, StubBackend(), test, replicas=1)
