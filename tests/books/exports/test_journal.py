"""Journals for general ledgers: added up, in cents, under a chart, as each program takes them."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.journals import CENT, rows_of, with_entries

from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.exports.base import Books
from inferworks.books.exports.chart_of_accounts import (
    ROUNDING,
)
from inferworks.books.exports.journal import exact_journal, rounded_journal
from inferworks.books.exports.ledger_csv import NETSUITE
from inferworks.books.period import Period
from inferworks.books.statement.corrections import Correction
from inferworks.books.statement.statement import Statement
from inferworks.errors import UserError

from .conftest import MONTH


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


def test_a_journal_has_one_currency(books: Books) -> None:
    """Two periods in two currencies are two journals."""
    other = msgspec.structs.replace(books.statement, currency="EUR", entries=())
    with pytest.raises(UserError, match="one currency, these periods have EUR, USD"):
        exact_journal([books.statement, other])
