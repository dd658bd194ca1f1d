"""Journals for general ledgers: the periods of a span, and the files of their statements."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.support.small_company import RULES

from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.exports.base import content
from inferworks.books.exports.chart_of_accounts import load_chart
from inferworks.books.exports.formats import IMPORTED_LEDGERS
from inferworks.books.exports.journal import EXACT
from inferworks.books.period import Period, Periods
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import close_span
from inferworks.books.workspace.journals import journal_files, periods_in
from inferworks.meter.facts import NO_FACTS
from inferworks.testing.books import a_charge


def at(day: str) -> int:
    """The first nanosecond of a day."""
    return parse_moment_ns(day)


def periods(
    start: str,
    end: str,
    calendar: Periods | None = None,
    *,
    first: str | None = "",
    last: str | None = "",
) -> list[tuple[str, str, str, bool]]:
    """Name, first and last day of each period, and whether it is whole.

    All from `start` to `end` is recorded; those are the dates, unless `first` and `last` are others.
    """
    dates = (
        None if text is None else at(text or day) for text, day in ((first, start), (last, end))
    )
    found = periods_in(calendar or Periods(), Span(at(start), at(end)), *dates)
    return [
        (period.name, day(period.start_ns), day(period.end_ns), whole) for period, whole in found
    ]


def day(at_ns: int) -> str:
    """A moment as its day."""
    return dt.datetime.fromtimestamp(at_ns // 10**9, dt.UTC).date().isoformat()


def test_a_span_without_time_has_no_periods() -> None:
    """Also where no date was given."""
    assert periods("2026-11-01", "2026-11-01") == []
    assert periods("2026-11-01", "2026-11-01", first=None, last=None) == []


def test_whole_months_are_whole() -> None:
    """In order, one after the other."""
    assert periods("2026-11-01", "2027-01-01") == [
        ("2026-11", "2026-11-01", "2026-12-01", True),
        ("2026-12", "2026-12-01", "2027-01-01", True),
    ]


def test_months_are_cut_where_dates_ask_for_a_part() -> None:
    """At both ends, and in one month at both."""
    assert periods("2026-11-16", "2027-01-02") == [
        ("2026-11", "2026-11-16", "2026-12-01", False),
        ("2026-12", "2026-12-01", "2027-01-01", True),
        ("2027-01", "2027-01-01", "2027-01-02", False),
    ]
    assert periods("2026-11-05", "2026-11-09") == [("2026-11", "2026-11-05", "2026-11-09", False)]


def test_the_period_at_an_end_without_a_date_is_whole() -> None:
    """On that side alone."""
    span = "2026-11-16", "2026-12-09"
    assert periods(*span, first=None) == [
        ("2026-11", "2026-11-01", "2026-12-01", True),
        ("2026-12", "2026-12-01", "2026-12-09", False),
    ]
    assert periods(*span, last=None)[-1] == ("2026-12", "2026-12-01", "2027-01-01", True)
    assert periods("2026-11-05", "2026-11-09", first=None, last=None) == [
        ("2026-11", "2026-11-01", "2026-12-01", True)
    ]


def test_the_first_period_begins_at_its_date_and_not_with_the_first_record() -> None:
    """From the date where it lies in the period, else whole; a month without records before it has none."""
    recorded = "2026-11-16", "2026-11-20"
    for asked in ("2020-01-01", "2026-10-03", "2026-11-01"):
        assert periods(*recorded, first=asked, last=None) == [
            ("2026-11", "2026-11-01", "2026-12-01", True)
        ]
    assert periods(*recorded, first="2026-11-04", last=None) == [
        ("2026-11", "2026-11-04", "2026-12-01", False)
    ]


def test_closed_and_declared_periods_are_taken_as_they_are() -> None:
    """And what is left of a month beside them."""
    sprint = Period(at("2026-11-10"), at("2026-12-05"), "sprint")
    found = periods("2026-11-01", "2027-01-01", Periods(closed=(sprint,)))
    assert found == [
        ("2026-11-01..2026-11-10", "2026-11-01", "2026-11-10", True),
        ("sprint", "2026-11-10", "2026-12-05", True),
        ("2026-12-05..2027-01-01", "2026-12-05", "2027-01-01", True),
    ]


DAY = Span(0, 86_400 * 10**9)
STATEMENT = close_span(
    Inputs([a_charge("a", "1.005", DAY)], NO_FACTS, (), load_policy("gaap"), "USD", DAY, RULES)
)


@pytest.mark.parametrize("form", sorted(IMPORTED_LEDGERS))
def test_programs_that_want_cents_get_them(form: str) -> None:
    """Two decimals unless others are asked for, under the shipped chart unless another is given."""
    journal, files = journal_files(form, [STATEMENT], None, None, dt.UTC)
    assert (journal.decimals, journal.currency) == (2, "USD")
    assert all(side.account.number for entry in journal.entries for side in entry.sides)
    assert all(content(file) for file in files)
    assert journal_files(form, [STATEMENT], load_chart(), 0, dt.UTC)[0].decimals == 0


@pytest.mark.parametrize("form", ["hledger", "beancount"])
def test_text_ledgers_are_exact_unless_decimals_are_given(form: str) -> None:
    """Without a chart accounts have their own names."""
    journal, [file] = journal_files(form, [STATEMENT], None, None, dt.UTC)
    assert journal.decimals == EXACT
    assert not any(side.account.number for entry in journal.entries for side in entry.sides)
    assert content(file).endswith(b"\n")
    assert journal_files(form, [STATEMENT], None, 2, dt.UTC)[0].decimals == 2
    charted, _ = journal_files(form, [STATEMENT], load_chart(), None, dt.UTC)
    assert all(side.account.number for entry in charted.entries for side in entry.sides)


def test_days_that_are_not_closed_are_provisional() -> None:
    """From the end of the closed time on."""
    journal, _ = journal_files("hledger", [STATEMENT], None, None, dt.UTC, closed_until_ns=0)
    assert journal.provisional_from == dt.date(1970, 1, 1)
    assert journal_files("hledger", [STATEMENT], None, None, dt.UTC)[0].provisional_from is None
