"""Entries by the first version of the rules: a bill and its allocation each, and sales at the end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from tests.support.small_company import SPAN, USD, worked_out

from inferworks.books.accounting.entries import FIRST_JOURNAL, Entry, balances, trial_balance
from inferworks.books.accounting.first_entries import first_journal
from inferworks.books.accounting.policy import load_policy
from inferworks.books.revenue.rating import Item, Prepayment, Revenue
from inferworks.ids import CustomerId
from inferworks.testing.books import a_company

GAAP = load_policy("gaap")
ACME = CustomerId("acme")
COMPUTATION = worked_out(a_company())


def made(revenue: Revenue = COMPUTATION.revenue) -> tuple[Entry, ...]:
    """The entries of the small company."""
    return first_journal(COMPUTATION.allocated, revenue, GAAP, "USD", SPAN.end_ns)


def texts(entries: Iterable[Entry]) -> list[str]:
    """Text of each entry."""
    return [entry.text for entry in entries]


def test_nothing_makes_no_entries() -> None:
    """Neither bills nor sales."""
    assert first_journal((), Revenue(()), GAAP, "USD", 5) == ()
    assert FIRST_JOURNAL == 1


def test_every_charge_is_a_bill_and_an_allocation() -> None:
    """Bills first, then allocations, then sales; each balances."""
    ids = [item.charge.id for item in COMPUTATION.allocated]
    found = texts(made())
    assert found[:10] == [f"bill {id_}" for id_ in ids] + [f"allocate {id_}" for id_ in ids]
    assert set(trial_balance(made()).values()) == {0}


def test_every_supplier_is_a_payable_staff_too() -> None:
    """Pay was owed to suppliers as all else; pools are empty at the end."""
    found = balances(made())
    payable = {
        name: pico for name, pico in found.items() if name.startswith("Liabilities:Payable:")
    }
    assert sum(payable.values()) == -22 * USD
    assert not any("AccruedPayroll" in name for name in found)
    assert all(pico == 0 for name, pico in found.items() if name.startswith("Costs:"))
    spent = sum(pico for name, pico in found.items() if name.startswith("Expenses:"))
    assert spent == 22 * USD


def test_bills_stand_at_the_end_of_their_charge_and_all_else_at_the_end_of_the_span() -> None:
    """Months within the span leave no trace."""
    for entry in made():
        assert entry.at_ns == SPAN.end_ns
    half = tuple(
        replace(item, charge=replace(item.charge, period_end_ns=500))
        for item in COMPUTATION.allocated
    )
    found = first_journal(half, COMPUTATION.revenue, GAAP, "USD", SPAN.end_ns)
    assert {entry.at_ns for entry in found if entry.text.startswith("bill ")} == {500}
    assert {entry.at_ns for entry in found if not entry.text.startswith("bill ")} == {SPAN.end_ns}


def test_sales_are_summed_by_customer_and_item() -> None:
    """In a fixed order, whatever the order of the rows."""
    sales = [entry for entry in made() if not entry.text.startswith(("bill ", "allocate "))]
    earned = {
        side.account: side.amount_pico
        for entry in sales
        for side in entry.postings
        if side.account.startswith("Income:")
    }
    assert earned == {"Income:Usage:acme": -14 * USD, "Income:Usage:burns": -3 * USD}
    turned = Revenue(COMPUTATION.revenue.rated[::-1])
    assert made(turned) == made(Revenue(COMPUTATION.revenue.rated))
    assert {row.item for row in COMPUTATION.revenue.rated} == {Item.USAGE}


def test_credit_that_was_used_is_summed_and_bought_credit_stands_alone() -> None:
    """Uses of one text are one entry at the end; purchases are at their moments."""
    movements = (
        Prepayment(10, ACME, "credit bought c-1", 9 * USD),
        Prepayment(20, ACME, "credit used", -2 * USD),
        Prepayment(30, ACME, "credit used", -3 * USD),
        Prepayment(40, ACME, "credit bought c-2", USD),
    )
    found = first_journal((), Revenue((), prepayments=movements), GAAP, "USD", 100)
    assert [entry.at_ns for entry in found] == [10, 40, 100]
    assert balances(found)["Liabilities:Credits:acme"] == -(9 + 1 - 5) * USD
