"""Periods: names, the calendar, and where what comes late is posted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.period import (
    Period,
    Periods,
    Status,
    corrects,
    declared,
    month_of,
    posting_period,
)
from inferworks.errors import UserError
from inferworks.testing.books import a_charge, a_usage, an_activity


def at(text: str) -> int:
    """The moment `text` in nanoseconds."""
    return parse_moment_ns(text)


NOVEMBER = Period(at("2026-11-01"), at("2026-12-01"), "2026-11")
DECEMBER = Period(at("2026-12-01"), at("2027-01-01"), "2026-12")
CLOSED = Periods(closed=(NOVEMBER,))


def test_a_month_by_its_name() -> None:
    """From its first moment up to the first of the next, across the turn of the year too."""
    assert Periods().named("2026-11") == NOVEMBER
    assert Periods().named("2026-12") == DECEMBER
    assert month_of(at("2026-11-30T23:59:59.999999999Z")) == NOVEMBER


def test_a_span_written_out() -> None:
    """Any two dates or moments make a period."""
    half = Periods().named("2026-11-01..2026-11-16")
    assert half.span == (at("2026-11-01"), at("2026-11-16"))


def test_a_declared_period_is_known_by_its_name() -> None:
    """A month that it shares time with cannot be named beside it."""
    own = declared("fy27-p02", at("2026-10-26"), at("2026-11-23"), Periods())
    periods = Periods(declared=(own,))
    assert periods.named("fy27-p02") == own
    assert periods.holding(at("2026-11-01")) == own
    with pytest.raises(UserError, match="overlaps period fy27-p02"):
        periods.named("2026-11")
    rest = periods.holding(at("2026-11-25"))
    assert (rest.name, rest.end_ns) == ("2026-11-23..2026-12-01", NOVEMBER.end_ns)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("2026-13", "no month 2026-13"),
        ("november", "no period of this name"),
        ("2026-11-16..2026-11-01", "must end after it starts"),
        ("2026-11-01..then", "not a moment"),
    ],
)
def test_what_names_no_period_is_refused(name: str, reason: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(UserError, match=reason):
        Periods().named(name)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("2026-11", "2026-10-26", "2026-11-23"),
        ("a b", "2026-10-26", "2026-11-23"),
        ("fine", "2026-11-23", "2026-10-26"),
        ("fine", "2026-11-30", "2026-12-02"),
    ],
)
def test_what_cannot_be_declared(name: str, start: str, end: str) -> None:
    """A month's name, a name with a blank, an empty span, time that is taken."""
    with pytest.raises(UserError):
        declared(name, at(start), at(end), CLOSED)


def test_late_things_are_posted_in_the_first_open_period() -> None:
    """Late things name the closed period that they correct; things in time are posted where they belong."""
    in_november = (at("2026-11-05"), at("2026-11-06"))
    late = [
        a_charge("late", "1", in_november),
        an_activity("late", "node-1", in_november, 5),
        a_usage("late", opened_ns=in_november[0]),
    ]
    for recorded in late:
        assert posting_period(recorded, CLOSED) == DECEMBER
        assert corrects(recorded, CLOSED) == (NOVEMBER,)
        assert posting_period(recorded, Periods()) == NOVEMBER
        assert corrects(recorded, Periods()) == ()


def test_a_charge_that_straddles_a_close_corrects_only_its_closed_part() -> None:
    """A bill for November and December that comes in December belongs to both."""
    charge = a_charge("both", "1", (at("2026-11-15"), at("2026-12-15")))
    assert posting_period(charge, CLOSED) == DECEMBER
    assert corrects(charge, CLOSED) == (NOVEMBER,)


@pytest.mark.slow
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 300))
def test_the_posting_period_is_open_and_never_earlier(lengths: list[int], day: int) -> None:
    """Theorem 12: whatever is closed, nothing is ever posted into it, nor before its own time."""
    start_ns, closed = at("2026-01-01"), []
    for number, days in enumerate(lengths):
        end_ns = start_ns + days * 86_400 * 10**9
        closed.append(Period(start_ns, end_ns, f"p{number}"))
        start_ns = end_ns
    periods = Periods(closed=tuple(closed))
    opened_ns = at("2026-01-01") + day * 86_400 * 10**9
    posted = posting_period(a_usage("call", opened_ns=opened_ns), periods)
    assert periods.status(posted) is Status.OPEN
    assert posted.start_ns >= closed[-1].end_ns or posted.span.holds(opened_ns)
    assert not any(posted.span.meet(*period.span).length_ns for period in closed)
