"""Health of the offers: calls running, time to first byte, breaker; serving updates it, routing reads it.

One record per offer, found with one look-up and then held for the attempt: each call updates it. Nothing
here waits or has a timer; times come from the clock that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from random import Random

from inferworks.clock import Clock
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.breaker import NOBODY, Breaker, BreakerState, Caller
from inferworks.cloud.routing.policy import BreakerPolicy
from inferworks.ids import OfferId

_SETTLING_NS = 10_000_000_000


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
