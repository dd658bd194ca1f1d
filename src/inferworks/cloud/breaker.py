"""A circuit breaker: an offer that keeps failing is left alone for a while, then tried with one call.

    closed --too many failures--> open --cool-down over--> half-open --probe answers--> closed
                                   ^                          |
                                   └------probe fails---------┘  (and the cool-down is twice as long)

It is a state machine without a timer: it is told what happened and when, and asked whether a call may
pass at a time. Half-open is no state that somebody must enter, but an open breaker whose time has come.

Which call is the probe need not be remembered either. The first call that passes a half-open breaker
takes the place of the next for another cool-down, so a probe whose client leaves blocks nobody for long.
And only calls that began after the breaker opened say how the offer does now: a call that was under way
before neither closes the breaker with a late success nor lengthens the cool-down with a late failure.

An offer may also say itself when it wants the next call (a 429 with `retry-after`). It is held off until
then and taken back whole: it is at its limit, which is no sickness.

Failures count in a row and as a share of a window; the window is the last whole span and the running one,
which takes four integers instead of a list of times.
"""

from __future__ import annotations

from enum import StrEnum

from inferworks.cloud.policy import BreakerPolicy
from inferworks.units import NS_PER_SECOND


class BreakerState(StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"
    """Lets it pass."""
    OPEN = "open"
    """Holds it off."""
    HALF_OPEN = "half_open"
    """Lets one pass and sees."""


class Breaker:
    """The breaker of one offer. Times are nanoseconds of one clock that never runs back."""

    __slots__ = (
        "_calls",
        "_calls_before",
        "_cool_down_ns",
        "_failures",
        "_failures_before",
        "_in_row",
        "_opened_ns",
        "_span_ends_ns",
        "closed",
        "policy",
        "retry_ns",
    )

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.closed = True
        self.retry_ns = 0
        """When the next call may pass, where one was held off; 0 while all may."""
        self._opened_ns = 0
        self._cool_down_ns = 0
        self._in_row = 0
        self._span_ends_ns = 0
        self._calls = self._failures = 0
        self._calls_before = self._failures_before = 0

    def state(self, now_ns: int) -> BreakerState:
        """Its state at `now_ns`."""
        if not self.passes(now_ns):
            return BreakerState.OPEN
        return BreakerState.CLOSED if self.closed else BreakerState.HALF_OPEN

    def passes(self, now_ns: int) -> bool:
        """Whether a call may pass at `now_ns`."""
        return now_ns >= self.retry_ns

    def began(self, now_ns: int) -> None:
        """A call has passed; through a half-open breaker it is the only one for a cool-down."""
        if not self.closed:
            self.retry_ns = max(self.retry_ns, now_ns + self._cool_down_ns)

    def succeeded(self, began_ns: int, now_ns: int) -> None:
        """A call that began at `began_ns` was answered."""
        if self.closed:
            self._in_row = 0
            if now_ns >= self.retry_ns:
                self.retry_ns = 0
            if now_ns >= self._span_ends_ns:
                self._next_span(now_ns)
            self._calls += 1
        elif began_ns > self._opened_ns:
            self._close()

    def failed(self, began_ns: int, now_ns: int) -> None:
        """A call that began at `began_ns` has failed in a way that another offer might not."""
        if not self.closed:
            if began_ns > self._opened_ns:
                longest_ns = round(self.policy.longest_cool_down_s * NS_PER_SECOND)
                self._open(now_ns, min(self._cool_down_ns * 2, longest_ns))
            return
        if now_ns >= self._span_ends_ns:
            self._next_span(now_ns)
        self._in_row += 1
        self._calls += 1
        self._failures += 1
        if self._too_many():
            self._open(now_ns, round(self.policy.cool_down_s * NS_PER_SECOND))

    def told_to_wait(self, now_ns: int, wait_ns: int) -> None:
        """The offer itself says when it wants the next call (a 429 with `retry-after`)."""
        self.retry_ns = max(self.retry_ns, now_ns + wait_ns)

    def _too_many(self) -> bool:
        policy = self.policy
        calls = self._calls + self._calls_before
        failures = self._failures + self._failures_before
        many = calls >= policy.least_calls and failures >= policy.failure_share * calls
        return many or self._in_row >= policy.failures_in_row

    def _open(self, now_ns: int, cool_down_ns: int) -> None:
        self.closed = False
        self._opened_ns = now_ns
        self._cool_down_ns = cool_down_ns
        self.retry_ns = max(self.retry_ns, now_ns + cool_down_ns)

    def _close(self) -> None:
        """Begin anew; what was counted before it opened is no news."""
        self.closed = True
        self.retry_ns = 0
        self._in_row = 0
        self._calls = self._failures = 0
        self._calls_before = self._failures_before = 0

    def _next_span(self, now_ns: int) -> None:
        """Half a window is over: it becomes the one before, unless more than that has passed."""
        span_ns = round(self.policy.window_s * NS_PER_SECOND) // 2
        follows = now_ns < self._span_ends_ns + span_ns
        self._calls_before = self._calls if follows else 0
        self._failures_before = self._failures if follows else 0
        self._calls = self._failures = 0
        self._span_ends_ns = now_ns + span_ns
