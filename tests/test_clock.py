"""The two clocks: the world's follows the wall clock, the simulated one wakes sleepers in order."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.clock import Clock, SimClock, SystemClock

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS


def test_system_clock_never_runs_backwards():
    """Readings of the system clock do not decrease, and are wall-clock nanoseconds."""
    clock = SystemClock()
    readings = [clock.now_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert abs(readings[-1] - time.time_ns()) < 60 * SECOND_NS


class World:
    """A wall clock and a monotonic one that a test moves."""

    def __init__(self) -> None:
        self.wall_ns = 1_800_000_000 * SECOND_NS
        self.monotonic_ns = 5 * SECOND_NS

    def clock(self) -> SystemClock:
        """A clock over both."""
        return SystemClock(lambda: self.wall_ns, lambda: self.monotonic_ns)

    def pass_(self, ns: int) -> None:
        """Let time pass."""
        self.wall_ns += ns
        self.monotonic_ns += ns


@pytest.mark.parametrize("step_ns", [-40 * DAY_NS, -SECOND_NS, SECOND_NS, 40 * DAY_NS])
def test_a_clock_that_is_set_is_followed(step_ns, caplog):
    """The next reading is right, and the log says once from what to what."""
    world = World()
    clock = world.clock()
    world.pass_(SECOND_NS)
    world.wall_ns += step_ns
    for _ in range(3):
        assert clock.now_ns() == world.wall_ns
        world.pass_(7)
    (line,) = caplog.messages
    assert line.startswith(
        f"the wall clock was set by {step_ns / SECOND_NS:+.3f} s: it was 2027-01-15"
    )


def test_small_corrections_are_followed_once_they_have_added_up(caplog):
    """A clock that is nudged runs on evenly, but never a second off."""
    world = World()
    clock = world.clock()
    for _ in range(100):
        world.pass_(SECOND_NS)
        world.wall_ns += SECOND_NS // 40
        assert abs(clock.now_ns() - world.wall_ns) < SECOND_NS
    assert len(caplog.messages) == 2


def test_a_process_that_was_stopped_is_no_step(caplog):
    """Between two readings any time may pass; what was read before and after it is not compared."""
    world, reads = World(), 0

    def wall_ns() -> int:
        nonlocal reads
        reads += 1
        now_ns = world.wall_ns
        if reads in {2, 4}:  # stopped for an hour just after the wall clock was read
            world.pass_(3600 * SECOND_NS)
        return now_ns

    clock = SystemClock(wall_ns, lambda: world.monotonic_ns)
    assert clock.now_ns() == world.wall_ns
    assert not caplog.messages


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * DAY_NS), st.integers(-90 * DAY_NS, 90 * DAY_NS)), max_size=20
    )
)
def test_no_interval_is_negative_whatever_is_set(moves):
    """Both ends of an interval read on a carried clock differ by exactly the time that passed."""
    world = World()
    clock, simulated = world.clock(), SimClock(world.wall_ns)
    begun = [(clock.carried(), clock.now_ns(), world.monotonic_ns)]
    for passed_ns, step_ns in moves:
        world.pass_(passed_ns)
        world.wall_ns += step_ns
        begun.append((clock.carried(), clock.carried().now_ns(), world.monotonic_ns))
        assert abs(clock.now_ns() - world.wall_ns) < SECOND_NS
        for carried, began_ns, at_ns in begun:
            assert carried.now_ns() - began_ns == world.monotonic_ns - at_ns
            assert carried.carried() is carried
        simulated.set(world.wall_ns)
        assert simulated.now_ns() == simulated.carried().now_ns() == world.wall_ns


def test_a_simulated_clock_that_is_set_wakes_its_sleepers_in_time():
    """Setting it lets no time pass, and those who sleep wake after as long as they wanted."""

    async def main():
        clock, log = SimClock(), []
        carried = clock.carried()
        task = sleeper(clock, log, "a", 2)
        await clock.advance(1)
        clock.set(1000 * SECOND_NS)
        await clock.advance(0.5)
        assert log == []
        await clock.advance(0.5)
        assert log == [("a", 1001)]
        assert carried.now_ns() == 2 * SECOND_NS
        await task

    asyncio.run(main())


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
