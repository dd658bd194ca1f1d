"""The clock seam: everything that waits or stamps a time asks a Clock, so that time can be replaced.

`SystemClock` is the world's. `SimClock` is the fake: it stands still until its sleepers are all
asleep, then jumps to the next wake-up, so hours pass in milliseconds and a run is reproducible.
Times are integer nanoseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol


class Clock(Protocol):
    """What the program may ask of time."""

    def now_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC; never runs backwards within a process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The world's time: the wall clock read once, then carried on by the monotonic clock.

    So a correction of the wall clock while the program runs cannot make an interval negative.
    """

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Wall-clock nanoseconds since 1970-01-01 UTC."""
        return self._anchor_ns + time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)


class SimClock:
    """Simulated time: `advance` jumps from one wake-up to the next, earliest first, ties by arrival."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = 0

    def now_ns(self) -> int:
        """Simulated nanoseconds."""
        return self._now_ns

    async def sleep(self, seconds: float) -> None:
        """Sleep until the simulation has come `seconds` further."""
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        wake_ns = self._now_ns + max(0, round(seconds * 1e9))  # a wait that is over moves no time
        heapq.heappush(self._sleepers, (wake_ns, self._arrivals, wake))
        await wake

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking every sleeper whose time comes, in order."""
        end_ns = self._now_ns + round(seconds * 1e9)
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            self._now_ns, _, wake = heapq.heappop(self._sleepers)
            if not wake.done():
                wake.set_result(None)
            await _settle()
        self._now_ns = end_ns


async def _settle() -> None:
    """Let every task that is ready run until it waits again."""
    for _ in range(50):
        await asyncio.sleep(0)
