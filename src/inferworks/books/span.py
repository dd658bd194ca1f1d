"""A span of time, and how much of something falls inside it.

Problem. Bills, steps and intervals straddle each other's edges. Rounding each overlap on its own makes
the parts of two adjoining spans sum to a nanosecond, or a picounit, more or less than the whole.

Decision. The part inside a span is the difference of two *cumulative* shares, one up to its end and one
up to its start. Whatever the rounding, the shares of adjoining spans telescope to the whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from inferworks.money import split


class Span(NamedTuple):
    """From `start_ns` up to, not including, `end_ns`; nanoseconds since 1970-01-01 UTC."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Nanoseconds from start to end; zero when they cross."""
        return max(0, self.end_ns - self.start_ns)

    def holds(self, at_ns: int) -> bool:
        """Whether the moment `at_ns` is inside."""
        return self.start_ns <= at_ns < self.end_ns

    def meet(self, start_ns: int, end_ns: int) -> Span:
        """The part of this span from `start_ns` to `end_ns`; of length zero when there is none."""
        return Span(max(self.start_ns, start_ns), min(self.end_ns, end_ns))

    def part_of(self, quantity: int, start_ns: int, end_ns: int) -> int:
        """How much of `quantity`, spread evenly from `start_ns` to `end_ns`, falls inside.

        What has no length falls where it starts. Adjoining spans sum to `quantity` exactly.
        """
        if self.start_ns <= start_ns and end_ns <= self.end_ns and start_ns < self.end_ns:
            return quantity
        if end_ns <= start_ns:
            return quantity if self.holds(start_ns) else 0
        inside = self.meet(start_ns, end_ns)
        if inside.length_ns == 0:
            return 0
        before_end = _cumulative(quantity, start_ns, end_ns, inside.end_ns)
        return before_end - _cumulative(quantity, start_ns, end_ns, inside.start_ns)


def _cumulative(quantity: int, start_ns: int, end_ns: int, at_ns: int) -> int:
    """The part of `quantity` that has come by `at_ns`."""
    return split(quantity, {0: at_ns - start_ns, 1: end_ns - at_ns})[0]


def merged(intervals: Iterable[tuple[int, int]]) -> list[Span]:
    """The time covered by at least one of `intervals` (start, end), as spans apart, in order."""
    spans: list[Span] = []
    for start_ns, end_ns in sorted(intervals):
        if spans and start_ns <= spans[-1].end_ns:
            spans[-1] = Span(spans[-1].start_ns, max(spans[-1].end_ns, end_ns))
        elif end_ns > start_ns:
            spans.append(Span(start_ns, end_ns))
    return spans
