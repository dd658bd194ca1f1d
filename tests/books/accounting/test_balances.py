"""Balances between bills and costs: as charges imply, and as entries moved them (theorem 18)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from tests.support.small_company import RULES

from inferworks.books.accounting.balances import Balances, booked, changes
from inferworks.books.accounting.basis import Basis
from inferworks.books.accounting.entries import Entry, Posting
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.tax import Tax
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, NaturalClass
from inferworks.books.statement.computation import Inputs, accrue, compute
from inferworks.meter.facts import NO_FACTS
from inferworks.testing.books import World, a_charge, worlds

SPAN = Span(0, 100)
DAY_NS = 86_400 * 10**9
USD = 10**12


def implied(*charges: Charge, taxes: tuple[Tax, ...] = (), committed: tuple[Charge, ...] = (),
            basis: Basis = Basis.ACCRUAL, span: Span = SPAN) -> dict[str, int]:  # fmt: skip
    """The balances that change with these charges, in dollars."""
    inside = [accrue(charge, span) for charge in charges]
    found = changes(charges, inside, committed, taxes, span, basis)
    return {name: pico // USD for name, pico in found._asdict().items() if pico}


def a_line(amount: str, span: tuple[int, int] = SPAN, **more: Any) -> Charge:
    """A bill line."""
    return replace(a_charge("a", amount, span), **more)


def test_nothing_changes_no_balance() -> None:
    """And costs nothing."""
    assert implied() == {}
    assert booked([]) == Balances()
    assert Balances().cost == 0


def test_cost_is_what_was_billed_less_and_plus_the_other_balances() -> None:
    """100 billed, of which 10 are prepaid and 5 come back; 20 accrued, 30 earned, 40 depreciated."""
    balances = Balances(
        billed=100, prepaid=10, capitalised=-40, recoverable=5, accrued=20, payroll=30
    )
    assert balances.cost == 100 - 10 + 40 - 5 + 20 + 30


@pytest.mark.parametrize(
    ("changed", "balance"),
    [
        ({}, "billed"),
        ({"file": "(list prices)"}, "accrued"),
        ({"file": "(accrued, no bill yet)"}, "accrued"),
        ({"natural_class": NaturalClass.EMPLOYEE_COMPENSATION}, "payroll"),
        ({"natural_class": NaturalClass.DEPRECIATION}, "capitalised"),
    ],
    ids=["bill", "estimate", "accrual", "pay", "depreciation"],
)
def test_a_charge_changes_the_balance_that_its_kind_is_owed_to(
    changed: dict[str, Any], balance: str
) -> None:
    """A cost of 7 each; a credit the other way; depreciation lowers an asset."""
    sign = -1 if balance == "capitalised" else 1
    assert implied(a_line("7", **changed)) == {balance: 7 * sign}
    assert implied(a_line("-7", **changed)) == {balance: -7 * sign}


def test_a_bill_that_reaches_beyond_its_month_is_prepaid() -> None:
    """A purchase for two months: 56 of 118 days are prepaid, and used up then. Usage is never ahead."""
    months = (0, 31 * DAY_NS), (31 * DAY_NS, 59 * DAY_NS)
    usage = a_line("118", (0, 59 * DAY_NS))
    line = replace(usage, charge_category="Purchase")
    assert implied(usage, span=Span(*months[0])) == {"billed": 62}
    assert implied(line, span=Span(*months[0])) == {"billed": 118, "prepaid": 56}
    assert implied(line, span=Span(*months[1])) == {"prepaid": -56}
    assert implied(line, span=Span(0, 59 * DAY_NS)) == {"billed": 118}


def test_recoverable_tax_is_billed_and_comes_back() -> None:
    """In the span in which it begins; it is no cost."""
    tax = Tax("VAT", a_line("19", charge_category="Tax"))
    assert implied(taxes=(tax,)) == {"billed": 19, "recoverable": 19}
    assert changes((), (), (), (tax,), SPAN, Basis.ACCRUAL).cost == 0
    assert implied(taxes=(tax,), span=Span(100, 200)) == {}


def test_the_payment_for_a_commitment_is_prepaid() -> None:
    """On the accrual basis; what it costs then is used up of it."""
    bought = a_line("120", effective_pico=0, other=(("CommitmentDiscountId", "c"),))
    assert implied(committed=(bought,)) == {"billed": 120, "prepaid": 120}
    assert implied(committed=(bought,), basis=Basis.CASH) == {}
    assert implied(committed=(bought,), span=Span(100, 200)) == {}


def entry(**sides: int) -> Entry:
    """An entry whose sides balance with an expense; underscores stand for colons."""
    postings = [Posting(name.replace("_", ":"), pico, "USD") for name, pico in sides.items()]
    return Entry(1, "x", (*postings, Posting("Expenses:x", -sum(sides.values()), "USD")))


def test_entries_move_the_balances_of_their_accounts() -> None:
    """Assets by debits, liabilities by credits, summed over all accounts of a kind."""
    found = booked([
        entry(Liabilities_Payable_a=-5, Liabilities_Payable_b=-6),
        entry(Assets_Prepaid_a=3, Assets_RecoverableTax_VAT=2),
        entry(Assets_AccumulatedDepreciation_x=-4, Liabilities_Accrued_a=-1),
        entry(Liabilities_AccruedPayroll_p=-8, Liabilities_Payable_a=2),
    ])  # fmt: skip
    assert found == Balances(
        billed=9, prepaid=3, capitalised=-4, recoverable=2, accrued=1, payroll=8
    )


def test_other_accounts_move_no_balance() -> None:
    """Revenue and what customers owe are no part of what suppliers billed."""
    sold = entry(Assets_Receivable_acme=5, Income_Usage_acme=-5, Liabilities_Credits_acme=-1)
    assert booked([sold]) == Balances()


@settings(max_examples=12)
@given(worlds())
def test_entries_move_what_charges_imply(world: World) -> None:
    """Theorem 18 of any world, on both bases: two ways to the same balances, and to the cost."""
    for basis in Basis:
        policy = replace(load_policy("gaap"), basis=basis)
        span = Span(100, 1_500)
        done = compute(Inputs(world.charges, NO_FACTS, (), policy, "USD", span, RULES))
        wanted = changes(done.given, done.charges, done.committed, done.taxes, span, basis)
        assert booked(done.entries) == wanted
        assert wanted.cost == sum(charge.amount_pico for charge in done.charges)
