"""A moving average of times that rises at once and falls slowly: the peak-sensitive kind.

Problem. An offer that has become slow must be left at once; one that was slow must not be shunned for
ever, though nobody calls it any more and so nothing new is learned of it.

Decision. A sample above the average becomes the average. One below pulls it down, by the more the longer
the last one is past: after `settling_ns` by 63 %. And what is read decays in the same measure while nothing
comes in, so that an offer that is left alone is believed better step by step until somebody tries it.
The same as in Twitter's Finagle (`PeakEwma`), whose load balancer has used it for years.
"""

from __future__ import annotations

from math import exp

_SETTLING_NS = 10_000_000_000


class PeakEwma:
    """The moving average of one offer, in nanoseconds."""

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
