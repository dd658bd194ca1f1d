"""The income statement by account, from the lines and the revenue of a statement, without its entries.

A general ledger derives it from the entries: by theorem 19 the two are equal, account by account.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from inferworks.books.accounting.entries import Entry, balances
from inferworks.books.revenue.rating import Rated
from inferworks.books.statement.computation import Line
from inferworks.errors import BooksError
from inferworks.money import format_pico

_ROOTS = ("Expenses:", "Income:")


def income_statement(lines: Iterable[Line], revenue: Iterable[Rated]) -> dict[str, int]:
    """Picounits by account, expenses positive and income negative; accounts of nothing left out."""
    sums: dict[str, int] = defaultdict(int)
    for line in lines:
        sums[expense_account(line)] += line.amount_pico
    for row in revenue:
        sums[f"Income:{row.item.title()}:{row.customer}"] -= row.amount_pico
    return {account: sums[account] for account in sorted(sums) if sums[account]}


def expense_account(line: Line) -> str:
    """The account that the cost of `line` stands in."""
    return f"Expenses:{line.function}:{line.natural_class}:{line.pool}"


def must_be_booked(
    lines: Iterable[Line], revenue: Iterable[Rated], entries: Iterable[Entry]
) -> None:
    """BooksError unless the income statement that a ledger draws from `entries` is that of the rest."""
    booked = {
        account: pico
        for account, pico in balances(entries).items()
        if account.startswith(_ROOTS) and pico
    }
    stated = income_statement(lines, revenue)
    for account in sorted(stated.keys() | booked.keys()):
        if stated.get(account, 0) != booked.get(account, 0):
            raise BooksError(
                f"theorem 19 (month): {account} is {format_pico(stated.get(account, 0))} in the "
                f"statement and {format_pico(booked.get(account, 0))} in the entries"
            )
