"""A statement beside that of another time: which time, and what changed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.comparatives import (
    PREVIOUS,
    WORDS,
    YEAR_BEFORE,
    YEAR_TO_DATE,
    beside,
    comparatives_json,
    compared,
    percent_of,
)
from inferworks.books.calendar.span import Span
from inferworks.books.period import Periods
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, close_span
from inferworks.errors import UserError
from inferworks.meter.facts import Facts
from inferworks.testing.books import a_charge


def span(first: str, last: str) -> Span:
    """From the midnight of one day to that of another."""
    return Span(*(int(dt.datetime.fromisoformat(f"{day}T00:00Z").timestamp()) * 10**9
                  for day in (first, last)))  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "word", "name"),
    [
        (("2026-11-01", "2026-12-01"), PREVIOUS, "2026-10"),
        (("2026-03-01", "2026-04-01"), PREVIOUS, "2026-02"),
        (("2026-01-01", "2026-02-01"), PREVIOUS, "2025-12"),
        (("2026-11-16", "2026-12-01"), PREVIOUS, "2026-11-01..2026-11-16"),
        (("2026-11-01", "2026-11-16"), PREVIOUS, "2026-10-01..2026-10-16"),
        (("2026-03-01", "2026-03-31"), PREVIOUS, "2026-02"),
        (("2026-10-26", "2026-11-23"), PREVIOUS, "2026-09-28..2026-10-26"),
        (("2026-11-01", "2026-12-01"), YEAR_BEFORE, "2025-11"),
        (("2028-02-01", "2028-03-01"), YEAR_BEFORE, "2027-02"),
        (("2028-02-29", "2028-03-01"), YEAR_BEFORE, "2027-02-28..2027-03-01"),
        (("2026-10-26", "2026-11-23"), YEAR_BEFORE, "2025-10-26..2025-11-23"),
        (("2026-11-01", "2026-12-01"), YEAR_TO_DATE, "2026-01-01..2026-12-01"),
        (("2026-01-01", "2026-02-01"), YEAR_TO_DATE, "2026-01"),
    ],
)
def test_which_time_stands_beside(asked: tuple[str, str], word: str, name: str) -> None:
    """A month has months beside it; other spans the time of equal length, or of a year before."""
    assert beside(span(*asked), word).name == name


@given(
    first=st.dates(dt.date(1999, 1, 1), dt.date(2100, 1, 1)),
    days=st.integers(1, 400),
    word=st.sampled_from([PREVIOUS, YEAR_TO_DATE]),
)
def test_its_name_is_that_of_a_period(first: dt.date, days: int, word: str) -> None:
    """A comparative can be asked for by its name, and lies before or holds the span asked about."""
    last = first + dt.timedelta(days=days)
    asked = span(first.isoformat(), last.isoformat())
    found = beside(asked, word)
    assert Periods().named(found.name) == found
    if word == PREVIOUS:
        assert found.end_ns <= asked.start_ns < found.end_ns + 31 * 86_400 * 10**9
    else:
        assert found.end_ns == asked.end_ns
    assert word in WORDS


def drawn(amount: str) -> Statement:
    """A statement of one bill."""
    charges = [a_charge("gpu", amount, (0, 10))]
    return close_span(
        Inputs(charges, Facts((), (), (), ()), (), load_policy("gaap"), "USD", Span(0, 10))
    )


def test_what_changed() -> None:
    """30.00 after 25.00 is 5.00 and 20 % more; after nothing there is no percentage."""
    rows = {row.name: row for row in compared(drawn("30.00"), drawn("25.00"))}
    cost = rows["cost_of_revenue"]
    assert (cost.change_pico, cost.percent) == (5 * 10**12, Decimal("20.0"))
    loss = rows["gross_margin"]
    assert (loss.change_pico, loss.percent) == (-5 * 10**12, Decimal("-20.0"))
    assert rows["revenue"].percent is None
    told = comparatives_json("2026-10", tuple(rows.values()))
    assert told["with"] == "2026-10"
    assert told["figures"]["cost_of_revenue"] == {
        "now": "30.00",
        "then": "25.00",
        "change": "5.00",
        "change_percent": "20.0",
    }
    with pytest.raises(UserError, match="USD, the other in EUR"):
        compared(drawn("1"), replace(drawn("1"), currency="EUR"))


def test_percentages_are_rounded_half_to_even() -> None:
    """Percentages have one decimal; nothing has no percentage."""
    assert [percent_of(part, 2000) for part in (1, 3, 5, -1)] == [
        Decimal("0.0"),
        Decimal("0.2"),
        Decimal("0.2"),
        Decimal("-0.0"),
    ]
    assert percent_of(5, 0) is None
    assert str(percent_of(-1, 10_000)) == "0.0"
