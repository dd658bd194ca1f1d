"""Theorem 19: the income statement of a statement is the one that a ledger draws from its entries."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.small_company import worked_out

from inferworks.books.statement.income_statement import (
    expense_account,
    income_statement,
    must_be_booked,
)
from inferworks.errors import BooksError
from inferworks.testing.books import a_company

WORKINGS = worked_out(a_company())
LINES = WORKINGS.lines
REVENUE = WORKINGS.revenue.rated


def test_expenses_are_positive_and_income_negative() -> None:
    """By function, natural class and pool, and by customer; sorted, without accounts of nothing."""
    stated = income_statement(LINES, REVENUE)
    assert list(stated) == sorted(stated)
    assert all(stated.values())
    expenses = sum(pico for account, pico in stated.items() if account.startswith("Expenses:"))
    income = sum(pico for account, pico in stated.items() if account.startswith("Income:"))
    assert expenses == sum(line.amount_pico for line in LINES)
    assert -income == sum(row.amount_pico for row in REVENUE)
    assert {expense_account(line) for line in LINES if line.amount_pico} <= stated.keys()


def test_a_ledger_draws_the_same() -> None:
    """From the entries of sound books."""
    must_be_booked(LINES, REVENUE, WORKINGS.entries)


def test_an_entry_that_is_missing_is_named_by_its_account() -> None:
    """With both amounts: one picounit is enough."""
    with pytest.raises(
        BooksError, match=r"theorem 19 \(month\): (Expenses|Income):.* in the entries"
    ):
        must_be_booked(LINES, REVENUE, WORKINGS.entries[:-1])
    first, *rest = LINES
    with pytest.raises(BooksError, match=expense_account(first)):
        must_be_booked(
            [replace(first, amount_pico=first.amount_pico + 1), *rest], REVENUE, WORKINGS.entries
        )


def test_empty_books_have_an_empty_statement() -> None:
    """No account of nothing."""
    assert income_statement((), ()) == {}
    must_be_booked((), (), ())
