"""Limits of one call: the most that it may use is held before it goes upstream, and settled when it ends.

The most that a call can cost is bounded by what it says: no token is shorter than a byte, and the output
has a limit. A stream is held in steps instead: the next step is taken before the one in hand is used up,
so a customer with five dollars may ask for 128,000 tokens; where the next is refused, the stream is ended
there, with a reason. An answer that comes whole is held whole; where that is more than is left, the limit
that goes upstream is lowered to what is affordable.

What bounds nothing: pictures and sounds behind a URL, thoughts that a stream does not show, searches that
an upstream makes by itself, and the length of a whole answer without a limit beyond `_WITHOUT_LIMIT`.
What such a call uses beyond its hold counts all the same, so the next one is refused.

A call whose price is not known is refused where a hard limit on money applies: it could not be kept. A
soft one does not count it. Where a plan has prices by the sum of a period, as tiers, the dearest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

import msgspec

from inferworks.accounts.key import Key
from inferworks.accounts.limit import Limit, Measure, Window
from inferworks.accounts.limit_index import LimitIndex
from inferworks.api.pricing import Most, PricingTable, cost_of
from inferworks.api.wire.base import RequestInfo
from inferworks.cloud.bodies.rewrite import read_fields, with_value
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.operation import Operation
from inferworks.cloud.routing.token_estimate import most_prompt_tokens, prompt_tokens
from inferworks.errors import CallError, LimitsError
from inferworks.limits.limiter import Amounts, Hold, Limiter, LimitReachedError
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Items, Opened, Outcome, Usage
from inferworks.money import format_pico
from inferworks.units import NS_PER_SECOND

_STEP: Final = 1024
"""Tokens of output that are held at once for each choice of a stream."""
_WITHOUT_LIMIT: Final = 16_384
"""Tokens of output that are held for a whole answer whose request names no limit."""
_LEAST_OUTPUT: Final = 16
"""Tokens of output below which an answer is not worth its prompt."""
_LEAST_BITS_PER_MS: Final = 6
"""Bits of sound in a millisecond at the lowest rate of speech that is in use (Opus at 6 kbit/s)."""
_BYTES_PER_SEARCH: Final = 250
"""Bytes of a request for each further search unit: a hundred documents, or as many parts of 500 tokens."""
_OUTPUT_FIELDS: Final = {
    Operation.CHAT: ("max_completion_tokens", "max_tokens"),
    Operation.COMPLETIONS: ("max_tokens",),
    Operation.MESSAGES: ("max_tokens",),
    Operation.RESPONSES: ("max_output_tokens",),
}
"""Fields that limit an answer in words, the last of them where a request has none."""
_PER: Final = {Window.MINUTE: "min", Window.HOUR: "hour", Window.DAY: "day", Window.MONTH: "month"}
_SHORT: Final = {Measure.REQUESTS: "R", Measure.TOKENS: "T"}
_SERVED: Final = frozenset({Outcome.ANSWERED, Outcome.CANCELLED})


class CallHold:
    """Amounts that one call holds of its limits, and of which it may take more."""

    __slots__ = (
        "_ceiling",
        "_hold",
        "_is_over",
        "_limits",
        "_most_output",
        "_refusal",
        "held_output",
    )

    def __init__(
        self, limits: CallLimits, hold: Hold, ceiling: _Ceiling, held_output: int, most_output: int
    ) -> None:
        self._limits = limits
        self._hold = hold
        self._ceiling = ceiling
        self._most_output = most_output
        self._is_over = False
        self._refusal: CallError | None = None
        """Refusal of the next step, once there is one: the answer goes on as far as it is covered."""
        self.held_output = held_output
        """Tokens of output that are covered."""

    def lacks(self, reported: ReportedUsage) -> bool:
        """Return True when more must be held before more comes than is `reported` so far."""
        left = self.held_output - reported.tokens.output
        least = _STEP // 2 if self._refusal is None else _LEAST_OUTPUT * self._ceiling.choices
        return left < least and self.held_output < self._most_output

    async def extend(self) -> CallError | None:
        """Take the next step of output, or what is left; return the refusal where the answer must end."""
        if self._refusal is not None:
            return self._refusal
        ceiling = self._ceiling
        wanted = min(_STEP * ceiling.choices, self._most_output - self.held_output)
        try:
            await self._take(wanted)
        except LimitReachedError as error:
            self._limits.limiter.refused(self._hold.accounts, error)
            self._refusal = _refusal(error, Amounts(0, wanted))
            least = min(wanted, _LEAST_OUTPUT * ceiling.choices)
            with suppress(LimitReachedError, LimitsError):
                await self._take(least)  # for which other gateways give back what they do not need
                self.held_output += await self._limits.extend(self._hold, ceiling, wanted - least)
        except LimitsError as error:
            self._refusal = _refusal(error, Amounts(0, wanted))
        return None

    async def _take(self, output: int) -> None:
        await self._hold.extend(self._ceiling.more(output))
        self.held_output += output

    def end(self, usage: Usage) -> None:
        """Settle at what the call has used by its record. Once; later ends change nothing."""
        if not self._is_over:
            self._is_over = True
            self._hold.end(self._limits.used(usage))

    def release(self) -> None:
        """Give all of it back, of a call that was never opened."""
        if not self._is_over:
            self._is_over = True
            self._hold.end(Amounts(0, 0, 0))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return `x-ratelimit-*` as OpenAI sends them: of requests and of tokens, the scarcest of each."""
        found: list[tuple[bytes, bytes]] = []
        left = self._limits.limiter.left(self._hold)
        for measure, name in ((Measure.REQUESTS, b"requests"), (Measure.TOKENS, b"tokens")):
            own = [one for one in left if one.limit.measure is measure and one.limit.is_hard]
            if own:
                one = min(own, key=lambda one: one.left / (one.limit.amount or 1))
                found.append((b"x-ratelimit-limit-" + name, b"%d" % one.limit.amount))
                found.append((b"x-ratelimit-remaining-" + name, b"%d" % one.left))
                found.append((b"x-ratelimit-reset-" + name, _duration(one.full_ns)))
        return found


class _NoHold:
    """Hold of a call without limits: nothing is held, and nothing lacks."""

    def lacks(self, reported: ReportedUsage) -> bool:
        return False

    async def extend(self) -> CallError | None:
        raise AssertionError("nothing lacks")

    def end(self, usage: Usage) -> None:
        pass

    def release(self) -> None:
        pass

    def headers(self) -> list[tuple[bytes, bytes]]:
        return []


AnyHold: TypeAlias = "CallHold | _NoHold"
"""Amounts that a call holds of its limits, or of none."""
NO_HOLD: Final = _NoHold()


class _Ceiling(NamedTuple):
    """Most that a call can use, by the tokens of its output."""

    input_tokens: int
    likely_tokens: int
    """Tokens that its prompt likely has."""
    choices: int
    fixed_pico: int = 0
    """Cost without output."""
    output_pico: int = 0
    """Cost of a token of output."""

    def amounts(self, output: int) -> Amounts:
        """Return the amounts to hold for so many tokens of output in all."""
        return Amounts(
            self.fixed_pico + self.output_pico * output,
            self.input_tokens + output,
            likely_tokens=self.likely_tokens + min(output, _STEP * self.choices),
        )

    def more(self, output: int) -> Amounts:
        """Return the amounts to hold for so many more tokens of output."""
        return Amounts(self.output_pico * output, output)


class CallLimits:
    """Limits of calls at this gateway."""

    def __init__(
        self,
        limiter: Limiter,
        index: Callable[[], LimitIndex],
        pricing: PricingTable,
        organisation_of: Callable[[Key], str] = lambda _: "",
    ) -> None:
        """`index` returns the limits in force."""
        self.limiter = limiter
        self._index = index
        self._pricing = pricing
        self._organisation_of = organisation_of

    async def hold(
        self, key: Key, opened: Opened, request: RequestInfo, call: Call, offers: Sequence[Offer]
    ) -> tuple[AnyHold, Call]:
        """Hold the most that `call` may use, and return it with the call, its output limited if it must be.

        CallError where one is reached, or the store cannot be asked.
        """
        limits = self.of(key)
        if not limits:
            return NO_HOLD, call
        ceiling = _Ceiling(most_prompt_tokens(call), prompt_tokens(call), request.choices)
        most = self._most(limits, opened, ceiling, call, offers)
        if most is not None:
            ceiling = ceiling._replace(fixed_pico=most.fixed_pico, output_pico=most.output_pico)
        currency = "" if most is None else most.currency
        if any(one.currency not in ("", currency) for one in limits):
            limits = self._index().counting(
                limits, currency
            )  # the others are soft: they refuse nothing
            if not limits:
                return NO_HOLD, call
        accounts = self.limiter.accounts(limits, opened.opened_ns)
        most_output = self._most_output(request, call)
        output = min(most_output, _STEP * request.choices) if call.stream else most_output
        least = min(output, _LEAST_OUTPUT * request.choices)
        try:
            hold = await self.limiter.hold(accounts, call.id, ceiling.amounts(output))
        except LimitReachedError as error:
            if least == output or error.limit.refill_ns:
                self.limiter.refused(accounts, error)
                raise _refusal(error, ceiling.amounts(output)) from error
            try:  # with so little, for which other gateways give back what they do not need
                hold = await self.limiter.hold(accounts, call.id, ceiling.amounts(least))
            except LimitReachedError as again:
                self.limiter.refused(accounts, again)
                raise _refusal(again, ceiling.amounts(least)) from again
            except LimitsError as again:
                raise _refusal(again, ceiling.amounts(least)) from again
            output = least + await self.extend(hold, ceiling, output - least)
            if not call.stream:
                call = _limited(call, output // request.choices)
        except LimitsError as error:
            raise _refusal(error, ceiling.amounts(output)) from error
        return CallHold(self, hold, ceiling, output, most_output), call

    async def extend(self, hold: Hold, ceiling: _Ceiling, wanted: int) -> int:
        """Have `hold` take as much as is left for `wanted` more tokens of output; return for how many."""
        more = wanted
        for account in hold.accounts:
            limit = account.limit
            if limit.refill_ns or not limit.is_hard:
                continue
            if limit.measure is Measure.MONEY and ceiling.output_pico:
                more = min(more, self.limiter.left_of(account) // ceiling.output_pico)
            elif limit.measure is Measure.TOKENS:
                more = min(more, self.limiter.left_of(account))
        if more > 0:
            with suppress(LimitReachedError, LimitsError):
                # of a rate nothing: it evens out what it was wrong by
                await hold.extend(ceiling.more(more)._replace(likely_tokens=0))
                return more
        return 0

    def of(self, key: Key) -> tuple[Limit, ...]:
        """Return the limits of a call with `key`, the narrowest first."""
        return self._index().of(key, self._organisation_of(key))

    def used(self, usage: Usage) -> Amounts:
        """Return what a call has used by its record, at the price that its customer pays."""
        cost = cost_of(usage, self._pricing, at_dearest=True)
        tokens = usage.tokens.input + usage.tokens.output
        return Amounts(cost[0] if cost else 0, tokens, int(usage.outcome in _SERVED))

    def _most(
        self,
        limits: Sequence[Limit],
        opened: Opened,
        ceiling: _Ceiling,
        call: Call,
        offers: Sequence[Offer],
    ) -> Most | None:
        """Return the most that a call can cost; None where no limit is on money, or it has no price.

        CallError where a hard limit could not be kept.
        """
        on_money = [one for one in limits if one.measure is Measure.MONEY]
        if not on_money:
            return None
        size = len(call.body)
        sellers = {"" if o.replica else o.seller or o.provider for o in offers}
        items = Items(
            images=ceiling.choices,
            audio_ms=size * 8 // _LEAST_BITS_PER_MS,
            characters=size,
            searches=1 + size // _BYTES_PER_SEARCH,
        )
        most = self._pricing.most(opened, sellers, ceiling.input_tokens, items)
        hard = {one.currency for one in on_money if one.is_hard}
        if hard and (most is None or hard != {most.currency}):
            named = "no price" if most is None else f"a price in {most.currency}"
            raise CallError(
                403,
                f"Your limit on money in {', '.join(sorted(hard))} cannot be kept: the model "
                f"`{call.model}` has {named} for you.",
                kind="permission_error",
                code="price_unknown" if most is None else "price_in_another_currency",
            )
        return most

    @staticmethod
    def _most_output(request: RequestInfo, call: Call) -> int:
        if call.operation not in _OUTPUT_FIELDS:
            return 0
        if request.most_output is not None:
            return request.most_output * request.choices
        return (1 << 40) if call.stream else _WITHOUT_LIMIT * request.choices


class NoLimits:
    """Limits where none are kept."""

    async def hold(
        self, key: Key, opened: Opened, request: RequestInfo, call: Call, offers: Sequence[Offer]
    ) -> tuple[AnyHold, Call]:
        """Hold nothing."""
        return NO_HOLD, call


NO_LIMITS: Final = NoLimits()


def _limited(call: Call, output: int) -> Call:
    """Return the call with an answer of at most `output` tokens for each choice."""
    fields = read_fields(call.body)
    names = _OUTPUT_FIELDS[call.operation]
    name = next((one for one in names if one in fields), names[-1])
    body = with_value(call.body, fields, name, b"%d" % output)
    return msgspec.structs.replace(call, body=body)


def _refusal(error: LimitReachedError | LimitsError, asked: Amounts) -> CallError:
    """Return the refusal in OpenAI's words."""
    if isinstance(error, LimitsError):
        return CallError(
            503,
            "Your limits cannot be looked up at the moment; try again later.",
            kind="server_error",
            code="limits_unreachable",
        )
    limit, wait_ns = error.limit, error.wait_ns
    scope = f"{limit.scope.kind} {limit.scope.id}"
    retry_after_s = None if wait_ns is None else -(-wait_ns // NS_PER_SECOND)
    if limit.measure is Measure.CALLS:
        text = f"Rate limit reached for {scope} on calls at once: Limit {limit.amount}."
        return CallError(429, text, kind="requests", code="rate_limit_exceeded")
    if limit.spent_before is not None:
        return CallError(
            429,
            "You exceeded your current quota: your prepaid credit is used up, or too little for this "
            "request. Top it up to go on.",
            kind="insufficient_quota",
            code="insufficient_quota",
        )
    if limit.measure is Measure.MONEY or limit.window is Window.TOTAL:
        amount = str(limit.amount)
        if limit.measure is Measure.MONEY:
            amount = f"{format_pico(limit.amount)} {limit.currency}"
        per = f" per {limit.window}" if limit.window is not Window.TOTAL else ""
        return CallError(
            429,
            f"You exceeded your current quota: {scope} may use {amount}"
            f"{'' if limit.currency else f' {limit.measure}'}{per}. Check your plan and limits.",
            kind="insufficient_quota",
            code="insufficient_quota",
            retry_after_s=retry_after_s,
        )
    per = _PER[limit.window]
    requested = asked.of_new(limit.measure, refills=limit.refill_ns > 0)
    short = f"{_SHORT[limit.measure]}P{limit.window[0].upper()}"
    if requested > limit.amount:
        text = (
            f"Request too large for {scope} on {limit.measure} per {per} ({short}): Limit {limit.amount}, "
            f"Requested {requested}. The input or output tokens must be reduced to run it."
        )
        return CallError(429, text, kind=limit.measure.value, code="rate_limit_exceeded")
    wait = f" Please try again in {_duration(wait_ns).decode()}." if wait_ns else ""
    text = (
        f"Rate limit reached for {scope} on {limit.measure} per {per} ({short}): Limit {limit.amount}, "
        f"Used {max(0, limit.amount - error.free)}, Requested {requested}.{wait}"
    )
    return CallError(
        429,
        text,
        kind=limit.measure.value,
        code="rate_limit_exceeded",
        retry_after_s=retry_after_s,
    )


def _duration(ns: int) -> bytes:
    """Return a duration as OpenAI writes it: `17ms`, `1s`, `6m0s`."""
    ms = -(-ns // 1_000_000)
    if ms < 1000:
        return b"%dms" % ms
    minutes, seconds = divmod(ms / 1000, 60)
    text = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s".encode() if minutes else f"{text}s".encode()
