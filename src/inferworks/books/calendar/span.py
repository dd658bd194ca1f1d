"""A span of time, and the share of a quantity that falls inside it.

Problem. Bills, steps and intervals straddle each other's edges. Rounding each overlap on its own makes
the parts of two adjoining spans sum to a nanosecond, or a picounit, more or less than the whole.

Decision. The part inside a span is the difference of two *cumulative* shares, one up to its end and one
up to its start. Whatever the rounding, the shares of adjoining spans telescope to the whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from inferworks.money import split
from inferworks.units import NS_PER_SECOND

NS_PER_HOUR = 3_600 * NS_PER_SECOND


class Timed(Protocol):
    """Anything that lasts from `period_start_ns` until `period_end_ns`."""

    @property
    def period_start_ns(self) -> int:
        """First nanosecond."""
        ...

    @property
    def period_end_ns(self) -> int:
        """First nanosecond after the end."""
        ...


class Times(NamedTuple):
    """A period, and the number of lines with it."""

    period_start_ns: int
    period_end_ns: int
    lines: int


class Span(NamedTuple):
    """From `start_ns` up to, not including, `end_ns`; nanoseconds since 1970-01-01 UTC."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Nanoseconds from start to end; zero when they cross."""
        return max(0, self.end_ns - self.start_ns)

    def holds(self, at_ns: int) -> bool:
        """Return True if the moment `at_ns` is inside."""
        return self.start_ns <= at_ns < self.end_ns

    def meet(self, start_ns: int, end_ns: int) -> Span:
        """The part of this span from `start_ns` to `end_ns`; of length zero when there is none."""
        return Span(max(self.start_ns, start_ns), min(self.end_ns, end_ns))

    def hours(self) -> list[Span]:
        """The clock hours (UTC) that meet this span, cut to it, in order."""
        first_ns = self.start_ns - self.start_ns % NS_PER_HOUR
        starts_ns = range(first_ns, self.end_ns, NS_PER_HOUR)
        return [self.meet(start_ns, start_ns + NS_PER_HOUR) for start_ns in starts_ns]

    def part_of(self, quantity: int, start_ns: int, end_ns: int) -> int:
        """Return the part of `quantity` inside, if it is spread evenly from `start_ns` to `end_ns`.

        A quantity without length falls where it starts. Adjoining spans sum to `quantity` exactly.
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


def utc_day(at_ns: int) -> str:
    """The UTC date of the moment `at_ns`, e.g. `2026-11-21`."""
    return dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC).date().isoformat()


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
