"""Things that last, in order of their start, so that those meeting a span are found quickly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Generic, TypeVar

from inferworks.books.calendar.span import Span

Thing = TypeVar("Thing")


class Timeline(Generic[Thing]):
    """Things with a start and an end in nanoseconds; `order` settles which of two comes first."""

    def __init__(
        self,
        things: Iterable[Thing],
        interval: Callable[[Thing], tuple[int, int]],
        order: Callable[[Thing], tuple[str, ...]],
    ) -> None:
        """Sort `things` by start, end and `order`, so that their order on arrival leaves no trace."""
        self.things = sorted(things, key=lambda thing: (interval(thing), order(thing)))
        intervals = [interval(thing) for thing in self.things]
        self._starts_ns = [start_ns for start_ns, _ in intervals]
        self._latest_ends_ns = list(accumulate((end_ns for _, end_ns in intervals), max))

    def meeting(self, span: Span) -> list[Thing]:
        """Return candidates that may overlap `span`, in order: none that does is missing, few do not."""
        first = bisect_left(self._latest_ends_ns, span.start_ns)
        last = bisect_right(self._starts_ns, span.end_ns)
        return self.things[first:last]
