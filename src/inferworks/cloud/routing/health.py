"""Health of the offers: calls running, time to first byte, breaker; serving updates it, routing reads it.

One record per offer, found with one look-up and then held for the attempt: each call updates it. Nothing
here waits or has a timer; times come from the clock that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import exp
from random import Random

from inferworks.clock import Clock
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import BreakerPolicy
from inferworks.ids import OfferId
from inferworks.units import NS_PER_SECOND

_SETTLING_NS = 10_000_000_000
_REMEMBERED = 1024
"""Most failed bodies, callers and failing callers that are remembered, each."""

Caller = tuple[str, str]
"""Customer, and the key that it calls with."""
NOBODY: Caller = ("", "")


class PeakEwma:
    """A moving average of times that rises at once and falls slowly, in nanoseconds.

    Problem. An offer that has become slow must be left at once; one that was slow must not be shunned for
    ever, though nobody calls it any more and so nothing new is learned of it.

    Decision. A sample above the average becomes the average. One below pulls it down, by the more the
    longer the last one is past: after `settling_ns` by 63 %. And what is read decays in the same measure
    while nothing comes in, so that an offer that is left alone is believed better step by step until
    somebody tries it. The same as in Twitter's Finagle (`PeakEwma`), whose load balancer has used it for
    years.
    """

    __slots__ = ("_at_ns", "_settling_ns", "_value_ns")

    def __init__(self, settling_ns: int = _SETTLING_NS) -> None:
        self._settling_ns = settling_ns
        self._value_ns = 0.0
        self._at_ns = 0

    def take(self, now_ns: int, sample_ns: int) -> None:
        """Take a sample of `sample_ns` that ended at `now_ns`."""
        value_ns = self._value_ns
        if sample_ns < value_ns:
            kept = exp((self._at_ns - now_ns) / self._settling_ns) if now_ns > self._at_ns else 1.0
            self._value_ns = sample_ns + (value_ns - sample_ns) * kept
        else:
            self._value_ns = sample_ns
        self._at_ns = now_ns

    def read(self, now_ns: int) -> int:
        """The average as it is believed at `now_ns`; 0 while nothing is known."""
        if not self._value_ns or now_ns <= self._at_ns:
            return round(self._value_ns)
        return round(self._value_ns * exp((self._at_ns - now_ns) / self._settling_ns))


class BreakerState(StrEnum):
    """State of a breaker."""

    CLOSED = "closed"
    """Calls pass."""
    OPEN = "open"
    """Calls are held off."""
    HALF_OPEN = "half_open"
    """One call passes as a probe."""


class _Span:
    """Half a window: its calls, its new failures, their callers and bodies."""

    __slots__ = ("bodies", "callers", "calls", "failures")

    def __init__(self) -> None:
        self.calls = self.failures = 0
        self.callers: set[Caller] = set()
        self.bodies: set[int] = set()


class Breaker:
    """Circuit breaker: an offer that keeps failing gets no calls for a while, then one as a probe.

        closed --too many failures--> open --cool-down over--> half-open --probe answers--> closed
                                       ^                          |
                                       └------probe fails---------┘  (and the cool-down is twice as long)

    It is a state machine without a timer: events come with their times, and `passes` says whether a
    call may pass at a time. Half-open is no state to enter, but an open breaker whose cool-down is
    over.

    The probe is not remembered either. The first call that passes a half-open breaker delays the next
    by another cool-down, so a probe whose client leaves blocks the offer for no longer than that. And
    only calls that began after the breaker opened count: a call that was under way before neither
    closes the breaker with a late success nor lengthens the cool-down with a late failure.

    An offer may also say itself when it wants the next call (a 429 with `retry-after`). It is held off
    until then without a probe: being at its limit is no failure.

    Failures count in a row and as a share of a window; the window is the last whole span and the
    running one, which takes two counts and two sets for each instead of a list of times.

    Callers. A breaker shuts an offer for all callers, so failures that one caller can cause say little:
    an engine answers 500 to a prompt that it cannot process, as often as it is sent, and works
    otherwise. So a body that has failed here before does not count again; and where several customers
    call, failures open the breaker only when they are those of more than one, and of a `failure_share`
    of those that call. The same holds for keys, since all keys may be one customer's. One caller alone
    opens it only where no other calls. A call that never reached the offer (refused connection, no
    address) is no caller's fault and always counts.

    Rejected. Breakers per key (a dead upstream is found out by each of a thousand keys anew); a probe
    of our own (a prompt costs money, and a health page says little about a model).

    Times are nanoseconds of one clock that never runs back.
    """

    __slots__ = (
        "_before",
        "_cool_down_ns",
        "_failing",
        "_in_row",
        "_opened_ns",
        "_span",
        "_span_ends_ns",
        "_unreached_in_row",
        "closed",
        "policy",
        "retry_ns",
    )

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.closed = True
        self.retry_ns = 0
        """Time in nanoseconds when the next call may pass, where one was held off; 0 while all may."""
        self._opened_ns = 0
        self._cool_down_ns = 0
        self._span_ends_ns = 0
        self._forget()

    def state(self, now_ns: int) -> BreakerState:
        """Return the state at `now_ns`."""
        if not self.passes(now_ns):
            return BreakerState.OPEN
        return BreakerState.CLOSED if self.closed else BreakerState.HALF_OPEN

    def passes(self, now_ns: int) -> bool:
        """Return True when a call may pass at `now_ns`."""
        return now_ns >= self.retry_ns

    def began(self, now_ns: int) -> None:
        """A call has passed; through a half-open breaker it is the only one for a cool-down."""
        if not self.closed:
            self.retry_ns = max(self.retry_ns, now_ns + self._cool_down_ns)

    def unsent(self, began_ns: int) -> None:
        """The call that began at `began_ns` was never sent; what waits for it need not."""
        if not self.closed and self.retry_ns == began_ns + self._cool_down_ns:
            self.retry_ns = began_ns

    def succeeded(self, began_ns: int, now_ns: int, caller: Caller = NOBODY) -> None:
        """A call of `caller` that began at `began_ns` was answered."""
        if self.closed:
            self._in_row = self._unreached_in_row = 0
            if now_ns >= self.retry_ns:
                self.retry_ns = 0
            if now_ns >= self._span_ends_ns:
                self._next_span(now_ns)
            span = self._span
            span.calls += 1
            if len(span.callers) < _REMEMBERED:
                span.callers.add(caller)
            if self._failing:
                self._failing.pop(caller, None)
        elif began_ns > self._opened_ns:
            self._close()

    def refused(self, began_ns: int) -> None:
        """A call that began at `began_ns` was found wrong: the offer is there, and no more is known."""
        if not self.closed and began_ns > self._opened_ns:
            self._close()

    def failed(
        self, began_ns: int, now_ns: int, caller: Caller = NOBODY, body: int | None = None
    ) -> None:
        """A call of `caller` that began at `began_ns` has failed in a way that another offer might not.

        `body` stands for what was asked; None when the offer has seen nothing of it.
        """
        if now_ns >= self._span_ends_ns:
            self._next_span(now_ns)
        if body is not None and (body in self._span.bodies or body in self._before.bodies):
            return
        if not self.closed:
            if began_ns > self._opened_ns:
                longest_ns = round(self.policy.longest_cool_down_s * NS_PER_SECOND)
                self._open(now_ns, min(self._cool_down_ns * 2, longest_ns))
            return
        policy, span, before = self.policy, self._span, self._before
        span.calls += 1
        span.failures += 1
        self._in_row += 1
        if body is None:
            self._unreached_in_row += 1
        elif len(span.bodies) < _REMEMBERED:
            span.bodies.add(body)
        if len(span.callers) < _REMEMBERED:
            span.callers.add(caller)
        if caller in self._failing or len(self._failing) < _REMEMBERED:
            self._failing[caller] = now_ns
        calls, failures = span.calls + before.calls, span.failures + before.failures
        share = calls >= policy.least_calls and failures >= policy.failure_share * calls
        too_many = share or self._in_row >= policy.failures_in_row
        if self._unreached_in_row >= policy.failures_in_row or (
            too_many and self._concerns_all(now_ns)
        ):
            self._open(now_ns, round(policy.cool_down_s * NS_PER_SECOND))

    def told_to_wait(self, now_ns: int, wait_ns: int) -> None:
        """The offer itself says when it wants the next call (a 429 with `retry-after`)."""
        self.retry_ns = max(self.retry_ns, now_ns + wait_ns)

    def _concerns_all(self, now_ns: int) -> bool:
        """Return True when the callers whose last call failed are enough of all that call."""
        calling = self._span.callers | self._before.callers
        since_ns = now_ns - round(self.policy.window_s * NS_PER_SECOND)
        failing = {caller for caller, at_ns in self._failing.items() if at_ns >= since_ns}
        customers, of_them = ({customer for customer, _ in some} for some in (calling, failing))
        share = self.policy.failure_share
        return all(
            every < 2 or (some >= 2 and some >= share * every)
            for every, some in ((len(calling), len(failing)), (len(customers), len(of_them)))
        )

    def _open(self, now_ns: int, cool_down_ns: int) -> None:
        self.closed = False
        self._opened_ns = now_ns
        self._cool_down_ns = cool_down_ns
        self.retry_ns = max(self.retry_ns, now_ns + cool_down_ns)

    def _close(self) -> None:
        """Begin anew; what was counted before it opened is no news."""
        self.closed = True
        self.retry_ns = 0
        self._forget()

    def _forget(self) -> None:
        self._in_row = self._unreached_in_row = 0
        self._span, self._before = _Span(), _Span()
        self._failing: dict[Caller, int] = {}
        """Keys whose last call failed, and when."""

    def _next_span(self, now_ns: int) -> None:
        """Half a window is over: it becomes the one before, unless more than that has passed."""
        span_ns = round(self.policy.window_s * NS_PER_SECOND) // 2
        follows = now_ns < self._span_ends_ns + span_ns
        self._before = self._span if follows else _Span()
        self._span = _Span()
        self._span_ends_ns = now_ns + span_ns


class OfferHealth:
    """Health of one offer. An attempt calls `begins`, at most one method for its outcome, and `over`."""

    __slots__ = ("average", "breaker", "running")

    def __init__(self, policy: BreakerPolicy) -> None:
        self.running = 0
        """Attempts that have begun and are not over."""
        self.average = PeakEwma()
        """Average of the time to first byte, in nanoseconds."""
        self.breaker = Breaker(policy)

    def begins(self, now_ns: int) -> None:
        """An attempt begins."""
        self.running += 1
        if not self.breaker.closed:
            self.breaker.began(now_ns)

    def unsent(self, began_ns: int) -> None:
        """Take back an attempt that was never sent, since the call could not be translated."""
        self.breaker.unsent(began_ns)

    def answered(self, began_ns: int, now_ns: int, caller: Caller = NOBODY) -> None:
        """The first byte of an answer to `caller` is here."""
        self.breaker.succeeded(began_ns, now_ns, caller)
        self.average.take(now_ns, now_ns - began_ns)

    def refused(self, began_ns: int) -> None:
        """Count a refusal by an offer that works. Its time to first byte is not counted."""
        self.breaker.refused(began_ns)

    def failed(
        self, began_ns: int, now_ns: int, caller: Caller = NOBODY, body: int | None = None
    ) -> None:
        """Count a failed call of `caller`; `body` is the hash of its request, None if nothing was read."""
        self.breaker.failed(began_ns, now_ns, caller, body)

    def told_to_wait(self, now_ns: int, wait_ns: int) -> None:
        """Hold the offer off for `wait_ns`, as it asked."""
        self.breaker.told_to_wait(now_ns, wait_ns)

    def outrun(self, began_ns: int, now_ns: int) -> None:
        """Count an attempt that was cut by a quicker one or by the deadline: it would have taken longer."""
        waited_ns = now_ns - began_ns
        if waited_ns > self.average.read(now_ns):
            self.average.take(now_ns, waited_ns)

    def over(self) -> None:
        """The attempt is over, its answer with it."""
        self.running -= 1


class Health:
    """Health of all offers, the `RoutingState` of every route; an offer unknown so far is healthy."""

    def __init__(
        self, clock: Clock, policy: BreakerPolicy | None = None, *, seed: int | None = None
    ) -> None:
        """The clock must never be set (`Clock.carried`); its times are compared with no other's.

        `seed` makes the random numbers the same in every run; without it they differ.
        """
        self.clock = clock
        self.now_ns = clock.now_ns
        """The clock, in nanoseconds."""
        self._policy = policy or BreakerPolicy()
        self._by_offer: dict[OfferId, OfferHealth] = {}
        self.random = Random(seed).random  # noqa: S311 spreads load, keeps no secret

    def use(self, policy: BreakerPolicy) -> None:
        """Go by another policy from now on; what is open stays open."""
        self._policy = policy
        for health in self._by_offer.values():
            health.breaker.policy = policy

    def of(self, offer: Offer) -> OfferHealth:
        """Return the health of `offer`."""
        health = self._by_offer.get(offer.id)
        if health is None:
            health = self._by_offer[offer.id] = OfferHealth(self._policy)
        return health

    def running(self, offer: Offer) -> int:
        """Calls running at `offer`."""
        return self.of(offer).running

    def first_byte_ns(self, offer: Offer) -> int:
        """Moving average of the offer's time to first byte, in nanoseconds; 0 while unknown."""
        return self.of(offer).average.read(self.now_ns())

    def passes(self, offer: Offer) -> bool:
        """Return True when the offer's breaker lets a call pass now."""
        breaker = self.of(offer).breaker
        return not breaker.retry_ns or breaker.passes(self.now_ns())

    def retry_ns(self, offer: Offer) -> int:
        """Time in nanoseconds when the offer's breaker lets the next call pass; in the past for now."""
        return self.of(offer).breaker.retry_ns

    def loads(self) -> Mapping[OfferId, int]:
        """Calls running at every offer, for whoever watches."""
        return {offer: health.running for offer, health in self._by_offer.items()}

    def states(self) -> Mapping[OfferId, BreakerState]:
        """The state of every breaker, for whoever watches."""
        now_ns = self.now_ns()
        return {offer: s.breaker.state(now_ns) for offer, s in self._by_offer.items()}
