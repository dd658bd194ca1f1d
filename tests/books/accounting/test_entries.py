"""Entries: the accounts they credit, the months they stand in, and the version that a close keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
import pytest

from inferworks.accounts.credit import Credit
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.basis import Basis
from inferworks.books.accounting.entries import (
    FIRST_JOURNAL,
    JOURNAL,
    Entry,
    booked_within,
    credited,
    prepaid,
)
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import LIST_PRICES, Charge, NaturalClass
from inferworks.books.closing.seal import body_of
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    Rules,
    compute,
    shipped_rules,
)
from inferworks.books.statement.income_statement import income_statement
from inferworks.books.statement.invariants import validate
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_usage

GAAP = load_policy("gaap")


def at(day: str) -> int:
    """The first nanosecond of `day`."""
    return parse_moment_ns(day)


def a_line(
    name: str, amount: str, first: str, after: str, category: str = "Usage", **changes: object
) -> Charge:
    """A bill line for the days from `first` until `after`."""
    charge = a_charge(name, amount, (at(first), at(after)), resource=None)
    return msgspec.structs.replace(charge, charge_category=category, **changes)


def drawn(
    charges: Iterable[Charge],
    first: str,
    after: str,
    rules: Rules | None = None,
    facts: Facts = NO_FACTS,
    prepaid: Prepaid | None = None,
) -> Computation:
    """The validated computation of the days from `first` until `after`."""
    plans = [PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")]
    span = Span(at(first), at(after))
    computation = compute(
        Inputs(
            charges, facts, plans, GAAP, "USD", span, rules or shipped_rules(), prepaid or Prepaid()
        )
    )
    validate(computation)
    return computation


def balances_by_month(computation: Computation) -> dict[str, dict[str, int]]:
    """Picounits by account, by the month that a ledger finds each entry in."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in computation.entries:
        month = utc_day(booked_within(entry, *computation.span))[:7]
        for posting in entry.postings:
            sums[month][posting.account] += posting.amount_pico
    return {month: {a: p for a, p in of.items() if p} for month, of in sums.items()}


@pytest.mark.parametrize(
    ("changes", "account"),
    [
        ({}, "Liabilities:Payable:a-cloud"),
        ({"charge_category": "Purchase"}, "Liabilities:Payable:a-cloud"),
        (
            {"natural_class": NaturalClass.DEPRECIATION, "invoice": "Switch"},
            "Assets:AccumulatedDepreciation:Switch",
        ),
        (
            {
                "natural_class": NaturalClass.DEPRECIATION,
                "issuer": "vouchers",
                "resource_id": "gpu-3",
            },
            "Assets:AccumulatedDepreciation:gpu-3",
        ),
        (
            {"natural_class": NaturalClass.EMPLOYEE_COMPENSATION, "issuer": "payroll"},
            "Liabilities:AccruedPayroll:payroll",
        ),
        ({"file": LIST_PRICES}, "Liabilities:Accrued:a-cloud"),
        (
            {"issuer": "vouchers", "provider": "A Landlord", "charge_category": "Adjustment"},
            "Liabilities:Payable:A Landlord",
        ),
    ],
)
def test_the_credited_account_says_what_is_owed(changes: dict[str, object], account: str) -> None:
    """Depreciation lowers an asset, pay is owed to staff, an estimate is accrued, a bill is payable."""
    charge = a_line("a line", "1", "2026-11-01", "2026-12-01")
    assert credited(msgspec.structs.replace(charge, **changes)) == account


def test_only_what_a_supplier_bills_ahead_is_prepaid() -> None:
    """Usage is billed when it has happened; depreciation and pay are billed by nobody."""
    purchase = a_line("a year", "1", "2026-01-01", "2027-01-01", "Purchase")
    for basis in Basis:
        assert prepaid(purchase, basis) == "Assets:Prepaid:a-cloud"
        assert prepaid(msgspec.structs.replace(purchase, charge_category="Usage"), basis) is None
        for label in (NaturalClass.DEPRECIATION, NaturalClass.EMPLOYEE_COMPENSATION):
            assert prepaid(msgspec.structs.replace(purchase, natural_class=label), basis) is None


def test_a_year_paid_ahead_is_prepaid_and_used_up() -> None:
    """A leap year of 366 dollars: 31 in January, 29 in February; owed whole, and prepaid until used."""
    year = a_line("support", "366", "2028-01-01", "2029-01-01", "Purchase")
    whole = drawn([year], "2028-01-01", "2029-01-01")
    months = balances_by_month(whole)
    assert len(months) == 12
    expense = "Expenses:cost-of-revenue:purchased-compute:other"
    days = [months[f"2028-{month:02d}"][expense] // 10**12 for month in range(1, 13)]
    assert days == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    assert months["2028-01"]["Liabilities:Payable:a-cloud"] == -366 * 10**12
    assert months["2028-01"]["Assets:Prepaid:a-cloud"] == 335 * 10**12
    assert all("Liabilities:Payable:a-cloud" not in months[f"2028-{m:02d}"] for m in range(2, 13))
    assert sum(of["Assets:Prepaid:a-cloud"] for of in months.values()) == 0
    for number, after in ((1, "2028-02-01"), (2, "2028-03-01"), (12, "2029-01-01")):
        name = f"2028-{number:02d}"
        alone = drawn([year], f"{name}-01", after)
        assert balances_by_month(alone) == {name: months[name]}


def test_every_month_of_a_span_has_its_own() -> None:
    """A quarter over a year's end: all that is booked stands in its month (theorem 19)."""
    days = ("2026-11-30T23:59:59.999999999Z", "2026-12-01", "2027-01-31")
    usages = [
        a_usage(f"call-{n}", opened_ns=at(day), tokens=Tokens(input=10**6 * (n + 1)))
        for n, day in enumerate(days)
    ]
    charges = [
        a_line("november", "5", "2026-11-01", "2026-12-01"),
        a_line("over new year", "31", "2026-12-31", "2027-01-31"),
        a_line("pay", "62", "2026-12-01", "2027-02-01", natural_class=NaturalClass.EMPLOYEE_COMPENSATION),
    ]  # fmt: skip
    credit = Credit("c", CustomerId("acme"), at("2026-11-10"), 2 * 10**12 + 5, "USD")
    facts = Facts(tuple(usages), (), (), ())
    quarter = drawn(charges, "2026-11-01", "2027-02-01", facts=facts, prepaid=Prepaid((credit,)))
    months = balances_by_month(quarter)
    income = [months[name]["Income:Usage:acme"] for name in ("2026-11", "2026-12", "2027-01")]
    assert income == [-1 * 10**12, -2 * 10**12, -3 * 10**12]
    used = [months[name].get("Liabilities:Credits:acme", 0) for name in ("2026-11", "2026-12")]
    assert used == [-(2 * 10**12 + 5) + 10**12, 10**12 + 5]
    pool = "Expenses:cost-of-revenue:purchased-compute:other"
    costs = [months[name].get(pool, 0) for name in ("2026-11", "2026-12", "2027-01")]
    assert costs == [5 * 10**12, 10**12, 30 * 10**12]
    assert months["2026-12"]["Liabilities:AccruedPayroll:a-cloud"] == -31 * 10**12
    assert not any(name.startswith("Costs:") for of in months.values() for name in of)
    together: dict[str, int] = defaultdict(int)
    for of in months.values():
        for account, pico in of.items():
            if account.startswith(("Income:", "Expenses:")):
                together[account] += pico
    assert together == income_statement(quarter.lines, quarter.revenue.rated)


def test_expired_credit_is_income_of_the_month_that_it_expires_with() -> None:
    """Credit that expires as November ends is November's, alone and in a longer span."""
    credit = Credit("c", CustomerId("acme"), at("2026-11-10"), 7, "USD", at("2026-12-01"))
    for after in ("2026-12-01", "2027-01-01"):
        months = balances_by_month(drawn([], "2026-11-01", after, prepaid=Prepaid((credit,))))
        assert months == {"2026-11": {"Assets:Receivable:acme": 7, "Income:Breakage:acme": -7}}


def test_credit_that_expires_at_midnight_goes_with_the_day_that_ends() -> None:
    """In the first version of the rules it went with the next, which may lie outside the period."""
    credit = Credit("c", CustomerId("acme"), at("2026-11-10"), 7, "USD", at("2026-12-01"))
    first = msgspec.structs.replace(shipped_rules(), journal=FIRST_JOURNAL)
    for rules, day in ((shipped_rules(), "2026-11-30"), (first, "2026-12-01")):
        computation = drawn([], "2026-11-01", "2026-12-01", rules, prepaid=Prepaid((credit,)))
        assert [utc_day(row.day_ns) for row in computation.revenue.rated] == [day]


def test_a_period_that_is_no_month_keeps_its_days() -> None:
    """In a 4-4-5 calendar an entry stands within the period, also where that begins in a month's middle."""
    charges = [a_line("november", "30", "2026-11-01", "2026-12-01")]
    computation = drawn(charges, "2026-10-26", "2026-11-23")
    days = [utc_day(booked_within(entry, *computation.span)) for entry in computation.entries]
    assert set(days) == {"2026-11-22"}
    assert sum(line.amount_pico for line in computation.lines) == 22 * 10**12


def test_the_first_version_still_makes_its_own_entries() -> None:
    """Rules sealed without a version make entries of the first: payables alone, and one entry a span."""
    sealed = msgspec.json.decode(body_of("rules", shipped_rules()).raw)
    assert sealed.pop("journal") == JOURNAL
    assert Rules.__struct_defaults__[0] == FIRST_JOURNAL
    old = msgspec.structs.replace(shipped_rules(), journal=FIRST_JOURNAL)
    charge = a_line(
        "asset", "5", "2026-11-15", "2026-12-15", natural_class=NaturalClass.DEPRECIATION
    )
    computation = drawn([charge], "2026-11-01", "2027-01-01", old)
    accounts = {posting.account for entry in computation.entries for posting in entry.postings}
    assert "Liabilities:Payable:a-cloud" in accounts
    assert [utc_day(entry.at_ns) for entry in computation.entries] == ["2026-12-15", "2027-01-01"]
    assert computation.under(load_policy("full")).entries == computation.entries


def test_a_later_version_is_refused() -> None:
    """Entries of a later version could only be guessed."""
    later = msgspec.structs.replace(shipped_rules(), journal=JOURNAL + 1)
    with pytest.raises(BooksError, match="version 3; this program supports versions up to 2"):
        drawn([], "2026-11-01", "2026-12-01", later)


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    """Theorem 10, at the smallest unit."""
    entry = drawn(
        [a_line("a", "1", "2026-11-01", "2026-12-01")], "2026-11-01", "2026-12-01"
    ).entries[0]
    first, *rest = entry.postings
    with pytest.raises(BooksError, match="does not balance"):
        Entry(0, "x", (msgspec.structs.replace(first, amount_pico=first.amount_pico + 1), *rest))
