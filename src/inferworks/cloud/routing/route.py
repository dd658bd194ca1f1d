"""Route of a call: the offers in their order, and the next one after a failure; a policy without I/O.

A route is a generator: it yields the next step and is sent the result of that attempt. Production drives
it with sockets (`serve`), a test with a list, the planner with a heap. It ends when there is nothing more
to try; the last result then stands.

    offers --eligible--> those that may --in_order--> best first --attempts--> the route

    driver                          route
      next(route)            ──►      Step(offer a, slow after 200 ms)
      nothing after 200 ms: SLOW ──►  Step(offer b)          the hedge: a and b race
      b failed               ──►      Step(None)             a is still running: wait for it
      a answered: SERVED     ──►      (ends)

Only a route decides whether to go on: how many attempts, until when, at which offer, after which wait. A
failed attempt may have cost money, so each default is small.

Not every call can be translated for every offer: another dialect may lack a field. That shows in the
translation, before anything is sent. Such an offer is skipped like one that is not there: no attempt, no
leg, nothing for its breaker. If no other is left, the offers are tried that were held back because another
seemed better (`in_reserve`); the call is refused only when none can be asked.

Other gaps show only when an upstream refuses a field, a value or an operation that this model of its does
not have. That is an attempt, and refused, but no reason to refuse the call while another offer may have
it; the last one's refusal is the caller's answer.

A kept connection may be closed by the upstream just as it is used again. The offer has not failed then,
and a call that has no other must not fail for it: the same offer is asked once more, at once, over a new
connection. That is a leg of its own on record, but none of the call's attempts, and the offer's breaker is
not told.

It cannot be known whether the first request was read after all. RFC 9110 lets a client that knows the
meaning of a request repeat it once though it is not idempotent, and forbids it to a proxy, which does not
know. Browsers and curl repeat every method on a reused connection that gave no answer; Go's net/http and
nginx repeat no POST of which a byte was sent; Envoy (with `reset-before-request`) one that was not sent
whole. A gateway knows its requests: a generation that is asked for twice changes nothing and can only cost
twice. So it repeats them on a browser's terms and stricter: no byte of an answer has come, and the end came
so soon after the request that it must have been under way before it (`http.upstream`).

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2,
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_next_upstream,
https://pkg.go.dev/net/http#Transport,
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.filters import eligible, in_regions, in_reserve
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.routing_state import CallFacts, RoutingState
from inferworks.cloud.routing.slots import SlotPool, slot_pool
from inferworks.cloud.routing.strategies import in_order
from inferworks.ids import ModelId, OfferId
from inferworks.units import NS_PER_SECOND

_NS_PER_MS = 1_000_000
_LONGEST_WAIT_NS = 10 * NS_PER_SECOND
"""Longest wait before an attempt; for a longer one the call is refused, and its client decides."""
_DEFAULT: Final = RoutePolicy()
_SAVED_HEDGES: Final = 10.0


class AttemptOutcome(Enum):
    """Outcome of an attempt, as far as the next one depends on it."""

    SERVED = auto()
    """An answer has begun; nothing else is tried."""
    FINAL = auto()
    """A refusal that any other offer would repeat."""
    ELSEWHERE = auto()
    """A failure before an answer; another offer may do better."""
    UNTRANSLATED = auto()
    """A call that could not be translated for the offer. Nothing was sent, and it was no attempt."""
    LACKS = auto()
    """A refusal of a feature that the model does not have, such as a field; another model may have it."""
    UNDELIVERABLE = auto()
    """A paid answer that cannot be handed on; another attempt would cost again."""
    SLOW = auto()
    """No answer yet in the time that the step gave it. The attempt still runs."""


ANSWERS: Final = (AttemptOutcome.SERVED, AttemptOutcome.FINAL)
"""Outcomes that end the route: an answer is there, good or bad."""


class AttemptResult(msgspec.Struct, frozen=True):
    """Result of the attempt that ended last, or of those that run, as the driver reports it."""

    outcome: AttemptOutcome
    retry_after_ns: int | None = None
    """Nanoseconds until the upstream wants to be asked again, where it says so."""
    offer: Offer | None = None
    """Offer of the attempt, where two run; None: the last one that began."""
    unread: bool = False
    """True when the request was most likely not read, so that the same offer may be asked at once."""


SERVED = AttemptResult(AttemptOutcome.SERVED)
FINAL = AttemptResult(AttemptOutcome.FINAL)
ELSEWHERE = AttemptResult(AttemptOutcome.ELSEWHERE)
UNREAD = AttemptResult(AttemptOutcome.ELSEWHERE, unread=True)
UNTRANSLATED = AttemptResult(AttemptOutcome.UNTRANSLATED)
LACKS = AttemptResult(AttemptOutcome.LACKS)
UNDELIVERABLE = AttemptResult(AttemptOutcome.UNDELIVERABLE)
SLOW = AttemptResult(AttemptOutcome.SLOW)


class Step(msgspec.Struct, frozen=True):
    """Next step of a route, for its driver to carry out."""

    offer: Offer | None
    """Offer to send the call to; None: no new attempt, wait for those that run."""
    wait_ns: int = 0
    """Nanoseconds to wait before."""
    slow_after_ns: int | None = None
    """Nanoseconds from the sending after which the driver reports `SLOW` if no answer has begun. None:
    never.
    """


Route = Generator[Step, AttemptResult, None]


def next_step(route: Route, result: AttemptResult) -> Step | None:
    """Tell `route` the result of an attempt; return what to do next, None when it has ended."""
    try:
        return route.send(result)
    except StopIteration:
        return None


def attempts(
    offers: Sequence[Offer],
    policy: RoutePolicy,
    state: RoutingState,
    began_ns: int,
    may_hedge: Callable[[], bool] | None = None,
    in_reserve: Callable[[], Sequence[Offer]] = tuple,
) -> Route:
    """Try `offers` in their order, within the policy's limits; `began_ns` is when the call came.

    With `may_hedge`, which is asked when the call has become slow and spends from a budget, a second offer
    is tried beside the first, once. `in_reserve` are those that are tried when none of `offers` can be
    asked; it may raise what the caller is told instead.
    """
    if may_hedge is None and policy.deadline_s is None and policy.tries_per_offer == 1:
        return _one_by_one(offers, policy, state, in_reserve)
    return _Attempts(offers, policy, state, began_ns, may_hedge, in_reserve).run()


def _one_by_one(
    offers: Sequence[Offer],
    policy: RoutePolicy,
    state: RoutingState,
    in_reserve: Callable[[], Sequence[Offer]] = tuple,
) -> Route:
    """Try each offer once, without a clock (the common case); skip one whose breaker has opened."""
    left, fallback = policy.attempts, 0
    first = True
    for offer in offers:
        if offer.fallback != fallback:
            left, fallback = policy.attempts, offer.fallback
        if left and (first or state.passes(offer)):
            result = yield Step(offer)
            if result.outcome is AttemptOutcome.UNTRANSLATED:
                continue
            if result.unread:
                result = yield Step(offer)
            if (
                result.outcome is not AttemptOutcome.ELSEWHERE
                and result.outcome is not AttemptOutcome.LACKS
            ):
                return
            left -= 1
            first = False
    if first:
        reserve = in_reserve()
        if reserve:
            yield from _one_by_one(reserve, policy, state)


class _Attempts:
    """One call's attempts, with a deadline, waits and a hedge."""

    def __init__(
        self,
        offers: Sequence[Offer],
        policy: RoutePolicy,
        state: RoutingState,
        began_ns: int,
        may_hedge: Callable[[], bool] | None,
        in_reserve: Callable[[], Sequence[Offer]],
    ) -> None:
        self._policy = policy
        self._state = state
        self._may_hedge = may_hedge
        self._in_reserve: Callable[[], Sequence[Offer]] | None = in_reserve
        self._ahead = self._tries(offers)
        self._left: dict[int, int] = {}
        """Attempts that are left at the model's own offers, and at those of each fallback."""
        self._sent = 0
        self._running: list[Offer] = []
        self._unread: list[Offer] = []
        self._asked_until_ns: dict[OfferId, int] = {}
        self._end_ns: int | None = None
        if policy.deadline_s is not None:
            self._end_ns = began_ns + round(policy.deadline_s * NS_PER_SECOND)

    def run(self) -> Route:
        """The route."""
        step = self._next()
        while step is not None:
            result = yield step
            if result.outcome is AttemptOutcome.SLOW:
                step = self._when_slow()
            elif result.outcome is AttemptOutcome.ELSEWHERE:
                step = self._once_more(result) or self._after_failure(result)
            elif result.outcome is AttemptOutcome.LACKS:
                self._never_again(result.offer or self._running[-1])
                step = self._after_failure(result)
            elif result.outcome is AttemptOutcome.UNTRANSLATED:
                step = self._after_untranslated(result)
            elif result.outcome is AttemptOutcome.UNDELIVERABLE:
                self._running.remove(result.offer or self._running[-1])
                step = self._wait() if self._running else None
            else:
                return

    def _tries(self, offers: Sequence[Offer]) -> list[tuple[int, Offer]]:
        """Each of `offers` as often as the policy says: those of the model in turn, then its fallbacks'."""
        tries = range(self._policy.tries_per_offer)
        groups = [list(group) for _, group in groupby(offers, key=attrgetter("fallback"))]
        return [(number, offer) for group in groups for number in tries for offer in group]

    def _left_at(self, offer: Offer) -> int:
        """Attempts that are left for `offer` and the others of its model."""
        return self._left.get(offer.fallback, self._policy.attempts)

    def _count(self, offer: Offer, attempts: int) -> None:
        """Count `attempts` more at `offer`; negative to take some back."""
        self._left[offer.fallback] = self._left_at(offer) - attempts
        self._sent += attempts

    def _never_again(self, refused: Offer) -> None:
        """Drop the tries of `refused` that are left."""
        self._ahead = [(tries, offer) for tries, offer in self._ahead if offer.id != refused.id]

    def _after_untranslated(self, result: AttemptResult) -> Step | None:
        """Ask another offer in place of one that the call could not be translated for."""
        unsaid = result.offer or self._running[-1]
        self._running.remove(unsaid)
        self._never_again(unsaid)
        self._count(unsaid, -1)
        if not self._running:
            return self._next()
        other = self._other()  # it was the hedge, which is still owed
        return self._wait() if other is None else self._begin_hedge(other)

    def _once_more(self, result: AttemptResult) -> Step | None:
        """Repeat an attempt that was not read, at once, once and without counting it; None otherwise."""
        failed = result.offer or self._running[-1]
        if not result.unread or failed in self._unread or not self._before_end(0):
            return None
        if self._ahead and not self._state.passes(failed):
            return None
        self._unread.append(failed)
        self._running.remove(failed)
        self._count(failed, -1)
        return self._begin(failed, 0)

    def _after_failure(self, result: AttemptResult) -> Step | None:
        """One attempt has failed: wait for the other where two race, else try the next offer."""
        failed = result.offer or self._running[-1]
        self._running.remove(failed)
        if result.retry_after_ns:
            self._asked_until_ns[failed.id] = self._state.now_ns() + result.retry_after_ns
        return self._wait() if self._running else self._next()

    def _when_slow(self) -> Step | None:
        """The hedging delay, or the call's whole time, is over."""
        if self._end_ns is not None and self._state.now_ns() >= self._end_ns:
            return None
        may_hedge, self._may_hedge = self._may_hedge, None
        other = self._other() if may_hedge is not None else None
        if other is None or may_hedge is None or not may_hedge():
            return self._wait()
        return self._begin_hedge(other)

    def _begin_hedge(self, other: Offer) -> Step:
        self._ahead.remove((0, other))
        return self._begin(other, 0)

    def _other(self) -> Offer | None:
        """Return an offer for a hedge beside the slow one, to which the call was not sent yet."""
        fresh = (offer for tries, offer in self._ahead if not tries and self._left_at(offer))
        return next((o for o in fresh if o not in self._running and self._in_time(o, 0)), None)

    def _next(self) -> Step | None:
        """The next attempt; None when there is none or no time for it."""
        while self._ahead:
            tries, offer = self._ahead.pop(0)
            if self._left_at(offer):
                wait_ns = 0
                if tries:  # doubling with jitter, and at least `retry-after`
                    backoff_ns = self._policy.backoff_ms * _NS_PER_MS * (1 << tries - 1)
                    jittered_ns = round(backoff_ns * (1.0 - self._state.random()))
                    asked_ns = self._asked_until_ns.get(offer.id, 0) - self._state.now_ns()
                    wait_ns = max(jittered_ns, asked_ns)
                if self._in_time(offer, wait_ns):
                    return self._begin(offer, wait_ns)
        if not self._sent and self._in_reserve is not None:
            reserve, self._in_reserve = self._in_reserve(), None
            self._ahead = self._tries(reserve)
            return self._next()
        return None

    def _begin(self, offer: Offer, wait_ns: int) -> Step:
        self._count(offer, 1)
        self._running.append(offer)
        silence_ns = self._until_end_ns(wait_ns)
        if self._may_hedge is not None and self._policy.hedge_after_ms is not None:
            hedge_ns = round(self._policy.hedge_after_ms * _NS_PER_MS)
            silence_ns = hedge_ns if silence_ns is None else min(hedge_ns, silence_ns)
        return Step(offer, wait_ns, silence_ns)

    def _wait(self) -> Step:
        """Make no new attempt; wait for those that run."""
        return Step(None, slow_after_ns=self._until_end_ns(0))

    def _in_time(self, offer: Offer, wait_ns: int) -> bool:
        """Return True when breaker and deadline allow an attempt at `offer` after the wait.

        The first attempt of all is made whatever the breaker says: no better offer was found.
        """
        passes = not self._sent or self._state.now_ns() + wait_ns >= self._state.retry_ns(offer)
        return passes and wait_ns <= _LONGEST_WAIT_NS and self._before_end(wait_ns)

    def _before_end(self, wait_ns: int) -> bool:
        return self._end_ns is None or self._state.now_ns() + wait_ns < self._end_ns

    def _until_end_ns(self, wait_ns: int) -> int | None:
        if self._end_ns is None:
            return None
        return max(0, self._end_ns - self._state.now_ns() - wait_ns)


PolicyOf = Callable[[ModelId], RoutePolicy]
"""Function from a model to its routing policy."""


class HedgeBudget:
    """A share of calls that may be hedged: each call that might be adds its share, each hedge takes one.

    So a bad hour of an upstream, in which every call is slow, does not double what is sent to the others.
    Shares that nobody uses are kept up to ten hedges.
    """

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = 0.0

    def earn(self, share: float) -> None:
        """A call comes that might be hedged."""
        self._saved = min(self._saved + share, _SAVED_HEDGES)

    def spend(self) -> bool:
        """Take a hedge; False when there is none left."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


class Router:
    """Makes the routes of calls. Another configuration is another router over the same `Health`."""

    def __init__(self, health: Health, policy_of: PolicyOf = lambda _: _DEFAULT) -> None:
        self.health = health
        self._policy_of = policy_of
        self._budgets: dict[ModelId, HedgeBudget] = {}

    def slots(
        self, model: ModelId, offers: Sequence[Offer], only: Sequence[str] = ()
    ) -> SlotPool | None:
        """Return the slots that calls of `model` share at those of `offers` where they may run.

        `only` are the regions that the caller keeps to, whose offers these are. Calls that may not run
        everywhere have a pool of their own, since the slots elsewhere are of no use to them.
        """
        regions = self._policy_of(model).regions
        if regions:
            offers = [offer for offer in offers if in_regions(offer, regions)]
        pool = slot_pool(offers)
        if pool is None or not (regions or only):
            return pool
        return SlotPool(f"{pool.name} {','.join(regions)} {','.join(only)}", pool.permits)

    def route(
        self, call: Call, offers: Sequence[Offer], began_ns: int, price: Rates | None = None
    ) -> Route:
        """The route of `call`, which came at `began_ns`, among `offers`; CallError when none may serve it.

        `price` is what its customer pays for it, where that is known.
        """
        policy = self._policy_of(call.model)
        health = self.health
        if len(offers) == 1 and not policy.regions and offers[0].capacity is None:
            may = offers  # no rule can leave it out, and a breaker never refuses the last one
        else:
            may = eligible(call.model, offers, policy, health)
        if len(may) > 1:
            may = in_order(may, health, CallFacts(call, price), policy)
        may_hedge = None
        is_small = len(call.body) <= policy.hedge_prompt_bytes  # a large one is not sent twice
        if policy.hedge_after_ms is not None and len(may) > 1 and is_small:
            budget = self._budgets.setdefault(call.model, HedgeBudget())
            budget.earn(policy.hedge_share)
            may_hedge = budget.spend
        if len(may) == len(offers):
            return attempts(may, policy, health, began_ns, may_hedge)
        reserve = partial(in_reserve, call.model, offers, may, policy, health)
        return attempts(may, policy, health, began_ns, may_hedge, reserve)
