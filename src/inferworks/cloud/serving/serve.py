"""Serving of one call: the only retry loop.

`serve` drives a route with real attempts until one begins to answer, and enters with that answer. It
tries again only before the first byte: from then on the answer is the client's, and a second attempt
would be a second answer. Every attempt is a leg in the call's record, so failed attempts, which may have
cost money, are on record beside the successful one.

Most calls are one attempt after the other in the call's own task. Only where a
route has a time limit for the first byte (to hedge, or to keep a deadline) does a `HedgedCall` take over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.route import ANSWERS, AttemptOutcome, AttemptResult, Route, Step
from inferworks.cloud.serving.attempt import Attempt, failure_of, told
from inferworks.cloud.serving.hedging import HedgedAttempt, HedgedCall
from inferworks.cloud.serving.lacking import lacking
from inferworks.cloud.usage_parsers.in_band import refusal
from inferworks.errors import CallError
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.usage import Outcome
from inferworks.units import NS_PER_SECOND

_log = logging.getLogger("inferworks.serve")


def serve(
    call: Call,
    route: Route,
    providers: Mapping[str, Provider],
    health: Health,
    recorder: CallRecorder,
) -> Serving:
    """Enter with the first answer that begins; CallError when no offer could serve `call`."""
    return Serving(call, route, providers, health, recorder)


class Serving(AbstractAsyncContextManager[Reply]):
    """One call being served. A class and not a generator: it is on the way of every call."""

    __slots__ = (
        "_call",
        "_failure",
        "_health",
        "_providers",
        "_race",
        "_recorder",
        "_retry_after_ns",
        "_route",
        "_unsaid",
        "_won",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        route: Route,
        providers: Mapping[str, Provider],
        health: Health,
        recorder: CallRecorder,
    ) -> None:
        self._call = call
        self._route = route
        self._providers = providers
        self._health = health
        self._recorder = recorder
        self._race: HedgedCall | None = None
        self._won: Attempt | HedgedAttempt | None = None
        self._failure: CallError | None = None
        self._unsaid: CallError | None = None
        """Reason that the first offer of those that could not be asked could not."""
        self._retry_after_ns: int | None = None

    async def __aenter__(self) -> Reply:
        step = next(self._route, None)
        while step is not None and step.slow_after_ns is None:
            if step.wait_ns:
                await self._health.clock.sleep(step.wait_ns / NS_PER_SECOND)
            assert step.offer is not None, "a route waits only for what runs"
            attempt = self._start(step.offer)
            try:
                await attempt.begin()
            except asyncio.CancelledError:  # the client has left
                attempt.cut_off(Outcome.CANCELLED)
                raise
            verdict = attempt.judge(self._health.clock.now_ns())
            lacks = verdict.how is AttemptOutcome.LACKS
            step = _next(self._route, verdict) if lacks else None
            if verdict.how in ANSWERS or (lacks and step is None):
                self._won = attempt
                return _reply(attempt)
            self._failed(attempt, verdict)
            await attempt.leave()
            if not lacks:
                step = _next(self._route, verdict)
        if step is not None:
            return await self._run_race(step)
        raise self._given_up()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._won, Attempt):
            await self._won.leave(exc)
        elif self._won is not None:
            await self._won.release(exc)

    def abandon(self) -> None:
        """Let running attempts go on without a client, and begin no other."""
        if self._race is None:
            self._route.close()
        else:
            self._race.abandon()

    async def _run_race(self, step: Step) -> Reply:
        self._race = race = HedgedCall(self._route, self._health, self._start, self._failed)
        try:
            self._won = await race.run(step)
        finally:
            self._race = None  # it holds us
        if self._won is not None:
            return _reply(self._won.attempt)
        if race.timed_out:
            raise CallError(504, "The model's server did not begin to answer in time.",
                            kind="server_error", code="upstream_timeout")  # fmt: skip
        raise self._given_up()

    def _start(self, offer: Offer, beside: bool = False) -> Attempt:
        provider, standing = self._providers[offer.provider], self._health.of(offer)
        began_ns = self._health.now_ns()
        return Attempt(
            self._call, offer, provider, standing, self._recorder, began_ns, beside=beside
        )

    def _failed(self, attempt: Attempt, verdict: AttemptResult) -> None:
        """Put a failed attempt on record, and remember it as the failure of the call so far.

        One that was never sent is not on record, and counts only where nothing else has failed.
        """
        if isinstance(attempt.answer, CallError):
            self._unsaid = self._unsaid or attempt.answer
            attempt.unsent()
            return
        if verdict.how is AttemptOutcome.LACKS:
            reply = _reply(attempt)
            status, data = reply.status, reply.first.data
            words = refusal(data).words or "The model's server refused the request."
            self._failure = lacking(status, data) or CallError(status, words)
            attempt.refused()
            return
        again_ns = verdict.retry_after_ns
        if again_ns is not None:
            soonest_ns = self._retry_after_ns
            self._retry_after_ns = again_ns if soonest_ns is None else min(again_ns, soonest_ns)
        self._failure = failure_of(attempt.answer, self._retry_after_ns)
        _log.warning("call %s: %s %s", self._call.id, attempt.offer.id, told(attempt.answer))
        attempt.failed()

    def _given_up(self) -> CallError:
        failure = self._failure or self._unsaid
        self._failure = self._unsaid = None  # once raised it holds the frame that holds us
        return failure or CallError(
            503,
            f"no replica of {self._call.model} is ready",
            kind="server_error",
            code="no_replica",
        )


def _reply(attempt: Attempt) -> Reply:
    assert isinstance(attempt.answer, Reply), "only an answer serves"
    return attempt.answer


def _next(route: Route, verdict: AttemptResult) -> Step | None:
    try:
        return route.send(verdict)
    except StopIteration:
        return None
