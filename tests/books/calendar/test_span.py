"""Spans and timelines: cutting without losing a nanosecond."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.calendar.span import Span, merged
from inferworks.books.calendar.timeline import Timeline
from inferworks.books.statement.statement import elapsed_span
from inferworks.testing.books import a_charge, spans


@given(st.integers(-(10**20), 10**20), spans(), st.lists(st.integers(0, 5_000), max_size=5))
def test_the_parts_of_a_quantity_in_adjoining_spans_sum_to_it(
    quantity: int, interval: tuple[int, int], cuts: list[int]
) -> None:
    """Parts of a quantity sum to it, however it is cut."""
    edges = sorted([-1, *cuts, 10_000])
    pieces = [Span(*pair) for pair in pairwise(edges)]
    assert sum(piece.part_of(quantity, *interval) for piece in pieces) == quantity


@given(st.integers(0, 50), st.integers(0, 100), st.integers(0, 100))
def test_what_has_no_length_falls_where_it_starts(at_ns: int, start_ns: int, end_ns: int) -> None:
    """Into the span that holds its moment, whole."""
    inside = start_ns <= at_ns < end_ns
    assert Span(start_ns, end_ns).part_of(7, at_ns, at_ns) == (7 if inside else 0)


@given(st.lists(spans(), max_size=8))
def test_a_union_counts_each_nanosecond_once(intervals: list[tuple[int, int]]) -> None:
    """A union counts as a set of nanoseconds would."""
    covered = {at for start, end in intervals for at in range(start, end)}
    spans = merged(intervals)
    assert sum(span.length_ns for span in spans) == len(covered)
    assert all(one.end_ns < other.start_ns for one, other in pairwise(spans))


@pytest.mark.slow
@given(st.lists(spans(), max_size=12), spans())
def test_a_timeline_finds_everything_that_meets_a_span(
    intervals: list[tuple[int, int]], wanted: tuple[int, int]
) -> None:
    """A timeline may find a little more than what meets a span, never less."""
    timeline = Timeline(intervals, lambda pair: pair, lambda _: ())
    meeting = [pair for pair in intervals if pair[0] < wanted[1] and pair[1] > wanted[0]]
    found = timeline.meeting(Span(*wanted))
    assert all(found.count(pair) == intervals.count(pair) for pair in meeting)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("lines", "used", "now_ns", "expected"),
    [
        ([(0, 10), (0, 100)], (5, 20), 50, (0, 20)),
        ([(0, 30), (0, 100)], (5, 20), 50, (0, 30)),
        ([(0, 40), (40, 60), (60, 100)], (0, 0), 50, (0, 60)),
        ([(60, 100)], (0, 0), 50, (60, 100)),
        ([], (60, 70), 50, (60, 70)),
        ([], (0, 0), 50, (0, 0)),
    ],
)
def test_without_dates_a_statement_ends_with_what_happened(
    lines: list[tuple[int, int]], used: tuple[int, int], now_ns: int, expected: tuple[int, int]
) -> None:
    """At the last use or the last bill line over; without use, lines that have begun stand whole."""
    charges = [a_charge(f"line-{place}", "1", line) for place, line in enumerate(lines)]
    assert elapsed_span(charges, Span(*used), now_ns) == Span(*expected)
