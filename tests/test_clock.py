"""The two clocks: the world's never runs backwards, the simulated one wakes sleepers in order."""

from __future__ import annotations

import asyncio
import time

import pytest

from inferworks.clock import Clock, SimClock, SystemClock

SECOND_NS = 1_000_000_000


def test_system_clock_never_runs_backwards():
    """Readings of the system clock do not decrease, and are wall-clock nanoseconds."""
    clock = SystemClock()
    readings = [clock.now_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert abs(readings[-1] - time.time_ns()) < 60 * SECOND_NS


def test_system_clock_ignores_a_correction_of_the_wall_clock(monkeypatch):
    """Setting the wall clock back while the program runs makes no interval negative."""
    clock = SystemClock()
    before = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now_ns() >= before


def test_system_clock_sleeps():
    """A sleep lasts at least as long as asked for."""

    async def main():
        clock = SystemClock()
        began = time.monotonic()
        await clock.sleep(0.01)
        assert time.monotonic() - began >= 0.009

    asyncio.run(main())


def sleeper(clock: Clock, log: list, name: str, *waits: float):
    """A task that notes when it wakes from each of `waits`."""

    async def main():
        for seconds in waits:
            await clock.sleep(seconds)
            log.append((name, clock.now_ns() / SECOND_NS))

    return asyncio.ensure_future(main())


def test_simulated_sleepers_wake_in_order():
    """Sleepers wake earliest first and ties by arrival, each seeing exactly its own time."""

    async def main():
        clock, log = SimClock(), []
        tasks = [
            sleeper(clock, log, "a", 3, 1),
            sleeper(clock, log, "b", 1, 1, 1),
            sleeper(clock, log, "c", 1),
        ]
        await clock.advance(10)
        assert log == [("b", 1), ("c", 1), ("b", 2), ("a", 3), ("b", 3), ("a", 4)]
        assert clock.now_ns() == 10 * SECOND_NS
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_simulated_time_stands_still():
    """Without `advance` no simulated time passes, and with it only as much as was said."""

    async def main():
        clock, log = SimClock(start_ns=5 * SECOND_NS), []
        task = sleeper(clock, log, "a", 2)
        await asyncio.sleep(0)
        assert clock.now_ns() == 5 * SECOND_NS
        await clock.advance(1.5)
        assert log == []
        await clock.advance(0.5)
        assert log == [("a", 7)]
        await task

    asyncio.run(main())


def test_hours_pass_in_no_time():
    """A simulated day of waiting takes the machine less than a second of work."""

    async def main():
        clock, log = SimClock(), []
        task = sleeper(clock, log, "a", *[3600] * 24)
        began = time.process_time()
        await clock.advance(24 * 3600)
        assert time.process_time() - began < 1.0
        assert len(log) == 24
        await task

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_that_is_over_does_not_turn_time_back(seconds):
    """Waiting for a moment that has passed wakes at once, at the present time."""

    async def main():
        clock, log = SimClock(start_ns=5 * SECOND_NS), []
        task = sleeper(clock, log, "a", seconds)
        await clock.advance(0)
        assert log == [("a", 5)]
        await task

    asyncio.run(main())


def test_cancelled_sleeper_is_passed_over():
    """A sleeper that is cancelled neither wakes nor keeps others from waking."""

    async def main():
        clock, log = SimClock(), []
        cancelled, other = sleeper(clock, log, "a", 1), sleeper(clock, log, "b", 2)
        await asyncio.sleep(0)
        cancelled.cancel()
        await clock.advance(3)
        assert log == [("b", 2)]
        assert cancelled.cancelled()
        await other

    asyncio.run(main())
