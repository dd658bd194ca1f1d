"""Attempts that may run beside each other: for calls with a hedge or a deadline.

Problem. An attempt is a context that must be left by the task that entered it, and two of them must wait
at once, while their call is one task that can be cancelled at any moment.

Decision. Each attempt has a task of its own, which enters, waits to be released and leaves. The call's
task waits for news from any of them, or for the time that the route gives them, and asks the route what
to do. Every attempt but the winner is cancelled and awaited before the answer is handed on: so a loser's
leg is on record, its connection dropped and its offer's load given back, whatever happens to the winner.

Rejected. `asyncio.timeout` around an attempt (it ends the attempt, where a hedge wants it to go on);
letting losers run out for their usage: most would be paid for in full, and the call's one record would
have to wait for them. So a loser is dropped, also at an offer whose answers are drained when a client
leaves, and what it has used is counted or estimated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.route import (
    ANSWERS,
    SLOW,
    AttemptOutcome,
    AttemptResult,
    Route,
    Step,
    next_step,
)
from inferworks.cloud.serving.attempt import Attempt
from inferworks.meter.usage import Outcome
from inferworks.units import NS_PER_SECOND

_WAIT = Step(None)


class HedgedAttempt:
    """An attempt in a task of its own."""

    def __init__(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        self.attempt = attempt
        self.begun: asyncio.Future[None] = loop.create_future()
        """Done when the attempt's answer is there, or its failure."""
        self._released: asyncio.Future[None] = loop.create_future()
        self._error: BaseException | None = None
        """Error that ended the answer early, until it is left; kept longer, it would hold the frames that
        hold it.
        """
        self.task = loop.create_task(self._run())

    async def _run(self) -> None:
        await self.attempt.begin()
        self.begun.set_result(None)
        try:
            await self._released
        except BaseException as cancelled:
            await self.attempt.leave(cancelled)
            raise
        error, self._error = self._error, None
        try:
            await self.attempt.leave(error)
        finally:
            del error

    async def release(self, error: BaseException | None = None) -> None:
        """Leave the answer, with the error that ended it early if one did, and wait until it is left."""
        if not self._released.done():
            self._error = error
            self._released.set_result(None)
        await asyncio.wait({self.task})
        self.task.result()


class HedgedCall:
    """The attempts of one call that run now."""

    def __init__(
        self,
        route: Route,
        health: Health,
        start: Callable[[Offer, bool], Attempt],
        failed: Callable[[Attempt, AttemptResult], None],
    ) -> None:
        """`start` begins an attempt, beside another or not; `failed` is told of those that failed."""
        self._route = route
        self._clock = health.clock
        self._start = start
        self._failed = failed
        self._running: list[HedgedAttempt] = []
        self.timed_out = False
        """True when the call's deadline passed before any attempt answered."""

    async def run(self, step: Step | None) -> HedgedAttempt | None:
        """The attempt that answers first, beginning with `step`; None when nobody does."""
        winner: HedgedAttempt | None = None
        try:
            while step is not None and winner is None:
                winner, step = await self._carry_out(step)
            await self._stop()
        except BaseException:  # above all: the client has left
            if winner is not None:
                self._running.insert(0, winner)
            await self._stop()
            for hedged in reversed(self._running):  # the main one last
                hedged.attempt.cut_off(Outcome.CANCELLED)
            raise
        now_ns = self._clock.now_ns()
        self.timed_out = bool(self._running) and winner is None
        for hedged in self._running:
            if winner is None:
                hedged.attempt.timed_out(now_ns)
            else:
                hedged.attempt.outrun(now_ns)
        return winner

    def abandon(self) -> None:
        """Let running attempts go on without a client, and begin no other."""
        self._route.close()
        self._route = _nobody_else(self._running)
        next(self._route)

    async def _carry_out(self, step: Step) -> tuple[HedgedAttempt | None, Step | None]:
        """Do one step; return the attempt that won with it, or the next step."""
        if step.wait_ns:
            await self._clock.sleep(step.wait_ns / NS_PER_SECOND)
        if step.offer is not None:
            self._running.append(HedgedAttempt(self._start(step.offer, bool(self._running))))
        hedged = await self._first_done(step.slow_after_ns)
        if hedged is None:
            return None, next_step(self._route, SLOW)
        result = hedged.attempt.judge(self._clock.now_ns())
        self._running.remove(hedged)
        if result.outcome in ANSWERS:
            return hedged, None
        of_whom = msgspec.structs.replace(result, offer=hedged.attempt.offer)
        lacks = result.outcome is AttemptOutcome.LACKS
        following = next_step(self._route, of_whom) if lacks else None
        if lacks and following is None:
            return hedged, None
        self._failed(hedged.attempt, result)
        await hedged.release()
        return None, following if lacks else next_step(self._route, of_whom)

    async def _first_done(self, slow_after_ns: int | None) -> HedgedAttempt | None:
        """The first that has begun to answer or failed; None when none has in `slow_after_ns`."""
        waits: set[asyncio.Future[None]] = {hedged.begun for hedged in self._running}
        waits |= {hedged.task for hedged in self._running}
        timer = None
        if slow_after_ns is not None:
            timer = asyncio.ensure_future(self._clock.sleep(slow_after_ns / NS_PER_SECOND))
            waits.add(timer)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if timer is not None:
                timer.cancel()
        for hedged in self._running:
            if hedged.begun.done():
                return hedged
            if hedged.task.done():
                hedged.task.result()  # it ended before it began: with an error that is no upstream's
        return None

    async def _stop(self) -> None:
        """Cancel whoever still runs, and wait for it."""
        tasks = {hedged.task for hedged in self._running}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for hedged in self._running:
            if hedged.task.cancelled():  # its error holds the frame that holds its attempt
                with suppress(asyncio.CancelledError):
                    hedged.task.result()
            hedged.attempt.over()  # a task that is cancelled before its first turn does nothing itself


def _nobody_else(running: Sequence[HedgedAttempt]) -> Route:
    """The route of a call that nobody waits for: let those of `running` finish."""
    yield _WAIT  # what was told before the client left
    while running:
        yield _WAIT
