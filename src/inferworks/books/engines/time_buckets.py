"""Slots of time between the edges of spans, so that many spans share one pass over the calls.

Charges cover spans: an hour, a day, a month. Their edges, taken together, cut time into *slots*, and
every span is a run of whole slots. The calls are summed once by slot; a span's sum is the sum of its
slots. A call that reaches over an edge is *cut*: it is kept as it is, and each span takes its part
(`part_of`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import ibis
import ibis.expr.types as ir

from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import floor_divide, whole

NO_SLOT = -1
"""Slot of a moment before the first edge, or from the last on."""


class Slots:
    """The slots between the edges of `spans`, numbered from 0 in order of time."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.edges_ns = sorted({edge for span in spans for edge in span})

    def within(self, span: Span) -> range:
        """The slots that `span`, whose ends are edges, consists of."""
        first, last = (bisect_left(self.edges_ns, edge) for edge in span)
        return range(first, last)

    def passed(self, at_ns: ir.IntegerValue) -> ir.IntegerValue:
        """Return the number of edges at or before `at_ns`: comparisons in the shape of a balanced tree."""
        return self._search(at_ns, range(len(self.edges_ns) + 1))

    def number(self, at_ns: ir.IntegerValue) -> ir.IntegerValue:
        """The slot that holds the moment `at_ns`."""
        slots = (NO_SLOT, *range(len(self.edges_ns) - 1), NO_SLOT)
        return self._search(at_ns, range(len(self.edges_ns) + 1), slots)

    def end_ns(self, slot: ir.IntegerValue) -> ir.IntegerValue:
        """Return the end of `slot`; 0 for none."""
        return _chosen(slot, [(n, end) for n, end in enumerate(self.edges_ns[1:])])

    def _search(
        self, at_ns: ir.IntegerValue, reached: range, named: Sequence[int] | None = None
    ) -> ir.IntegerValue:
        """Return the number in `reached` of edges at or before `at_ns`, or its value in `named`."""
        if len(reached) == 1:
            return ibis.literal(named[reached[0]] if named else reached[0], "int64")
        middle = len(reached) // 2
        return ibis.ifelse(
            at_ns < ibis.literal(self.edges_ns[reached[middle] - 1], "int64"),
            self._search(at_ns, reached[:middle], named),
            self._search(at_ns, reached[middle:], named),
        )


def _chosen(slot: ir.IntegerValue, ends: Sequence[tuple[int, int]]) -> ir.IntegerValue:
    if not ends:
        return ibis.literal(0, "int64")
    if len(ends) == 1:
        number, end_ns = ends[0]
        return ibis.ifelse(slot == number, ibis.literal(end_ns, "int64"), ibis.literal(0, "int64"))
    middle = len(ends) // 2
    return ibis.ifelse(
        slot < ends[middle][0], _chosen(slot, ends[:middle]), _chosen(slot, ends[middle:])
    )


def part_of(
    quantity: ir.Value, start_ns: ir.Value, end_ns: ir.Value, span: tuple[ir.Value, ir.Value]
) -> ir.Value:
    """`Span.part_of` for a quantity from zero up whose interval has a length: a WHOLE."""
    until = ibis.greatest(start_ns, ibis.least(end_ns, span[1])) - start_ns
    since = ibis.least(end_ns, ibis.greatest(start_ns, span[0])) - start_ns
    length = whole(end_ns - start_ns)
    before_end = _cumulative(quantity, until, length)
    return whole(before_end - _cumulative(quantity, since, length))


def _cumulative(quantity: ir.Value, elapsed: ir.Value, length: ir.Value) -> ir.Value:
    """Return the share of `quantity` after `elapsed` of `length`: exact, a half rounded up."""
    twice = whole(whole(whole(quantity) * whole(elapsed)) * 2)
    return floor_divide(whole(twice + length), whole(length * 2))
