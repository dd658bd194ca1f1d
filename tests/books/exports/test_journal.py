"""Journals for general ledgers: added up, in cents, under a chart, as each program takes them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.exports.base import Books, content
from inferworks.books.exports.chart_of_accounts import (
    ROUNDING,
    Account,
    Chart,
    accounts,
    load_chart,
    read_chart,
    shipped_chart,
)
from inferworks.books.exports.hledger import HledgerExporter
from inferworks.books.exports.journal import Journal, JournalForm, exact_journal, rounded_journal
from inferworks.books.exports.ledger_csv import NETSUITE, PROGRAMS, XERO, LedgerCsvExporter, Program
from inferworks.books.period import Period
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.statement import Statement
from inferworks.errors import ConfigError, UserError
from inferworks.spreadsheet import restored

from .conftest import MONTH, Check, many_terms, some_books
from .test_checkers import HOSTILE

CENT = 10**10
CHART = load_chart()


def journal_of(program: Program, statements: Sequence[Statement], chart: Chart = CHART) -> Journal:
    """The journal of `statements` as `program` takes it."""
    form = JournalForm(chart, parties=program.parties, most_lines=program.lines_per_entry)
    return rounded_journal(statements, 2, form)


def rows_of(
    program: Program, statements: Sequence[Statement], chart: Chart = CHART
) -> list[list[dict[str, str]]]:
    """The rows of every file for `program`."""
    files = LedgerCsvExporter(program, chart).files(journal_of(program, statements, chart))
    return [list(csv.DictReader(io.StringIO(content(file).decode(), newline=""))) for file in files]


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


def with_entries(books: Books, *entries: tuple[int, str, dict[str, int]]) -> Statement:
    """The month's statement with other entries."""
    made = tuple(
        Entry(at_ns, text, tuple(Posting(name, pico, "USD") for name, pico in sides.items()))
        for at_ns, text, sides in entries
    )
    return msgspec.structs.replace(books.statement, entries=made, corrections=())


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_every_program_gets_balanced_entries_within_the_period(program: Program) -> None:
    """Two decimals, each entry to zero, on days of the month, whatever customers are called."""
    statement = some_books(HOSTILE, [many_terms("fees")]).statement
    (rows,) = rows_of(program, [statement])
    assert list(rows[0]) == list(program.columns)
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


def test_the_bills_of_a_charge_stay_with_their_allocation(books: Books) -> None:
    """No pool is left over, however an entry is divided."""
    costs: list[tuple[int, str, dict[str, int]]] = []
    for n in range(300):
        pool, paid = "Costs:web:power", f"Liabilities:Payable:s{n}"
        costs.append((MONTH[1], f"bill chg_{n:x}", {pool: CENT, paid: -CENT}))
    for n in range(300):
        pool = "Costs:web:power"
        costs.append(
            (MONTH[1], f"allocate chg_{n:x}", {"Expenses:committed:power:web": CENT, pool: -CENT})
        )
    (rows,) = rows_of(NETSUITE, [with_entries(books, *costs)])
    assert {row["Account"] for row in rows} == {"5100", "2000"}


def test_an_amount_that_netsuite_cannot_hold_is_refused(books: Books) -> None:
    """Ten digits before the point."""
    large = 10**10 * 10**12
    sides = {"Assets:Receivable:a": large, "Income:Usage:a": -large}
    statement = with_entries(books, (MONTH[1], "usage a", sides))
    with pytest.raises(UserError, match="more than the 10 digits that netsuite takes"):
        rows_of(NETSUITE, [statement])


pico_amounts = st.integers(-(10**15), 10**15)


@given(st.lists(st.tuples(pico_amounts, pico_amounts, pico_amounts), min_size=1, max_size=8),
       st.integers(0, 4))  # fmt: skip
def test_rounding_is_bounded_and_stands_on_a_line_of_its_own(
    amounts: list[tuple[int, int, int]], decimals: int
) -> None:
    """Each line within half a unit of the exact sum; the rounding lines say the rest, in bounds."""
    names = ("Income:Usage:a", "Income:Usage:b", "Income:Usage:c")
    entries = [
        Entry(2, f"usage {n}", (
            *(Posting(name, pico, "USD") for name, pico in zip(names, row, strict=True)),
            Posting("Assets:Receivable:a", -sum(row), "USD"),
        )) for n, row in enumerate(amounts)
    ]  # fmt: skip
    day = 86_400 * 10**9
    statement = Statement("gaap", "USD", 0, day, 0, (), (), (), (), tuple(entries))
    journal = rounded_journal([statement], decimals)
    step = 10 ** (12 - decimals)
    off = 0
    for entry in journal.entries:
        assert sum(side.amount for side in entry.sides) == 0
        told = {side.account.name: side.amount for side in entry.sides}
        for account in (*names, "Assets:Receivable:a"):
            exact = sum(p.amount_pico for e in entries for p in e.postings if p.account == account)
            assert abs(told.get(account, 0) * step - exact) * 2 <= step
        off += told.get(ROUNDING, 0)
    assert journal.rounding.net == off
    assert abs(off) * 2 <= journal.rounding.lines <= 4


def test_what_rounding_came_to_is_told(books: Books) -> None:
    """In words, with its bound; an exact journal has nothing to tell."""
    told = rounded_journal([books.statement], 2).remark
    found = re.fullmatch(
        r"Amounts are rounded to 2 decimals: (\d+) lines, each by at most half a unit; (-?[\d.]+) USD "
        r"stands on rounding lines, at most ([\d.]+)\.", told)  # fmt: skip
    assert found is not None
    assert abs(Decimal(found[2])) <= Decimal(found[3]) == Decimal(found[1]) / 200
    assert exact_journal([books.statement]).remark == ""


def test_amounts_of_a_tenth_of_a_cent_do_not_vanish(books: Books) -> None:
    """Amounts are added up before they are rounded: ten thousand tenths of a cent are ten dollars."""
    sides = {"Assets:Receivable:a": CENT // 10, "Income:Usage:a": -CENT // 10}
    statement = with_entries(books, *((MONTH[1], f"usage {n}", sides) for n in range(10_000)))
    (entry,) = rounded_journal([statement], 2).entries
    assert [side.amount for side in entry.sides] == [1000, -1000]


def test_kinds_of_journals_stand_apart(books: Books) -> None:
    """Costs, sales, credit on its own day, and the corrections of each period; each with its number."""
    day = 86_400 * 10**9
    sold = {"Assets:Receivable:a": 5 * CENT, "Income:Usage:a": -5 * CENT}
    tax = {"Assets:RecoverableTax:VAT": CENT, "Liabilities:Payable:s": -CENT}
    bought = {"Assets:Receivable:a": 7 * CENT, "Liabilities:Credits:a": -7 * CENT}
    statement = with_entries(
        books,
        (MONTH[1], "tax chg_1", tax),
        (MONTH[1], "usage a", sold),
        (MONTH[0] + day, "credit c", bought),
    )
    october = Period(MONTH[0] - 31 * day, MONTH[0], "2026-10")
    late = Entry(MONTH[1], "correction of usage a (2026-10)", statement.entries[1].postings)
    corrected = msgspec.structs.replace(
        statement,
        entries=(*statement.entries, late),
        corrections=(Correction(october, ("call x",), 0, (), (), (late,)),),
    )
    told = [(e.number, e.date.isoformat(), e.text) for e in rounded_journal([corrected], 2).entries]
    assert told == [
        ("IW-20261102-CRED-1", "2026-11-02", "Credit bought and refunded on 2026-11-02"),
        ("IW-20261130-COST-1", "2026-11-30", "Costs of 2026-11"),
        ("IW-20261130-SALE-1", "2026-11-30", "Sales of 2026-11"),
        ("IW-20261130-CORR-1", "2026-11-30", "Corrections of 2026-10, booked in 2026-11"),
    ]


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


def test_a_journal_has_one_currency(books: Books) -> None:
    """Two periods in two currencies are two journals."""
    other = msgspec.structs.replace(books.statement, currency="EUR", entries=())
    with pytest.raises(UserError, match="one currency, these periods have EUR, USD"):
        exact_journal([books.statement, other])


def test_the_chart_that_ships_takes_every_account() -> None:
    """Each kind has a row, pools and rounding among them."""
    found = {name: CHART.account_of(name) for name in accounts()}
    assert all(found.values())
    assert found["Liabilities:Credits:(any)"] == Account(
        "Deferred revenue", "2400", "Liabilities", "Tax Exempt (0%)"
    )
    assert CHART.account_of("Costs:web:power") == Account(
        "Cost pools", "6990", "Expenses", "Tax Exempt (0%)"
    )


def without(pattern: str) -> str:
    """The chart that ships without a row."""
    return re.sub(
        rf'\[\[account\]\]\n[^\[]*takes = \["{re.escape(pattern)}"\]\n', "", shipped_chart()
    )


def _row(number: str, name: str, pattern: str) -> str:
    return f'[[account]]\nnumber = "{number}"\nname = "{name}"\ntakes = ["{pattern}"]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (without("Assets:Prepaid:*"), r"own\.toml has no row for Assets:Prepaid:\(any\); add rows"),
        (without("Expenses:committed:*"), r"no row for .*employee-compensation:.* and 3 more"),
        ('account = []\n', "no row for"),
        ("account = 3", "Expected `array`"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = []\n', "length >= 1"),
        ('[[account]]\nnumber = "1"\nname = "a"\n', "missing required field `takes`"),
        ('[[account]]\nnumber = "=1"\nname = "a"\ntakes = ["*"]\n', "matching regex"),
        ('[[account]]\nnumbre = "1"\nname = "a"\ntakes = ["*"]\n', "unknown field `numbre`"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = ["Asset:*", "*"]\n', "'Asset:.*' is no account"),
        ('[[account]]\nnumber = "1"\nname = "a"\ntakes = ["*", "Income:*"]\n', "'Income:.*never applies"),
        (_row("1", "a", "Income:*") + _row("1", "b", "*"), "number 1 is 'b', and 1 is 'a' already"),
        (_row("1.1", "a", "Income:*") + _row("1-1", "b", "*"), "number 1-1 is 'b', and 1.1 is 'a' already"),
        ("account = [", "own.toml: "),
        ("".join(_row(f"{n}", "a", f"Income:{n}") for n in range(2001)), "2001 patterns, more than 2000"),
    ],
)  # fmt: skip
def test_a_chart_that_cannot_be_used_is_refused_when_it_is_loaded(text: str, fault: str) -> None:
    """In one line that names the file and what is wrong."""
    with pytest.raises(ConfigError, match=fault) as refused:
        read_chart(text, "own.toml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("Income:Usage:acme", ["Income:Usage:acme"], ["Income:Usage:acme2", "Income:Usage:"]),
        (
            "Income:*:acme",
            ["Income:Usage:acme", "Income::acme"],
            ["Income:acme", "Income:Usage:acmes"],
        ),
        ("*:acme", ["Income:Usage:acme", ":acme"], ["acme"]),
        ("Costs:*a*b*", ["Costs:ab", "Costs:xaxbx"], ["Costs:ba", "Cost:ab"]),
        ("*", ["", "Income:Usage:two\nlines"], []),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, fitting: list[str], others: list[str]) -> None:
    """No other sign than the star has a meaning."""
    text = f'default = {{ number = "9", name = "rest" }}\n{_row("1", "a", pattern)}'
    chart = read_chart(text, "own.toml")
    assert {chart.account_of(name).number for name in fitting} <= {"1"}
    assert {chart.account_of(name).number for name in others} <= {"9"}


def test_many_stars_take_no_time() -> None:
    """Each of them is looked for once."""
    text = f'default = {{ number = "9", name = "rest" }}\n{_row("1", "a", "Income:" + "a*" * 40 + "b")}'
    chart = read_chart(text, "own.toml")
    assert chart.account_of("Income:" + "a" * 100_000) is not None


def test_a_default_takes_what_is_left() -> None:
    """Only where the file states one."""
    text = 'account = []\ndefault = { number = "9999", name = "Suspense" }\n'
    chart = read_chart(text, "own.toml")
    assert {chart.account_of(name) for name in accounts()} == {
        Account("Suspense", "9999", root, "Tax Exempt (0%)")
        for root in ("Assets", "Liabilities", "Income", "Expenses")
    }


def test_hledger_takes_a_chart_and_cents(books: Books, hledger: Check, tmp_path: Path) -> None:
    """Accounts of a chart keep their kind, so an income statement can be drawn."""
    journal = rounded_journal([books.statement], 2, JournalForm(CHART))
    text = content(HledgerExporter().files(journal)[0]).decode()
    assert "account Income:4000-Usage-revenue\n" in text
    assert "; Income:4000-Usage-revenue is 4000 Usage revenue\n" in text
    assert text.startswith("; Amounts are rounded to 2 decimals")
    path = tmp_path / "a.journal"
    path.write_text(text)
    done = hledger(path)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_name_becomes_a_tag_of_hledger() -> None:
    """A customer called `x, type:A` would make its revenue an asset, `; date:` would move it in time."""
    statement = some_books(HOSTILE).statement
    text = content(HledgerExporter().files(exact_journal([statement]))[0]).decode()
    for line in text.splitlines():
        if not line.startswith(";"):
            assert ";" not in line
