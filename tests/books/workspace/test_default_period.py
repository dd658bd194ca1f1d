"""Default period of the books' commands, and the mark of provisional statements."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command_line import document, run

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.repository.store import BookStore
from inferworks.folder import DataFolder
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.books import a_usage

BILLS = """\
BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,ResourceId
31.00,USD,2025-10-01,2025-11-01,A Cloud,Compute,node-1
30.00,USD,2025-11-01,2025-12-01,A Cloud,Compute,node-1
"""


def told(*arguments: str) -> tuple[str, bool]:
    """Amount that a statement bills, and whether the statement is provisional."""
    drawn = document("books", "statement", *arguments)
    return drawn["billed"], drawn["provisional"]


@pytest.fixture(autouse=True)
def _billed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of our own, with the bills of two months, on the sixteenth of the second."""
    monkeypatch.chdir(tmp_path)
    at(monkeypatch, "2025-11-16")
    Path("bills.csv").write_text(BILLS)
    run("books", "import", "bills.csv")


def at(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Let it be `moment`."""

    class Stopped:
        def now_ns(self) -> int:
            return parse_moment_ns(moment)

    monkeypatch.setattr("inferworks.wiring.books.SystemClock", Stopped)


def call(moment: str) -> None:
    """A call at `moment`, and nothing in a second or more."""
    with closing(SqliteStore(DataFolder(Path("inferworks-data")).journal)) as store:
        store.open()
        store.write([a_usage(f"call-{moment}", opened_ns=parse_moment_ns(moment))])


def test_bills_alone_are_told_by_the_month_that_began_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, provisional until it is over; never two months in one figure."""
    assert told() == ("30.00", True)
    assert told("--period", "2025-10") == ("31.00", False)
    assert told("--from", "2025-10-01", "--to", "2025-12-01") == ("61.00", True)
    at(monkeypatch, "2025-12-01")
    assert told() == ("30.00", False)
    at(monkeypatch, "2025-10-20")
    assert told() == ("31.00", True)


def test_a_running_month_is_told_so_far() -> None:
    """Up to the last call: half of November's bill by the sixteenth; whole when it is named."""
    call("2025-11-15T23:59:59.999999999Z")
    assert told() == ("15.00", True)
    assert told("--period", "2025-11") == ("30.00", True)
    said = run("books", "statement")
    assert said.stderr == "Note: no period was named; this is 2025-11 so far.\n"
    assert "Note: Provisional: it is not over until 2025-12-01 00:00:00.\n" in said.stdout


def test_the_month_of_the_last_call_while_no_newer_bill_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old calls and a newer month that is billed in advance: the month of the calls, which is over."""
    call("2025-10-15T00:00:00Z")
    assert told() == ("31.00", False)
    assert run("books", "statement").stderr == "Note: no period was named; this is 2025-10.\n"
    at(monkeypatch, "2026-01-05")  # by then November's bill is over, too
    assert told() == ("30.00", False)


def test_dates_without_an_end_are_provisional_while_their_last_period_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The period of what happened last; the statement begins at the date that was given."""
    assert told("--from", "2025-09-15") == ("61.00", True)
    said = run("books", "statement", "--from", "2025-09-15").stdout
    assert "2025-09-15 00:00:00 to 2025-12-01 00:00:00" in said
    assert "Note: Provisional: it is not over until 2025-12-01 00:00:00.\n" in said
    call("2025-11-15T23:59:59.999999999Z")
    assert told("--from", "2025-11-01") == ("15.00", True)
    at(monkeypatch, "2025-12-02")
    assert told("--from", "2025-11-01") == ("30.00", False)
    assert told("--from", "2025-12-01") == ("0.00", True)  # nothing of December, which runs


def test_dates_that_meet_closed_periods_are_told_apart_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A statement between dates is of what is recorded now; a journal has the periods as sealed."""
    at(monkeypatch, "2025-12-02")
    run("books", "close", "2025-10", "--begin")
    october = ("--from", "2025-10-01", "--to", "2025-11-01")
    assert "Note: 2025-10 is closed; between dates" in run("books", "statement", *october).stderr
    assert run("books", "statement", "--from", "2025-11-01").stderr == ""
    assert "is closed" not in run("books", "export", "hledger", *october).stderr
    run("books", "close", "2025-11")
    assert (
        "2025-10 to 2025-11 are closed" in run("books", "statement", "--from", "2025-09-01").stderr
    )


def test_what_is_recorded_for_a_time_to_come_moves_no_default() -> None:
    """A call of 2031 is told of, and stands in its own month; alone it is all there is to tell."""
    call("2031-01-15T04:00:00Z")
    assert told() == ("30.00", True)  # no use so far: the month of the last bill
    call("2025-11-15T23:59:59.999999999Z")
    assert told() == ("15.00", True)
    stray, about = run("books", "statement").stderr.splitlines()
    assert "records reach until 2031-01-15 04:00:0" in stray
    assert about == "Note: no period was named; this is 2025-11 so far."


def test_a_closed_period_is_never_provisional(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed period is read from its seal, whenever the seal was made."""
    at(monkeypatch, "2025-10-20")
    run("books", "close", "2025-10")
    assert "Provisional" not in run("books", "statement").output


def test_a_running_month_has_the_same_days_of_the_month_before_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fifteen days of each, also when the month before is closed; nothing of that is provisional."""
    run("books", "close", "2025-10")
    call("2025-11-15T23:59:59.999999999Z")
    said = run("books", "statement", "--compare", "previous")
    assert (
        "Beside it 2025-10-01..2025-10-16: 2025-10-01 00:00:00 to 2025-10-16 00:00:00"
        in said.stdout
    )
    assert said.stdout.count("Provisional") == 1
    found = document("books", "statement", "--compare", "previous")
    cost = found["compared"]["figures"]["cost_of_revenue"]
    assert (cost["now"], cost["then"], found["provisional"]) == ("15.00", "15.00", True)
    run("books", "statement", "--period", "2025-11", "--compare", "year-to-date")


def test_a_declared_period_is_told_so_far_too() -> None:
    """From its first day to the last call."""
    run("books", "periods", "fy26-p02", "--from", "2025-10-27", "--to", "2025-11-24")
    call("2025-11-15T23:59:59.999999999Z")
    assert told() == ("20.00", True)  # five days of October, fifteen of November
    assert "this is fy26-p02 so far" in run("books", "economics").stderr


@pytest.mark.parametrize("verb", ["bridge", "economics", "compare gaap full", "methods",
                                  "explain pool:other"])  # fmt: skip
def test_every_command_says_what_it_is_about(verb: str) -> None:
    """On the standard error, and in its JSON that it is provisional."""
    said = run("books", *verb.split(), "--json")
    assert "this is 2025-11 so far" in said.stderr
    assert json.loads(said.stdout)["provisional"] is True


def test_reports_and_exports_say_so_too(tmp_path: Path) -> None:
    """A page has the note, a journal has the whole month's entries alone."""
    call("2025-11-15T10:30:00Z")
    run("books", "report", "--out", str(tmp_path / "page.html"))
    assert "Provisional: it is not over until" in (tmp_path / "page.html").read_text()
    journal = run("books", "export", "hledger")
    about, provisional = journal.stderr.splitlines()
    assert about == "Note: no period was named; this is 2025-11, which is not over."
    assert provisional.startswith("Provisional: what is from 2025-11-01 on")
    assert "2025-11-30" in journal.stdout
    assert "2025-10" not in journal.stdout


def test_nothing_recorded_is_no_period() -> None:
    """A folder without bills and calls says so, and names no month."""
    books = Path("inferworks-data/books.db")
    books.unlink()
    BookStore(books).close()
    said = run("books", "statement")
    assert "nothing recorded yet" in said.stdout
    assert said.stderr == ""
