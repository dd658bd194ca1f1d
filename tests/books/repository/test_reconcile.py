"""Reconciliation: every invoice beside the lines that it is for, and every bill that is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from inferworks.books.charge import VOUCHERS, Charge, Foreign, NaturalClass
from inferworks.books.deliveries.canonical import FOCUS, Delivery
from inferworks.books.deliveries.record import Import, State
from inferworks.books.repository.reconcile import (
    Check,
    Finding,
    Invoice,
    billed_by,
    checklist,
    is_payable,
    missing,
)
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
A = "A Cloud"


def a_line(
    amount: str, *, day: int = 0, issuer: str = A, invoice: str = "I-1", **more: Any
) -> Charge:
    """A bill line of a day of 1970, on an invoice."""
    span = (day * DAY_NS, (day + 1) * DAY_NS)
    return a_charge("x", amount, span, provider=issuer, invoice=invoice, **more)


def a_voucher(name: str, amount: str, supplier: str = A, **more: Any) -> Charge:
    """A voucher that names its supplier."""
    line = a_line(amount, issuer=supplier, invoice="vouchers", **more)
    return replace(line, issuer=VOUCHERS, line=name)


def of_invoice(total: str, number: str = "I-1", issuer: str = A, currency: str = "USD") -> Invoice:
    """An invoice with a number."""
    return Invoice(issuer, number, "", currency, total)


def of_month(total: str, month: str = "1970-01", issuer: str = A) -> Invoice:
    """All invoices of a month."""
    return Invoice(issuer, "", month, "USD", total)


def findings(*checks: Check) -> list[tuple[str, str, str]]:
    """Issuer, subject and finding of each."""
    return [(check.issuer, check.what, check.finding.value) for check in checks]


def test_nothing_is_checked_against_nothing() -> None:
    """Without invoices lines are not listed as lacking one: they were not asked for."""
    assert checklist([], [], []) == []
    assert checklist([a_line("1")], [], []) == []


@pytest.mark.parametrize(
    ("total", "finding"),
    [
        ("3.01", Finding.AGREES),
        ("3.010", Finding.AGREES),
        ("3.0", Finding.AGREES),
        ("3", Finding.AGREES),
        ("3.02", Finding.DIFFERS),
        ("3.011", Finding.DIFFERS),
        ("-3.01", Finding.DIFFERS),
    ],
)
def test_a_bill_agrees_rounded_to_the_places_of_its_invoice(total: str, finding: Finding) -> None:
    """Two lines of 1.005 and 2.005: 3.01 in all."""
    lines = [a_line("1.005"), a_line("2.005", day=1)]
    [check] = checklist(lines, [of_invoice(total)], [])
    assert (check.finding, check.billed, check.invoiced) == (
        finding,
        Decimal("3.010"),
        Decimal(total),
    )
    assert check.difference == Decimal("3.010") - Decimal(total)


@pytest.mark.parametrize(
    ("amount", "totals"), [("0.125", {"0.12", "0.13"}), ("-0.125", {"-0.12", "-0.13"})]
)
def test_suppliers_round_halves_either_way(amount: str, totals: set[str]) -> None:
    """To the even cent or up: both are usual."""
    for cents in range(-20, 20):
        total = f"{Decimal(cents) / 100:.2f}"
        [check] = checklist([a_line(amount)], [of_invoice(total)], [])
        assert (check.finding is Finding.AGREES) == (total in totals)


def test_exact_amounts_are_summed_and_rounding_lines_are_not() -> None:
    """Amounts as the bill writes them, finer than a picounit."""
    fine = a_line("0", exact="0.0000000000004")
    rounding = a_line("0.000000000001", service_name="Rounding")
    [check] = checklist([fine, fine, rounding], [of_invoice("0.0000000000008")], [])
    assert (check.finding, check.billed) == (Finding.AGREES, Decimal("8E-13"))


def test_a_bill_in_another_currency_is_compared_as_it_was_billed() -> None:
    """By the currency of the invoice; one in the currency of the books is of no bill."""
    euros = replace(a_line("3.30"), foreign=Foreign("EUR", 3 * 10**12, None, "1.1", "", ""))
    checks = checklist([euros], [of_invoice("3", currency="EUR"), of_invoice("3.30")], [])
    assert [(check.currency, check.finding) for check in checks] == [
        ("EUR", Finding.AGREES),
        ("USD", Finding.NO_BILL),
    ]


def test_a_month_is_the_billing_month_of_its_lines() -> None:
    """A line of the last of January that is billed in February is of February."""
    lines = [
        a_line("1"),
        replace(a_line("2", day=30), other=(("BillingPeriodStart", "1970-02-01"),)),
    ]
    checks = checklist(lines, [of_month("1"), of_month("2", "1970-02")], [])
    assert findings(*checks) == [(A, "1970-01", "agrees"), (A, "1970-02", "agrees")]


def test_bills_without_an_invoice_are_listed_by_month() -> None:
    """But of issuers whose invoices are numbered, and what comes to nothing."""
    lines = [
        a_line("1"),
        a_line("2", day=31),
        a_line("4", issuer="B"),
        a_line("5", issuer="C"), a_line("-5", issuer="C"),
        a_line("7", issuer="D", day=31),
    ]  # fmt: skip
    invoices = [of_month("1"), of_invoice("4", issuer="B")]
    wanted = [
        (A, "1970-01", "agrees"),
        (A, "1970-02", "no invoice"),
        ("B", "I-1", "agrees"),
        ("D", "1970-02", "no invoice"),
    ]
    assert findings(*checklist(lines, invoices, [])) == wanted
    in_january = [one for one in wanted if one[2] == "agrees"]
    assert findings(*checklist(lines, invoices, [], "1970-01")) == in_january
    none = checklist(lines, invoices, [])[1]
    assert (none.billed, none.invoiced, none.difference) == (Decimal(2), None, None)


def test_an_expected_bill_is_listed_once() -> None:
    """Not where its invoice lacks a bill already."""
    expected = [(A, "1970-01"), ("B", "1970-01")]
    checks = checklist([], [of_month("1")], expected)
    assert findings(*checks) == [(A, "1970-01", "no bill"), ("B", "1970-01", "expected")]
    assert checks[0].difference is None


def test_checks_are_in_the_order_of_their_subjects() -> None:
    """By issuer, then by invoice or month, then by currency; the order of the files leaves no trace."""
    lines = [a_line("1", issuer=issuer, invoice=number) for issuer in "ba" for number in ("2", "1")]
    invoices = [of_invoice("1", number, issuer) for issuer in "ab" for number in ("2", "1")]
    checks = checklist(lines, invoices, [])
    assert findings(*checks) == [(i, n, "agrees") for i in "ab" for n in "12"]
    assert checklist(lines[::-1], invoices[::-1], []) == checks


def test_a_voucher_is_an_invoice_of_its_own_with_its_tax() -> None:
    """Under the supplier that it names; the voucher's name is the number."""
    lines = [a_voucher("V-1", "10"), a_voucher("V-1/tax", "1.90"), a_voucher("V-2", "5")]
    checks = checklist(lines, [of_invoice("11.90", "V-1"), of_invoice("5", "V-2")], [])
    assert [check.finding for check in checks] == [Finding.AGREES] * 2
    [month] = checklist(lines, [of_month("16.90")], [])
    assert month.finding is Finding.AGREES


def test_payable_vouchers_name_a_supplier() -> None:
    """One without a supplier is owed to nobody; pay to staff, and depreciation to nobody."""
    assert is_payable(a_voucher("V-1", "1"))
    assert not is_payable(a_voucher("V-1", "1", supplier=VOUCHERS))
    assert not is_payable(a_line("1"))
    for natural_class in (NaturalClass.EMPLOYEE_COMPENSATION, NaturalClass.DEPRECIATION):
        assert not is_payable(a_voucher("V-1", "1", natural_class=natural_class))


def an_import(issuer: str, period: str = "1970-01-01", kind: str = FOCUS,
              state: State = State.IN_FORCE) -> Import:  # fmt: skip
    """An import on record."""
    return Import(1, Delivery(kind, issuer, "", period), "f", "h", 1, state, 1, {}, 0, 1, 0, "", "")


def test_issuers_have_billed_a_month_by_an_import_in_force() -> None:
    """Of bills alone: vouchers stand for none, and neither does what was taken back."""
    imports = [
        an_import("A"),
        an_import("B", "1970-02-01"),
        an_import("C", state=State.VOID),
        an_import("D", kind="voucher"),
        an_import("E", "1970-01-15"),
    ]
    assert billed_by(imports, "1970-01") == {"A", "E"}
    assert billed_by([], "1970-01") == set()


def test_missing_are_the_suppliers_without_a_bill() -> None:
    """Each once and in order, however the name is written."""
    imports = [an_import("a cloud")]
    found = missing(imports, ["B", A, " B ", "A CLOUD"], "1970-01")
    assert list(found) == [("B", "1970-01")]
    assert list(missing(imports, [], "1970-01")) == []
