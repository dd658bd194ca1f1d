"""Attempt: a call sent to one offer, its leg in the call's record, its outcome in the offer's health.

It is entered and left like the provider's context, by hand and not with an `AsyncExitStack`: every call
goes through here, and the stack alone would cost two microseconds.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from math import ceil
from typing import TypeVar

from inferworks.cloud.call import Call, Reply
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.route import (
    ELSEWHERE,
    FINAL,
    LACKS,
    SERVED,
    UNDELIVERABLE,
    UNREAD,
    UNTRANSLATED,
    AttemptOutcome,
    AttemptResult,
)
from inferworks.cloud.routing.token_estimate import prompt_tokens
from inferworks.cloud.serving.lacking import lacking
from inferworks.cloud.usage_parsers.in_band import refusal
from inferworks.errors import CallError, RefusalError, UntranslatableError, UpstreamError
from inferworks.meter.call_recorder import CallRecorder, Destination
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.redact import redacted
from inferworks.units import NS_PER_SECOND

_TRANSIENT = frozenset({408, 429})
_CONFIGURATION = frozenset({401, 402, 403, 404, 407})
"""Statuses of an upstream that are about our configuration or our account there, never about the
caller's request; a redirection is another."""
_FAILED_THERE = frozenset({424})
"""Statuses of a failure upstream that look like the caller's: Bedrock's, for a model that failed."""
_WAITS = frozenset({429, 503})
"""Statuses with which an offer may say of itself when it wants the next call (RFC 9110)."""
_SAMPLE_BYTES = 64 * 1024
_MOST_WORDS_BYTES = 64 * 1024
"""Size above which the words of an error body are not read."""


class Attempt:
    """One attempt at one offer: `begin`, `judge`, then `leave`, all in one task.

    Between the last two its leg is ended, here (`failed`, `outrun`, `timed_out`) or by the response writer.
    """

    __slots__ = (
        "_began_ns",
        "_call",
        "_entered",
        "_health",
        "_over",
        "_recorder",
        "_sending",
        "answer",
        "leg",
        "offer",
    )

    answer: Reply | UpstreamError | CallError
    """Answer or error of the attempt, once `begin` has returned; a CallError when it could not be
    translated.
    """

    def __init__(
        self,
        call: Call,
        offer: Offer,
        provider: Provider,
        health: Health,
        recorder: CallRecorder,
        *,
        beside: bool = False,
    ) -> None:
        """Begin now. `beside` is True for a hedge, beside another attempt at the same call."""
        self.offer = offer
        self._began_ns = began_ns = health.now_ns()
        seller = offer.seller or offer.provider
        destination = Destination(
            offer.id, seller, offer.replica, offer.region, offer.chip, offer.on_leave
        )
        self.leg = recorder.leg_started(destination, beside=beside)
        self._call = call
        self._health = offer_health = health.of(offer)
        self._recorder = recorder
        self._entered = False
        self._over = False
        self._sending: AbstractAsyncContextManager[Reply] = provider.send(offer, call)
        offer_health.begins(began_ns)

    async def begin(self) -> None:
        """Wait until the answer has begun, or has failed to."""
        try:
            self.answer = answer = await self._sending.__aenter__()
            self._entered = True
            if answer.left_out:
                self.leg.left_out = answer.left_out
        except (UpstreamError, CallError) as error:  # CallError: untranslatable, nothing was sent
            self.answer = detached(error)
        except BaseException:
            self.over()
            raise

    def judge(self, now_ns: int) -> AttemptResult:
        """Judge the beginning of the answer for the route, and update the offer's health."""
        answer, began_ns, health = self.answer, self._began_ns, self._health
        is_served = isinstance(answer, Reply) and answer.status < 300
        result = SERVED if is_served else judge(answer)
        if result.outcome in (AttemptOutcome.SERVED, AttemptOutcome.UNDELIVERABLE):
            opened = self._recorder.opened
            health.answered(began_ns, now_ns, (opened.customer, opened.key_id))
        elif isinstance(answer, CallError):
            health.unsent(began_ns)
        elif result.outcome in (AttemptOutcome.FINAL, AttemptOutcome.LACKS):
            health.refused(began_ns)
        elif isinstance(answer, UpstreamError):
            if not result.unread and not answer.ours:
                self._fails(now_ns, was_read=answer.sent)
        elif result.retry_after_ns and answer.status in _WAITS:
            health.told_to_wait(now_ns, result.retry_after_ns)
        elif not 400 <= answer.status < 500:
            self._fails(now_ns, was_read=True)
        return result

    def _fails(self, now_ns: int, *, was_read: bool) -> None:
        """Tell the offer's health that it failed; `was_read` when the request may be the reason."""
        opened, body = self._recorder.opened, self._call.body
        sample = (len(body), body[:_SAMPLE_BYTES], body[-_SAMPLE_BYTES:])
        caller = (opened.customer, opened.key_id)
        self._health.failed(self._began_ns, now_ns, caller, hash(sample) if was_read else None)

    def unsent(self) -> None:
        """Take its leg back: nothing was sent."""
        self._recorder.leg_unsent(self.leg)

    def refused(self) -> None:
        """End its leg as one that was refused."""
        answer = self.answer
        assert isinstance(answer, Reply), "only an upstream refuses"
        self._recorder.leg_ended(
            Outcome.REFUSED, answer.status, NOTHING_REPORTED, Confidence.COUNTED, leg=self.leg
        )

    def failed(self) -> None:
        """End its leg as one that failed before it answered."""
        answer = self.answer
        assert not isinstance(answer, CallError), "what was not sent has not failed"
        status = answer.status if isinstance(answer, Reply) else 0
        used: ReportedUsage | None = answer.reported if isinstance(answer, UpstreamError) else None
        if used is not None:
            sure = used.confidence(whole=True)
            self._recorder.leg_ended(Outcome.FAILED, status, used, sure, leg=self.leg)
            return
        used = NOTHING_REPORTED
        if isinstance(answer, UpstreamError) and (answer.gave_up or answer.worked):
            used = self._prompt_sent()  # the work is done, or goes on still
        # what never reached its upstream cost nothing; otherwise zero is a guess
        untouched = isinstance(answer, UpstreamError) and not answer.sent
        sure = Confidence.COUNTED if untouched else Confidence.ESTIMATED
        self._recorder.leg_ended(Outcome.FAILED, status, used, sure, leg=self.leg)

    def outrun(self, now_ns: int) -> None:
        """End its leg as one that is not wanted any more, since another answered sooner."""
        self._health.outrun(self._began_ns, now_ns)
        self.cut_off(Outcome.CANCELLED)

    def timed_out(self, now_ns: int) -> None:
        """End its leg as one that did not answer in the call's time."""
        self._health.outrun(self._began_ns, now_ns)
        self._fails(now_ns, was_read=True)
        self.cut_off(Outcome.FAILED)

    def cut_off(self, outcome: Outcome) -> None:
        """End its leg with what it has cost: what its answer told, or an estimate of the prompt sent."""
        answer = getattr(self, "answer", None)
        if isinstance(answer, Reply) and answer.first.reported is not None:
            reported = answer.first.reported
            sure = reported.confidence(whole=answer.first.last)
            self._recorder.leg_ended(outcome, answer.status, reported, sure, leg=self.leg)
        else:
            used = self._prompt_sent()
            self._recorder.leg_ended(outcome, 0, used, Confidence.ESTIMATED, leg=self.leg)

    def _prompt_sent(self) -> ReportedUsage:
        """Estimate of the prompt, which is all that is known to be worked on."""
        return ReportedUsage(Tokens(input=prompt_tokens(self._call)))

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
            self._health.over()


def judge(answer: Reply | UpstreamError | CallError) -> AttemptResult:
    """Judge the beginning of an attempt's answer."""
    if isinstance(answer, Reply):
        if answer.status < 300:
            return SERVED
    elif isinstance(answer, UntranslatableError):
        return UNDELIVERABLE
    elif isinstance(answer, UpstreamError):
        return UNREAD if answer.unread else ELSEWHERE
    else:
        return UNTRANSLATED
    if answer.lacks or lacking(answer.status, answer.first.data) is not None:
        return LACKS
    if _is_about_the_call(answer.status):
        return FINAL
    again_ns = answer.retry_after_ns
    return ELSEWHERE if again_ns is None else AttemptResult(AttemptOutcome.ELSEWHERE, again_ns)


def _is_about_the_call(status: int) -> bool:
    """Return True when a status blames the request, so that any other offer would refuse it too."""
    return 400 <= status < 500 and status not in _TRANSIENT | _CONFIGURATION | _FAILED_THERE


def failure_of(answer: Reply | UpstreamError, retry_after_ns: int | None) -> CallError:
    """A failed attempt in the caller's terms; where it ran and what it said is for our log alone.

    `retry_after_ns` is the soonest that any upstream wants to be asked again.
    """
    again_s = None if retry_after_ns is None else max(1, ceil(retry_after_ns / NS_PER_SECOND))
    if isinstance(answer, UpstreamError) and answer.ours:
        return CallError(503, "The gateway is out of file descriptors or memory; try again later.",
                         kind="server_error", code="no_room")  # fmt: skip
    if isinstance(answer, UntranslatableError):
        return untranslatable()
    if isinstance(answer, UpstreamError) and answer.answered:
        return CallError(502, "The model's server sent an answer that cannot be parsed.",
                         kind="server_error", code="upstream_failed")  # fmt: skip
    if isinstance(answer, UpstreamError):
        return CallError(502, "The model's server could not be reached or did not answer.",
                         kind="server_error", code="upstream_unreachable")  # fmt: skip
    if answer.status in _TRANSIENT:
        return CallError(429, "The model's server is at its limit; try again later.",
                         kind="rate_limit_error", code="upstream_busy", retry_after_s=again_s)  # fmt: skip
    if answer.status == 503 and again_s is not None:
        return CallError(503, "The model's server is overloaded; try again later.",
                         kind="server_error", code="upstream_busy", retry_after_s=again_s)  # fmt: skip
    if answer.status in _CONFIGURATION or 300 <= answer.status < 400:
        return CallError(502, "The model's server does not let this gateway in, or has not what was asked "
                         "of it; the operator finds the reason in the log.",
                         kind="server_error", code="upstream_failed")  # fmt: skip
    return CallError(502, "The model's server failed before it answered.",
                     kind="server_error", code="upstream_failed")  # fmt: skip


def description_of(answer: Reply | UpstreamError) -> str:
    """A failed attempt in the log's terms."""
    if isinstance(answer, Reply):
        data = answer.first.data
        words = refusal(data).words if len(data) <= _MOST_WORDS_BYTES else ""
        reported = f": {redacted(words[:200])}" if words else ""
        return f"answered with status {answer.status}{reported}"
    return f"failed: {answer}"


def broken_off(error: UpstreamError) -> CallError:
    """Return the error that ends a stream that has begun, in the caller's terms.

    An error that is the caller's own has the upstream's words, as it would before a stream.
    """
    if isinstance(error, UntranslatableError):
        return untranslatable()
    said = "The model's server ended its answer early."
    if isinstance(error, RefusalError) and error.words and _is_about_the_call(error.status):
        said = f"The model's server ended its answer early: {redacted(error.words)}"
    return CallError(502, said, kind="server_error", code="upstream_failed")


def untranslatable() -> CallError:
    """Return the error for an answer that could not be translated, which is a fault of this gateway."""
    return CallError(
        500,
        "The model answered, but this gateway could not convert the answer to the format of this API.",
        kind="server_error",
        code="untranslatable_answer",
    )


Detached = TypeVar("Detached", bound=UpstreamError | CallError)


def detached(error: Detached) -> Detached:
    """`error` without what led to it, which holds the frames that hold the attempt.

    Such a circle, with all that was sent and read, would stay until Python looks for cycles, and a gateway
    has it do so seldom.
    """
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error
