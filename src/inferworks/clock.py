"""The clock seam: everything that waits or stamps a time asks a Clock, so that time can be replaced.

Problem. The wall clock says when something happened, and people set it: NTP some minutes after a machine
has booted, a virtual machine that is resumed, an administrator. A program that reads it once is wrong for
as long as it runs; one that reads it each time measures calls of minus half an hour.

Decision. A clock advances with the monotonic clock, and is compared with the wall clock at each reading.
When the two are a second or more apart, the wall clock was set: the clock is set too, and the log has both
times. To measure an interval, take `carried()` at its beginning, a clock that is never set, and read both
ends from it. So a call that runs through a step has its true length and began when its beginning was
believed to be; the next call has the new time.

`SystemClock` is the real one. `SimClock` is the fake: it stands still until its sleepers are all
asleep, then jumps to the next wake-up, so hours pass in milliseconds and a run is reproducible.
Times are integer nanoseconds since 1970-01-01 UTC.

Rejected. Comparing once a second (a task more that may die, and a second of wrong times after each resume);
clamping each interval at zero (a call of a minute that met a step would have no length, or forty days).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
import types
from collections.abc import Awaitable, Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_STEP_NS: Final = 1_000_000_000
"""Difference of the wall clock that counts as a step. Smaller corrections add up until they are one."""
_AT_ONCE_NS: Final = 50_000_000
"""Two clocks read one after the other within this time were read at the same time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger("inferworks.clock")


class Clock(Protocol):
    """Source of time for the program."""

    def now_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC; jumps, either way, when the wall clock is set."""
        ...

    def carried(self) -> Clock:
        """A clock that agrees with this one now, never jumps and never runs backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


Sleep = Callable[[float], Awaitable[None]]


class _Carried:
    """The time at one moment, carried on by a monotonic clock."""

    __slots__ = ("_anchor_ns", "_monotonic_ns", "_sleep")

    def __init__(self, anchor_ns: int, monotonic_ns: Callable[[], int], sleep: Sleep) -> None:
        self._anchor_ns = anchor_ns
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as they were believed to be at that moment."""
        return self._anchor_ns + self._monotonic_ns()

    def carried(self) -> Clock:
        """Return this clock."""
        return self

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await self._sleep(seconds)


class SystemClock:
    """The world's time. Any thread may ask it."""

    def __init__(
        self,
        wall_ns: Callable[[], int] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """The sources of time are the system's unless others are given."""
        self._wall_ns = wall_ns or _wall_ns
        self._monotonic_ns = monotonic_ns
        self._setting = threading.Lock()
        self._carried = self._anchored()

    def now_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC."""
        return self.carried().now_ns()

    def carried(self) -> Clock:
        """A clock that agrees with this one now and is never set."""
        carried = self._carried
        now_ns = carried._anchor_ns + self._monotonic_ns()  # noqa: SLF001 its `now_ns`, on every call
        if -_STEP_NS < self._wall_ns() - now_ns < _STEP_NS:
            return carried
        return self._set()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)

    def _anchored(self) -> _Carried:
        """The wall clock's time, carried on from now."""
        while True:  # a process that is stopped between two readings has read two different moments
            before_ns = self._monotonic_ns()
            wall_ns = self._wall_ns()
            if self._monotonic_ns() - before_ns < _AT_ONCE_NS:
                return _Carried(wall_ns - before_ns, self._monotonic_ns, self.sleep)

    def _set(self) -> _Carried:
        """Follow the wall clock if it was set."""
        with self._setting:
            before, after = self._carried, self._anchored()
            before_ns, after_ns = before.now_ns(), after.now_ns()
            if abs(after_ns - before_ns) < _STEP_NS:
                return before  # the process stood still, or another thread came first
            self._carried = after
        _log.warning(
            "the wall clock was set by %+.3f s: it was %s and is %s",
            (after_ns - before_ns) / 1e9, _written(before_ns), _written(after_ns),
        )  # fmt: skip
        return after


def _wall_ns() -> int:
    return time.time_ns()


def _written(at_ns: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).isoformat(timespec="milliseconds")


class SimClock:
    """Simulated time: `advance` jumps from one wake-up to the next, earliest first, ties by arrival."""

    def __init__(self, start_ns: int = 0) -> None:
        self._elapsed_ns = 0
        self._carried = self._anchored(start_ns)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    def now_ns(self) -> int:
        """Simulated nanoseconds."""
        return self._carried.now_ns()

    def carried(self) -> Clock:
        """A clock that agrees with this one now and is never set."""
        return self._carried

    def set(self, now_ns: int) -> None:
        """Set the wall clock; no time passes."""
        self._carried = self._anchored(now_ns)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the simulation has come `seconds` further."""
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        wake_ns = self._elapsed_ns + max(0, round(seconds * 1e9))  # one that is over moves no time
        heapq.heappush(self._sleepers, (wake_ns, self._arrivals, wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking every sleeper whose time comes, in order."""
        end_ns = self._elapsed_ns + round(seconds * 1e9)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            self._elapsed_ns, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
            await _settle()
        self._elapsed_ns = end_ns

    def _anchored(self, now_ns: int) -> _Carried:
        return _Carried(now_ns - self._elapsed_ns, lambda: self._elapsed_ns, self.sleep)


@types.coroutine
def _settle() -> Generator[None, None, None]:
    """Let every task that is ready run until it waits again."""
    for _ in range(50):
        yield  # as `asyncio.sleep(0)` does, at less than half of its cost
