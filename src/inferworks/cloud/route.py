"""Which offer to try, and which next: a policy without I/O.

A route is a generator: it yields what to try and is sent the verdict on that attempt. Production drives
it with sockets (`serve`), a test with a list, the planner with a heap. It ends when there is nothing more
to try; the last verdict then stands.

    driver                          route
      next(route)            ──►      Step(offer a, slow after 200 ms)
      nothing after 200 ms: SLOW ──►  Step(offer b)          the hedge: a and b race
      b failed               ──►      Step(None)             a is still running: wait for it
      a answered: SERVED     ──►      (ends)

Whether to go on is decided here alone: how many attempts, until when, where, after which wait. What a
failed attempt may have cost is a reason to be careful with all of them, so each default is small.

A kept connection may be closed by the upstream just as it is used again. The offer has not failed then,
and a call that has no other must not fail for it: the same offer is asked once more, at once, over a new
connection. That is a leg of its own on record, but none of the call's attempts, and the offer's breaker is
not told.

Whether the first was read after all, nobody can know. RFC 9110 lets a request that is not idempotent be
repeated, once, by who knows what it means, and forbids it to a proxy, which does not. Browsers and curl
repeat every method on a reused connection that gave no answer; Go's net/http and nginx no POST of which
something has left; Envoy, told to (`reset-before-request`), what has not left whole. A gateway knows what
its requests mean: a generation that is asked for twice changes nothing and can only cost twice. So it
repeats them on a browser's terms and stricter: no byte of an answer has come, and the end came so soon
after the request that it must have been under way before it (`http.upstream`).

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2,
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_next_upstream,
https://pkg.go.dev/net/http#Transport,
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from enum import Enum, auto

import msgspec

from inferworks.cloud.offer import Offer
from inferworks.cloud.policy import RoutePolicy
from inferworks.cloud.sight import Sight
from inferworks.ids import OfferId
from inferworks.units import NS_PER_SECOND

_NS_PER_MS = 1_000_000
_LONGEST_WAIT_NS = 10 * NS_PER_SECOND
"""A client would rather be told of a longer wait and decide for itself."""


class How(Enum):
    """How an attempt went, as far as the next one is concerned."""

    SERVED = auto()
    """It answers; nothing else is tried."""
    FINAL = auto()
    """It refused what any other would refuse too."""
    ELSEWHERE = auto()
    """It failed before it answered; another offer may do better."""
    SLOW = auto()
    """Nothing has begun in the time that the step gave it. It still runs."""


class Verdict(msgspec.Struct, frozen=True):
    """What a driver tells of the attempt that ended last, or of those that run."""

    how: How
    retry_after_ns: int | None = None
    """In how long the upstream wants to be asked again, where it says so."""
    offer: Offer | None = None
    """Whose attempt it was, where two run; None: the last one that began."""
    unread: bool = False
    """Most likely nobody has read it, and the same offer may be asked at once."""


SERVED = Verdict(How.SERVED)
FINAL = Verdict(How.FINAL)
ELSEWHERE = Verdict(How.ELSEWHERE)
UNREAD = Verdict(How.ELSEWHERE, unread=True)
SLOW = Verdict(How.SLOW)


class Step(msgspec.Struct, frozen=True):
    """What to do next."""

    offer: Offer | None
    """Whom to send the call; None: nobody, wait for what runs."""
    wait_ns: int = 0
    """How long to wait before."""
    slow_after_ns: int | None = None
    """Tell `SLOW` when nothing has begun to answer by then, counted from the sending. None: never."""


Route = Generator[Step, Verdict, None]


def attempts(
    offers: Sequence[Offer],
    policy: RoutePolicy,
    sight: Sight,
    began_ns: int,
    may_hedge: Callable[[], bool] | None = None,
) -> Route:
    """Try `offers` in their order, within the policy's limits; `began_ns` is when the call came.

    With `may_hedge`, which is asked when the call has become slow and spends from a budget, a second offer
    is tried beside the first, once.
    """
    if may_hedge is None and policy.deadline_s is None and policy.tries_per_offer == 1:
        return _one_by_one(offers[: policy.attempts], sight)
    return _Attempts(offers, policy, sight, began_ns, may_hedge).run()


def _one_by_one(offers: Sequence[Offer], sight: Sight) -> Route:
    """The common case: each offer once, no clock. One that has been given up meanwhile is passed over."""
    first = True
    for offer in offers:
        if first or sight.passes(offer):
            verdict = yield Step(offer)
            if verdict.unread:
                verdict = yield Step(offer)
            if verdict.how is not How.ELSEWHERE:
                return
        first = False


class _Attempts:
    """One call's attempts, with a deadline, waits and a hedge."""

    def __init__(
        self,
        offers: Sequence[Offer],
        policy: RoutePolicy,
        sight: Sight,
        began_ns: int,
        may_hedge: Callable[[], bool] | None,
    ) -> None:
        self._policy = policy
        self._sight = sight
        self._may_hedge = may_hedge
        self._ahead = [(tries, o) for tries in range(policy.tries_per_offer) for o in offers]
        self._left = policy.attempts
        self._running: list[Offer] = []
        self._unread: list[Offer] = []
        self._asked_until_ns: dict[OfferId, int] = {}
        self._end_ns = None if policy.deadline_s is None else began_ns + _ns(policy.deadline_s)

    def run(self) -> Route:
        """The route."""
        step = self._next()
        while step is not None:
            verdict = yield step
            if verdict.how is How.SLOW:
                step = self._when_slow()
            elif verdict.how is How.ELSEWHERE:
                step = self._once_more(verdict) or self._after_failure(verdict)
            else:
                return

    def _once_more(self, verdict: Verdict) -> Step | None:
        """The same offer at once, if its attempt was not read; it is not counted, and not done twice."""
        failed = verdict.offer or self._running[-1]
        if not verdict.unread or failed in self._unread or not self._in_time(failed, 0):
            return None
        self._unread.append(failed)
        self._running.remove(failed)
        self._left += 1
        return self._begin(failed, 0)

    def _after_failure(self, verdict: Verdict) -> Step | None:
        """One attempt has failed: wait for the other where two race, else try the next offer."""
        failed = verdict.offer or self._running[-1]
        self._running.remove(failed)
        if verdict.retry_after_ns:
            self._asked_until_ns[failed.id] = self._sight.now_ns() + verdict.retry_after_ns
        return self._wait() if self._running else self._next()

    def _when_slow(self) -> Step | None:
        """The hedging delay, or the call's whole time, is over."""
        if self._end_ns is not None and self._sight.now_ns() >= self._end_ns:
            return None
        may_hedge, self._may_hedge = self._may_hedge, None
        other = self._other() if may_hedge is not None and self._left else None
        if other is None or may_hedge is None or not may_hedge():
            return self._wait()
        self._ahead.remove((0, other))
        return self._begin(other, 0)

    def _other(self) -> Offer | None:
        """Whom a call might be sent to beside the offer that is slow: one it has not been sent to."""
        fresh = (offer for tries, offer in self._ahead if not tries)
        return next((o for o in fresh if o not in self._running and self._in_time(o, 0)), None)

    def _next(self) -> Step | None:
        """The next attempt; None when there is none or no time for it."""
        while self._ahead and self._left:
            tries, offer = self._ahead.pop(0)
            wait_ns = self._wait_ns(offer, tries)
            if self._in_time(offer, wait_ns):
                return self._begin(offer, wait_ns)
        return None

    def _begin(self, offer: Offer, wait_ns: int) -> Step:
        self._left -= 1
        self._running.append(offer)
        silence_ns = self._until_end_ns(wait_ns)
        if self._may_hedge is not None and self._policy.hedge_after_ms is not None:
            hedge_ns = round(self._policy.hedge_after_ms * _NS_PER_MS)
            silence_ns = hedge_ns if silence_ns is None else min(hedge_ns, silence_ns)
        return Step(offer, wait_ns, silence_ns)

    def _wait(self) -> Step:
        """Send it to nobody else; wait for what runs."""
        return Step(None, slow_after_ns=self._until_end_ns(0))

    def _in_time(self, offer: Offer, wait_ns: int) -> bool:
        """Whether after the wait the offer's breaker passes a call and the deadline leaves time for it."""
        at_ns = self._sight.now_ns() + wait_ns
        before_end = self._end_ns is None or at_ns < self._end_ns
        return before_end and wait_ns <= _LONGEST_WAIT_NS and at_ns >= self._sight.retry_ns(offer)

    def _wait_ns(self, offer: Offer, tries: int) -> int:
        """None before the first try; later what chance leaves of a doubling wait, or what it asked for."""
        if not tries:
            return 0
        backoff_ns = self._policy.backoff_ms * _NS_PER_MS * (1 << tries - 1)
        jittered_ns = round(backoff_ns * (1.0 - self._sight.random()))
        return max(jittered_ns, self._asked_until_ns.get(offer.id, 0) - self._sight.now_ns())

    def _until_end_ns(self, wait_ns: int) -> int | None:
        if self._end_ns is None:
            return None
        return max(0, self._end_ns - self._sight.now_ns() - wait_ns)


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)
