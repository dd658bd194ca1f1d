"""Slots of time between edges: every moment in one, every span a run of them, parts exact."""

from __future__ import annotations

import random

import ibis
import pyarrow as pa
import pytest

from inferworks.books.calendar.span import Span
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.time_buckets import NO_SLOT, Slots, part_of

pytestmark = pytest.mark.slow


def evaluated(duck: DuckEngine, slots: Slots, moments: list[int]) -> list[tuple[int, int]]:
    """The slot and the number of passed edges of each moment."""
    rows = duck.table(pa.table({"at_ns": pa.array(moments, pa.int64())}))
    rows = rows.mutate(slot=slots.number(rows.at_ns), passed=slots.passed(rows.at_ns))
    return [(row["slot"], row["passed"]) for row in duck.fetch(rows.order_by("at_ns")).to_pylist()]


def test_without_spans_there_are_no_slots(duck: DuckEngine) -> None:
    """No moment is in one; a slot that is none has no end."""
    slots = Slots([])
    assert slots.edges_ns == []
    assert evaluated(duck, slots, [-5, 0, 5]) == [(NO_SLOT, 0)] * 3
    rows = duck.table(pa.table({"slot": pa.array([NO_SLOT], pa.int64())}))
    assert duck.fetch(rows.mutate(end=slots.end_ns(rows.slot)))["end"].to_pylist() == [0]


def test_one_span_is_one_slot(duck: DuckEngine) -> None:
    """From its first moment up to, not including, its last; before 1970 too."""
    slots = Slots([Span(-10, 10)])
    assert evaluated(duck, slots, [-11, -10, 9, 10]) == [(NO_SLOT, 0), (0, 1), (0, 1), (NO_SLOT, 2)]
    assert slots.within(Span(-10, 10)) == range(1)


def test_edges_are_numbered_once_in_order_of_time() -> None:
    """Edges that spans share count once, in any order of the spans."""
    spans = [Span(20, 30), Span(0, 20), Span(0, 30), Span(0, 20)]
    for some in (spans, spans[::-1]):
        slots = Slots(some)
        assert slots.edges_ns == [0, 20, 30]
        assert [slots.within(span) for span in spans] == [
            range(1, 2), range(1), range(2), range(1),
        ]  # fmt: skip
    assert slots.within(Span(20, 20)) == range(1, 1)


def test_slots_of_a_span_hold_the_moments_of_it(duck: DuckEngine) -> None:
    """Random spans, asked at every edge and a nanosecond before."""
    dice = random.Random(1)
    spans = [Span(start, start + dice.randrange(1, 60)) for start in dice.choices(range(100), k=9)]
    slots = Slots(spans)
    moments = sorted({at + off for span in spans for at in span for off in (-1, 0)})
    for at_ns, (slot, _) in zip(moments, evaluated(duck, slots, moments), strict=True):
        for span in spans:
            assert (slot in slots.within(span)) == span.holds(at_ns)


def test_a_moment_falls_into_the_slot_that_holds_it(duck: DuckEngine) -> None:
    """Edges belong to the slot they open; before the first and from the last on there is none."""
    slots = Slots([Span(10, 20), Span(15, 40), Span(10, 40)])
    moments = list(range(5, 45))
    rows = duck.table(pa.table({"at_ns": pa.array(moments, pa.int64())}))
    rows = rows.mutate(slot=slots.number(rows.at_ns)).mutate(end=lambda t: slots.end_ns(t.slot))
    found = duck.fetch(rows.order_by("at_ns")).to_pylist()
    edges = [10, 15, 20, 40]
    for row in found:
        held = [n for n in range(3) if edges[n] <= row["at_ns"] < edges[n + 1]]
        assert row["slot"] == (held[0] if held else NO_SLOT)
        assert row["end"] == (edges[held[0] + 1] if held else 0)
    assert slots.within(Span(15, 40)) == range(1, 3)


def test_a_part_of_an_interval_is_that_of_a_span(duck: DuckEngine) -> None:
    """`part_of` as a relation gives what `Span.part_of` gives, halves and all."""
    dice = random.Random(3)
    rows = [
        (
            dice.randrange(1_000),
            start,
            start + dice.randrange(1, 50),
            at,
            at + dice.randrange(1, 60),
        )
        for start, at in ((dice.randrange(100), dice.randrange(100)) for _ in range(2_000))
    ]
    names = ("quantity", "start_ns", "end_ns", "from_ns", "until_ns")
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    table = duck.table(pa.table({"n": range(len(rows)), **columns}))
    part = part_of(table.quantity, table.start_ns, table.end_ns, (table.from_ns, table.until_ns))
    found = duck.fetch(table.mutate(part=part).order_by(ibis.asc("n")))["part"].to_pylist()
    expected = [Span(at, until).part_of(q, start, end) for q, start, end, at, until in rows]
    assert [int(value) for value in found] == expected
