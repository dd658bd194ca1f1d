"""Late records: the closed period that each is for, and the open one that it corrects."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.book_settings import a_folder, record
from tests.support.closed_books import FIRST_PERIOD, SECOND, Recorded, closed

from inferworks.books.closing.ledger import Ledger
from inferworks.books.deliveries.landing import NOTHING_CLOSED, Closed
from inferworks.books.period import Period, Periods
from inferworks.books.workspace.late_lines import (
    calendar_of,
    closed_time,
    late_lines,
    late_reports,
)
from inferworks.folder import DataFolder
from inferworks.meter.events import reported_call_id
from inferworks.testing.books import a_charge, a_usage, an_activity


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> DataFolder:
    """A folder whose first two periods, of 100 ns each, are closed."""
    folder = a_folder(tmp_path)
    source = Recorded()
    source.charges.append(a_charge("more", "1", (100, 200)))
    with Ledger(folder.ledger) as ledger:
        for period in (FIRST_PERIOD, SECOND):
            closed(ledger, source, period)
    return folder


def test_a_folder_without_a_ledger_has_nothing_closed(tmp_path: Path) -> None:
    """And nothing late."""
    folder = a_folder(tmp_path)
    assert calendar_of(folder) == Periods()
    assert late_lines([a_charge("a", "1", (0, 10))], folder) == []
    assert late_reports([an_activity("run", "node-1", (0, 10), 10)], folder) == []
    assert not folder.ledger.exists()


def test_closed_time_is_from_the_first_period_to_the_last() -> None:
    """Closed periods adjoin; without any of them nothing is closed."""
    assert closed_time(Periods()) == NOTHING_CLOSED
    assert closed_time(Periods(closed=(FIRST_PERIOD,))) == Closed(0, 100)
    assert closed_time(Periods(closed=(FIRST_PERIOD, SECOND))) == Closed(0, 200)
    assert closed_time(Periods(declared=(Period(5, 9, "x"),))) == NOTHING_CLOSED


def test_periods_of_a_folder_are_those_of_its_ledger(folder: DataFolder) -> None:
    """Read without a change to it."""
    assert calendar_of(folder).closed == (FIRST_PERIOD, SECOND)


OPEN = "1970-01-01T00:00:00.000000200Z..1970-02-01"


def test_late_lines_are_told_by_period(folder: DataFolder) -> None:
    """One that reaches into both corrects both; one of the open time is not late."""
    lines = [
        a_charge("a", "1", (0, 10)),
        a_charge("b", "1", (90, 110)),
        a_charge("c", "1", (200, 210)),
    ]
    assert late_lines(lines, folder) == [
        f"2 lines are for p0, which is closed: they correct {OPEN}",
        f"1 line is for p1, which is closed: it corrects {OPEN}",
    ]
    assert late_lines(lines[2:], folder) == late_lines([], folder) == []


def test_late_reports_are_those_that_are_new(folder: DataFolder) -> None:
    """A report on record already is not late; the same one twice is one."""
    known, run = (an_activity(name, "node-1", (0, 10), 10) for name in ("known", "run"))
    call = a_usage(reported_call_id("partner", "one"), opened_ns=150)
    seen = a_usage(reported_call_id("partner", "two"), opened_ns=150)
    assert len(late_reports([known, call], folder)) == 2
    record(folder, known, seen)
    assert late_reports([known, run, run, call, seen], folder) == [
        f"1 line is for p0, which is closed: it corrects {OPEN}",
        f"1 line is for p1, which is closed: it corrects {OPEN}",
    ]
    assert late_reports([known, seen], folder) == []
