"""Serving of one call: the only retry loop.

`Serving` drives a route with real attempts until one begins to answer, and enters with that answer. It
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
from inferworks.cloud.routing.route import (
    ANSWERS,
    AttemptOutcome,
    AttemptResult,
    Route,
    Step,
    next_step,
)
from inferworks.cloud.serving.attempt import Attempt, description_of, failure_of
from inferworks.cloud.serving.hedging import HedgedAttempt, HedgedCall
from inferworks.cloud.serving.lacking import lacking
from inferworks.cloud.usage_parsers.in_band import refusal
from inferworks.errors import CallError
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.usage import Outcome
from inferworks.units import NS_PER_SECOND

_log = logging.getLogger("inferworks.serve")


class Serving(AbstractAsyncContextManager[Reply]):
    """One call being served: enter with the first answer that begins.

    CallError when no offer could serve the call. A class and not a generator: it is on the way of every
    call.
    """

    __slots__ = (
        "_answering",
        "_call",
        "_failure",
        "_health",
        "_hedged",
        "_providers",
        "_recorder",
        "_retry_after_ns",
        "_route",
        "_untranslated",
    )

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
        self._hedged: HedgedCall | None = None
        self._answering: Attempt | HedgedAttempt | None = None
        self._failure: CallError | None = None
        self._untranslated: CallError | None = None
        """Error of the first offer for which the call could not be translated."""
        self._retry_after_ns: int | None = None

    async def __aenter__(self) -> Reply:
        route, health = self._route, self._health
        step = next(route, None)
        while step is not None and step.slow_after_ns is None:
            if step.wait_ns:
                await health.clock.sleep(step.wait_ns / NS_PER_SECOND)
            assert step.offer is not None, "a route waits only for what runs"
            attempt = self._start(step.offer)
            try:
                await attempt.begin()
            except asyncio.CancelledError:  # the client has left
                attempt.cut_off(Outcome.CANCELLED)
                raise
            result = attempt.judge(health.now_ns())
            lacks = result.outcome is AttemptOutcome.LACKS
            step = next_step(route, result) if lacks else None
            if result.outcome in ANSWERS or (lacks and step is None):
                self._answering = attempt
                assert isinstance(attempt.answer, Reply), "only an answer serves"
                return attempt.answer
            self._failed(attempt, result)
            await attempt.leave()
            if not lacks:
                step = next_step(route, result)
        if step is not None:
            return await self._run_hedged(step)
        raise self._given_up()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._answering, Attempt):
            await self._answering.leave(exc)
        elif self._answering is not None:
            await self._answering.release(exc)

    def abandon(self) -> None:
        """Let running attempts go on without a client, and begin no other."""
        if self._hedged is None:
            self._route.close()
        else:
            self._hedged.abandon()

    async def _run_hedged(self, step: Step) -> Reply:
        self._hedged = hedged = HedgedCall(self._route, self._health, self._start, self._failed)
        try:
            self._answering = await hedged.run(step)
        finally:
            self._hedged = None  # it holds us
        if self._answering is not None:
            return _reply(self._answering.attempt)
        if hedged.timed_out:
            raise CallError(504, "The model's server did not start to answer in time.",
                            kind="server_error", code="upstream_timeout")  # fmt: skip
        raise self._given_up()

    def _start(self, offer: Offer, beside: bool = False) -> Attempt:
        provider = self._providers[offer.provider]
        return Attempt(self._call, offer, provider, self._health, self._recorder, beside=beside)

    def _failed(self, attempt: Attempt, result: AttemptResult) -> None:
        """Put a failed attempt on record, and remember it as the failure of the call so far.

        One that was never sent is not on record, and counts only where nothing else has failed.
        """
        if isinstance(attempt.answer, CallError):
            self._untranslated = self._untranslated or attempt.answer
            attempt.unsent()
            return
        if result.outcome is AttemptOutcome.LACKS:
            reply = _reply(attempt)
            status, data = reply.status, reply.first.data
            words = refusal(data).words or "The model's server refused the request."
            self._failure = lacking(status, data) or CallError(status, words)
            attempt.refused()
            return
        again_ns = result.retry_after_ns
        if again_ns is not None:
            soonest_ns = self._retry_after_ns
            self._retry_after_ns = again_ns if soonest_ns is None else min(again_ns, soonest_ns)
        self._failure = failure_of(attempt.answer, self._retry_after_ns)
        _log.warning(
            "call %s: %s %s", self._call.id, attempt.offer.id, description_of(attempt.answer)
        )
        attempt.failed()

    def _given_up(self) -> CallError:
        failure = self._failure or self._untranslated
        self._failure = self._untranslated = None  # once raised it holds the frame that holds us
        return failure or CallError(
            503,
            f"no replica of {self._call.model} is ready",
            kind="server_error",
            code="no_replica",
        )


def _reply(attempt: Attempt) -> Reply:
    assert isinstance(attempt.answer, Reply), "only an answer serves"
    return attempt.answer
