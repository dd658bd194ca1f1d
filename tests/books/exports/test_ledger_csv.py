"""Journals for QuickBooks, Xero and NetSuite: what each program takes."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from tests.support.journals import CENT, CHART, _row, rows_of, with_entries

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.exports.base import Books
from inferworks.books.exports.chart_of_accounts import (
    read_chart,
    shipped_chart,
)
from inferworks.books.exports.journal import JournalForm, exact_journal, rounded_journal
from inferworks.books.exports.ledger_csv import NETSUITE, PROGRAMS, XERO, Program
from inferworks.books.statement.statement import Statement
from inferworks.errors import UserError
from inferworks.spreadsheet import restored

from .conftest import MONTH, many_terms, some_books
from .test_checkers import HOSTILE


def amount_of(row: dict[str, str]) -> Decimal:
    """Amount that a row debits, whatever program it is for."""
    if "*Amount" in row:
        return Decimal(row["*Amount"])
    debit, credit = (
        (row["Debits"], row["Credits"]) if "Debits" in row else (row["Debit"], row["Credit"])
    )
    assert bool(debit) != bool(credit), "a line has one of the two"
    assert Decimal(debit or credit) > 0
    return Decimal(debit or 0) - Decimal(credit or 0)


def entry_of(row: dict[str, str]) -> str:
    """Name of the entry of a row."""
    return row.get("JournalNo") or row.get("External ID") or row["*Narration"]


def day_of(row: dict[str, str]) -> dt.date:
    """The day of a row, as its program writes it."""
    text, form = row.get("*Date"), "%d/%m/%Y"
    if text is None:
        text, form = row.get("JournalDate") or row["Date"], "%m/%d/%Y"
    return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC).date()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_gets_balanced_entries_within_the_period(program: Program) -> None:
    """Two decimals, each entry to zero, on days of the month, whatever customers are called."""
    statement = some_books(HOSTILE, [many_terms("fees")]).statement
    (rows,) = rows_of(program, [statement])
    assert list(rows[0]) == list(program.cells)
    sums: dict[str, list[Decimal]] = defaultdict(list)
    for row in rows:
        amount = amount_of(row)
        assert amount == round(amount, 2)
        sums[entry_of(row)].append(amount)
        assert day_of(row) == dt.date(2026, 11, 30)
        assert all(not re.match(r"'*[=+\-@\t\r\n]", cell) or re.fullmatch(r"-?\d+\.\d\d", cell)
                   or cell.startswith("'") for cell in row.values())  # fmt: skip
        assert all(cell.isprintable() for cell in row.values())
    assert all(len(of) >= 2 and sum(of) == 0 for of in sums.values())
    assert len(sums) == 2
    assert program is XERO or all(len(number) <= 21 for number in sums)
    exact = sum(row.amount_pico for row in statement.revenue_rows)
    revenue = -sum(amount_of(row) for row in rows if _is_revenue(row))
    assert abs(int(revenue * 10**12) - exact) * 2 <= CENT * 5


def _is_revenue(row: dict[str, str]) -> bool:
    named = row.get("AccountName") or row.get("*AccountCode") or row["Account"]
    return named in {
        text for a in CHART.account for text in (a.number, a.name) if a.number[0] == "4"
    }


def test_receivables_and_payables_name_who_it_is(books: Books) -> None:
    """QuickBooks and NetSuite want the customer and the supplier; Xero has no place for them."""
    for name in ("quickbooks", "netsuite"):
        (rows,) = rows_of(PROGRAMS[name], [books.statement])
        named = {restored(row["Name"]) for row in rows} - {""}
        assert {"acme", "Zed-9", "a-cloud"} <= named
    (rows,) = rows_of(XERO, [books.statement])
    assert {row["*TaxRate"] for row in rows} == {"Tax Exempt (0%)"}
    assert sum(row["*AccountCode"] == "1200" for row in rows) == 1


def test_what_is_longer_than_a_program_takes_is_divided(books: Books) -> None:
    """NetSuite: 200 lines an entry; Xero: 300 rows a file. Every part balances, nothing is lost."""
    sales = [
        (MONTH[1], f"usage c{n}", {f"Assets:Receivable:c{n}": n * CENT, f"Income:Usage:c{n}": -n * CENT})
        for n in range(1, 701)
    ]  # fmt: skip
    statement = with_entries(books, *sales)
    (rows,) = rows_of(NETSUITE, [statement])
    lines: dict[str, list[Decimal]] = defaultdict(list)
    for row in rows:
        lines[row["External ID"]].append(amount_of(row))
    assert len(lines) == 4
    assert all(len(of) <= 200 and sum(of) == 0 for of in lines.values())
    owed = {row["Name"]: amount_of(row) for row in rows if row["Account"] == "1200"}
    assert owed == {f"c{n}": Decimal(n) / 100 for n in range(1, 701)}
    each = "".join(_row(f"9{n}", f"C{n}", f"Income:Usage:c{n}") for n in range(1, 701))
    files = rows_of(
        XERO, [statement], read_chart(shipped_chart().replace("# --- Assets", each), "own")
    )
    assert len(files) == 3
    assert all(len(rows) <= 300 for rows in files)
    assert sum(amount_of(row) for rows in files for row in rows) == 0
    assert sum(len(rows) for rows in files) == 700 + 3


def test_an_amount_that_netsuite_cannot_hold_is_refused(books: Books) -> None:
    """Ten digits before the point."""
    large = 10**10 * 10**12
    sides = {"Assets:Receivable:a": large, "Income:Usage:a": -large}
    statement = with_entries(books, (MONTH[1], "usage a", sides))
    with pytest.raises(UserError, match="more than the 10 digits that netsuite takes"):
        rows_of(NETSUITE, [statement])


def in_zone(books: Books, first: str, after: str) -> Statement:
    """A statement from `first` until `after`, which sold something at its end."""
    span = (parse_moment_ns(first), parse_moment_ns(after))
    sides = {"Assets:Receivable:a": CENT, "Income:Usage:a": -CENT}
    statement = with_entries(books, (span[1], "usage a", sides))
    return msgspec.structs.replace(statement, start_ns=span[0], end_ns=span[1])


@pytest.mark.parametrize(
    ("zone", "first", "after", "last", "name"),
    [
        ("UTC", "2028-02-01", "2028-03-01", "2028-02-29", "2028-02"),
        ("UTC", "2026-12-28", "2027-01-25", "2027-01-24", "2026-12-28 to 2027-01-24"),
        (
            "America/New_York",
            "2026-11-01T00:00-04:00",
            "2026-12-01T00:00-05:00",
            "2026-11-30",
            "2026-11",
        ),
        (
            "Pacific/Auckland",
            "2026-12-01T00:00+13:00",
            "2027-01-01T00:00+13:00",
            "2026-12-31",
            "2026-12",
        ),
        (
            "Asia/Kolkata",
            "2026-11-01T00:00+05:30",
            "2026-12-01T00:00+05:30",
            "2026-11-30",
            "2026-11",
        ),
    ],
)
def test_days_are_those_of_the_zone_that_the_period_begins_in(
    books: Books, zone: str, first: str, after: str, last: str, name: str
) -> None:
    """Over leap days, year ends, 4-4-5 periods and a change of clocks."""
    statement = in_zone(books, first, after)
    (entry,) = rounded_journal([statement], 2, JournalForm(zone=ZoneInfo(zone))).entries
    assert (entry.date.isoformat(), entry.text) == (last, f"Sales of {name}")
    (exact,) = exact_journal([statement], JournalForm(zone=ZoneInfo(zone))).entries
    assert exact.date == entry.date


def test_a_period_without_days_of_its_own_is_refused(books: Books) -> None:
    """New York's November ends on the first of December in UTC: its last entries would stand there."""
    statement = in_zone(books, "2026-11-01T00:00-04:00", "2026-12-01T00:00-05:00")
    with pytest.raises(UserError, match=r"not midnight in UTC.*--zone"):
        exact_journal([statement])
