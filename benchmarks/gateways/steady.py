"""Latency that a gateway adds at a low rate: the same calls through it and straight to the mock, in turns.

The load is open: a call leaves at its time, whatever became of those before it. The calls of both ways
alternate, so other load on the machine hits both alike, and the quantiles are subtracted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateways.calls import Target
from gateways.client import Answer, Connection, open_connection, quantile


@dataclass(frozen=True)
class Added:
    """Latency that the gateway adds, in milliseconds, and the calls through it."""

    p50_ms: float
    p99_ms: float
    whole: int
    failed: int


class Caller:
    """Calls to one target over kept connections."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: deque[Connection] = deque()
        self.answers: list[Answer] = []
        self.failed = 0

    async def call(self, request: bytes) -> None:
        """Make one call; an interrupted one counts as failed."""
        try:
            end = self._idle.pop() if self._idle else await open_connection(self._target)
            self.answers.append(await end.ask(request))
        except OSError:
            self.failed += 1
            return
        if end.usable:
            self._idle.append(end)

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()


async def added(
    direct: Target,
    through: Target,
    request: Callable[[Target], bytes],
    *,
    rate_per_s: float,
    seconds: float,
    is_good: Callable[[Answer], bool],
    took_ms: Callable[[Answer], float],
) -> Added:
    """Make `rate_per_s` calls both ways for `seconds`, and compare the `took_ms` of each."""
    callers = Caller(direct), Caller(through)
    questions = request(direct), request(through)
    number = max(1, round(rate_per_s * seconds))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for turn in range(2 * number):
            await asyncio.sleep(begin + turn / (2 * rate_per_s) - loop.time())
            tasks.create_task(callers[turn % 2].call(questions[turn % 2]))
    for caller in callers:
        caller.close()
    return _compared(*callers, is_good, took_ms)


def _compared(
    direct: Caller,
    through: Caller,
    is_good: Callable[[Answer], bool],
    took_ms: Callable[[Answer], float],
) -> Added:
    good = [answer for answer in through.answers if is_good(answer)]
    straight, longer = sorted(map(took_ms, direct.answers)), sorted(map(took_ms, good))
    return Added(
        p50_ms=_difference(longer, straight, 0.5),
        p99_ms=_difference(longer, straight, 0.99),
        whole=len(good),
        failed=through.failed + len(through.answers) - len(good),
    )


def _difference(longer: Sequence[float], shorter: Sequence[float], share: float) -> float:
    return quantile(longer, share) - quantile(shorter, share)
