"""The calendar's months and days in UTC, as spans."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.months import DAY_NS, date_of, day_of, month_name, month_of, months
from inferworks.books.calendar.span import Span

MOMENTS = st.integers(-(10**18), 10**19 // 2)


@settings(max_examples=15)
@given(MOMENTS)
def test_a_moment_is_in_its_day_and_in_its_month(at_ns: int) -> None:
    """The month holds the day, and the day the moment; the month begins with the first."""
    day, month = day_of(at_ns), month_of(at_ns)
    assert day <= at_ns < day + DAY_NS
    assert month.start_ns <= day
    assert day + DAY_NS <= month.end_ns
    assert date_of(month.start_ns).day == date_of(month.end_ns).day == 1
    assert month_name(month) == f"{date_of(at_ns):%Y-%m}"


@settings(max_examples=15)
@given(MOMENTS, st.integers(1, 400))
def test_months_of_a_span_adjoin_and_cover_it(start_ns: int, days: int) -> None:
    """The first holds the start, the last the end, and none is left out between them."""
    span = Span(start_ns, start_ns + days * DAY_NS)
    found = list(months(span))
    assert found[0].holds(span.start_ns)
    assert found[-1].holds(span.end_ns - 1)
    assert all(one.end_ns == next_.start_ns for one, next_ in pairwise(found))


def test_months_have_the_days_of_the_calendar() -> None:
    """February has 29 days in 2024, 28 in 2025 and in 2100; December is followed by January."""
    for year, days in ((2024, 29), (2025, 28), (2100, 28)):
        february = month_of(parse_moment_ns(f"{year}-02-11"))
        assert february.length_ns == days * DAY_NS
    december = month_of(parse_moment_ns("2026-12-31T23:59:59.999999999Z"))
    assert month_name(month_of(december.end_ns)) == "2027-01"
    assert date_of(december.end_ns) == dt.date(2027, 1, 1)


def test_a_span_without_length_has_no_months() -> None:
    """Nor has one whose ends cross."""
    assert list(months(Span(5, 5))) == list(months(Span(5, 4))) == []


def test_a_span_that_ends_with_a_month_does_not_reach_into_the_next() -> None:
    """The end of a span is not part of it."""
    november = month_of(parse_moment_ns("2026-11-15"))
    assert list(months(november)) == [november]
    assert len(list(months(Span(november.start_ns, november.end_ns + 1)))) == 2
