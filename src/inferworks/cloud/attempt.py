"""One attempt: a call sent to one offer, its leg in the tally, its mark on the offer's health.

It is entered and left like the provider's context, by hand and not with an `AsyncExitStack`: every call
goes through here, and the stack alone would cost two microseconds.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from math import ceil

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.guess import prompt_tokens
from inferworks.cloud.health import Standing
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.route import ELSEWHERE, FINAL, SERVED, UNREAD, How, Verdict
from inferworks.errors import CallError, UpstreamError
from inferworks.meter.tally import OpenCall
from inferworks.meter.usage import NO_TOKENS, Confidence, Outcome, Tokens
from inferworks.units import NS_PER_SECOND

_PASSING_TROUBLE = frozenset({408, 429})
_OUR_FAULT = frozenset({401, 402, 403, 404, 407})
"""Statuses of an upstream that are about our configuration or our account there, never about the
caller's request; a redirection is another."""
_FAILED_THERE = frozenset({424})
"""Statuses of a failure upstream that look like the caller's: Bedrock's, for a model that failed."""


class Attempt:
    """One attempt at one offer: `begin`, `judge`, then `leave`, all in one task.

    Between the last two its leg is ended, here (`failed`, `outrun`, `timed_out`) or by whoever delivers.
    """

    __slots__ = (
        "_call",
        "_entered",
        "_over",
        "_sending",
        "_standing",
        "_tally",
        "answer",
        "leg",
        "offer",
    )

    answer: Reply | UpstreamError
    """What came of it, once `begin` has returned."""

    def __init__(
        self,
        call: Call,
        offer: Offer,
        provider: Provider,
        standing: Standing,
        tally: OpenCall,
        *,
        beside: bool = False,
    ) -> None:
        """`beside` says that it races another attempt at the same call."""
        self.offer = offer
        self.leg = tally.leg_started(
            offer.id,
            offer.seller or offer.provider,
            offer.replica,
            offer.region,
            offer.chip,
            offer.on_leave,
            beside=beside,
        )
        self._call = call
        self._standing = standing
        self._tally = tally
        self._entered = False
        self._over = False
        self._sending: AbstractAsyncContextManager[Reply] = provider.send(offer, call)
        standing.begins(self.leg.started_ns)

    async def begin(self) -> None:
        """Wait until the answer has begun, or has failed to."""
        try:
            self.answer = await self._sending.__aenter__()
            self._entered = True
        except UpstreamError as error:
            self.answer = error
        except BaseException:
            self.over()
            raise

    def judge(self, now_ns: int) -> Verdict:
        """What the beginning of the answer means for the next attempt; the offer's health is told."""
        began_ns = self.leg.started_ns
        verdict = judge(self.answer)
        if verdict.how is How.SERVED:
            self._standing.answered(began_ns, now_ns)
        elif verdict.how is How.FINAL:
            self._standing.refused(began_ns, now_ns)
        elif not verdict.unread:
            self._standing.failed(began_ns, now_ns, verdict.retry_after_ns)
        return verdict

    def failed(self) -> None:
        """End its leg as one that failed before it answered."""
        answer, tokens = self.answer, NO_TOKENS
        if isinstance(answer, UpstreamError) and answer.gave_up:
            tokens = Tokens(input=prompt_tokens(self._call))  # it may be at work still
        status = answer.status if isinstance(answer, Reply) else 0
        self._tally.leg_ended(Outcome.FAILED, status, tokens, _confidence(answer), leg=self.leg)

    def outrun(self, now_ns: int) -> None:
        """End its leg as one that is not wanted any more, since another answered sooner."""
        self._standing.outrun(self.leg.started_ns, now_ns)
        self.cut_off(Outcome.CANCELLED)

    def timed_out(self, now_ns: int) -> None:
        """End its leg as one that did not answer in the call's time."""
        self._standing.outrun(self.leg.started_ns, now_ns)
        self._standing.failed(self.leg.started_ns, now_ns)
        self.cut_off(Outcome.FAILED)

    def cut_off(self, outcome: Outcome) -> None:
        """End its leg with what it has cost: what its answer told, or an estimate of the prompt sent."""
        answer = getattr(self, "answer", None)
        if isinstance(answer, Reply) and answer.first.told is not None:
            told = answer.first.told
            sure = told.confidence(whole=answer.first.last)
            self._tally.leg_ended(
                outcome, answer.status, told.tokens, sure, items=told.items, leg=self.leg
            )
        else:
            tokens = Tokens(input=prompt_tokens(self._call))
            self._tally.leg_ended(outcome, 0, tokens, Confidence.ESTIMATED, leg=self.leg)

    async def leave(self, error: BaseException | None = None) -> None:
        """Leave the answer, with the error that ended it early if one did."""
        try:
            if self._entered:
                kind, traceback = (type(error), error.__traceback__) if error else (None, None)
                await self._sending.__aexit__(kind, error, traceback)
        finally:
            self.over()

    def over(self) -> None:
        """Give its place at the offer back; a second time does nothing."""
        if not self._over:
            self._over = True
            self._standing.over()


def judge(answer: Reply | UpstreamError) -> Verdict:
    """What an attempt's beginning means for the next."""
    if isinstance(answer, UpstreamError):
        return UNREAD if answer.unread else ELSEWHERE
    if answer.status < 300:
        return SERVED
    about_the_call = 400 <= answer.status < 500
    if not about_the_call or answer.status in _PASSING_TROUBLE | _OUR_FAULT | _FAILED_THERE:
        again_ns = answer.retry_after_ns
        return ELSEWHERE if again_ns is None else Verdict(How.ELSEWHERE, again_ns)
    return FINAL


def failure_of(answer: Reply | UpstreamError, retry_after_ns: int | None) -> CallError:
    """A failed attempt in the caller's terms; where it ran and what it said is for our log alone.

    `retry_after_ns` is the soonest that any upstream wants to be asked again.
    """
    again_s = None if retry_after_ns is None else max(1, ceil(retry_after_ns / NS_PER_SECOND))
    if isinstance(answer, UpstreamError):
        return CallError(502, "The model's server could not be reached or broke off before it answered.",
                         kind="server_error", code="upstream_unreachable")  # fmt: skip
    if answer.status in _PASSING_TROUBLE:
        return CallError(429, "The model's server is at its limit; try again later.",
                         kind="rate_limit_error", code="upstream_busy", retry_after_s=again_s)  # fmt: skip
    if answer.status == 503 and again_s is not None:
        return CallError(503, "The model's server is overloaded; try again later.",
                         kind="server_error", code="upstream_busy", retry_after_s=again_s)  # fmt: skip
    return CallError(502, "The model's server failed before it answered.",
                     kind="server_error", code="upstream_failed")  # fmt: skip


def told(answer: Reply | UpstreamError) -> str:
    """A failed attempt in the log's terms."""
    if isinstance(answer, Reply):
        return f"answered with status {answer.status}"
    return f"failed: {answer}"


def _confidence(answer: Reply | UpstreamError) -> Confidence:
    """An attempt that never reached its upstream cost nothing; otherwise zero is a guess."""
    untouched = isinstance(answer, UpstreamError) and not answer.sent
    return Confidence.COUNTED if untouched else Confidence.ESTIMATED
