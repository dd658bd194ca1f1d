"""Recoverable tax: a receivable and no cost, where the house says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.command_line import invoke, run

from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.tax import TAX_NAME, recoverable
from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.calendar.months import month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, Function
from inferworks.books.statement.computation import Inputs, Rules, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Statement, build_statement, close_span
from inferworks.config import Config
from inferworks.meter.facts import NO_FACTS
from inferworks.money import PICO
from inferworks.testing.books import a_charge

GAAP = load_policy("gaap")
NOVEMBER = month_of(1_795_219_200 * 10**9)
MACHINE = a_charge("machine", "1000", NOVEMBER, resource="vm-1")
VAT = replace(
    a_charge("VAT 19 %", "190", NOVEMBER, category="Other", resource=None), charge_category="Tax"
)


def rules(*names: str) -> Rules:
    """The shipped rules of a house that gets these taxes back."""
    return replace(shipped_rules(), recoverable_taxes=names)


def drawn(charges: Sequence[Charge], *names: str, span: Span = NOVEMBER) -> Statement:
    """The statement of `charges` where the taxes called `names` come back."""
    return close_span(Inputs(charges, NO_FACTS, (), GAAP, "USD", Span(*span), rules=rules(*names)))


def test_tax_is_a_cost_unless_the_house_gets_it_back() -> None:
    """Nothing is assumed of a country."""
    statement = drawn([MACHINE, VAT])
    assert statement.cost_of_revenue_pico == 1190 * PICO
    assert not statement.notes


def test_recoverable_tax_is_owed_and_due_and_no_cost() -> None:
    """The supplier is owed all of it, the authority owes the tax, and the margin knows nothing of it."""
    statement = drawn([MACHINE, VAT], "VAT")
    assert statement.billed_pico == statement.cost_of_revenue_pico == 1000 * PICO
    accounts = balances(statement.entries)
    assert accounts["Assets:RecoverableTax:VAT"] == 190 * PICO
    assert accounts["Liabilities:Payable:a-cloud"] == -1190 * PICO
    assert statement.notes == (
        "190.00 of tax comes back and is no cost; it stands in Assets:RecoverableTax:VAT.",
    )


@pytest.mark.parametrize(
    "text",
    ["VAT 20 %", "Umsatzsteuer 19%", "19 % USt.", "MWST 8,1 %", "Mehrwertsteuer", "TVA (20%)", "IVA 22%",
     "btw 21%", "Moms 25 %", "DPH 21 %", "PTU A 23%", "27% Áfa", "ALV 25,5 %", "ДДС 20%", "ΦΠΑ 24%", "DDV",
     "PDV 25%", "PVM 21%", "PVN", "käibemaks 24%", "GST/HST", "QST 9.975%", "TPS", "Value-added tax"],
)  # fmt: skip
def test_value_added_tax_comes_back_by_whatever_name(text: str) -> None:
    """Value added tax comes back unless the house says otherwise; any other tax is a cost."""
    names = Config().books.recoverable_taxes
    assert recoverable(replace(VAT, description=text), names) is not None
    for other in ("Sales tax, CA", "PST 7 %", "Withholding tax", "Vatican levy", "Stamp duty"):
        assert recoverable(replace(VAT, description=other), names) is None


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("VAT 19 %", ["VAT"], "VAT"),
        ("vat", ["Vat"], "Vat"),
        ("Sales tax, CA", ["VAT", "sales tax"], "sales tax"),
        ("PRIVATE", ["VAT"], None),
        ("VAT", [], None),
        ("USt. (19 %)", ["USt."], "USt."),
        ("anything", ["*"], "*"),
    ],
)
def test_a_tax_is_known_by_name(text: str, names: list[str], expected: str | None) -> None:
    """Names of taxes are found as whole words, in any case, in their own column before the description."""
    for charge in (
        replace(VAT, description=text),
        replace(VAT, other=((TAX_NAME, text),), description="VAT and sales tax and USt."),
    ):
        found = recoverable(charge, names)
        assert (found.name if found else None) == expected
    assert recoverable(replace(MACHINE, description=text), names) is None


def test_tax_stands_whole_in_the_month_in_which_it_begins() -> None:
    """Of a purchase for two months the tax is due back at once; adjoining spans have it once."""
    both = Span(NOVEMBER.start_ns, month_of(NOVEMBER.end_ns).end_ns)
    long = replace(VAT, period_end_ns=both.end_ns)
    account = "Assets:RecoverableTax:VAT"
    whole = drawn([long], "VAT", span=both)
    assert balances(whole.entries)[account] == 190 * PICO
    assert [entry.at_ns for entry in whole.entries] == [NOVEMBER.end_ns]
    first = drawn([long], "VAT")
    later = drawn([long], "VAT", span=Span(NOVEMBER.end_ns, both.end_ns))
    assert balances(first.entries)[account] == 190 * PICO
    assert (balances(later.entries), later.notes) == ({}, ())


def test_a_voucher_has_tax_on_top() -> None:
    """Two lines; the tax is of the same department, for a house that does not get it back."""
    header = "id,period,natural_class,amount,currency,description,department,tax,tax_name\n"
    bill = bill_file(
        "v.csv", f"{header}V1,2026-11,other,100,USD,Rent,office,19,VAT 19 %\n".encode()
    )
    charges = VoucherReader().read(bill, "USD", no_progress)
    cost = drawn(charges)
    assert cost.function_pico(Function.GENERAL_AND_ADMINISTRATIVE) == cost.billed_pico == 119 * PICO
    assert drawn(charges, "VAT").billed_pico == 100 * PICO


@pytest.mark.slow
def test_every_engine_and_every_theorem_knows_of_it() -> None:
    """The same entries by relations, and the same figures by customer; another policy keeps them."""
    from inferworks.books.engines.compute import compute_on
    from inferworks.books.engines.customer_statement import close_by_customer
    from inferworks.books.engines.duckdb import DuckEngine
    from inferworks.books.engines.lake import lake_of

    given = [MACHINE, VAT], (), GAAP, "USD", NOVEMBER, rules("VAT")
    charges, plans, policy, currency, span, by = given
    defined = compute(Inputs(charges, NO_FACTS, plans, policy, currency, span, by))
    validate(defined)
    with DuckEngine(memory_bytes=2**28) as engine:
        lake = lake_of(engine, {}, NO_FACTS)
        related = compute_on(engine, lake, Inputs(given[0], NO_FACTS, *given[1:]))
        short = close_by_customer(engine, lake, Inputs(given[0], NO_FACTS, *given[1:]))
    assert related.entries == defined.entries
    assert build_statement(related) == build_statement(defined)
    assert (short.billed_pico, short.notes) == (1000 * PICO, build_statement(defined).notes)
    full = defined.under(load_policy("full"))
    assert balances(full.entries)["Assets:RecoverableTax:VAT"] == 190 * PICO


def test_the_import_says_what_tax_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import says what tax costs where none comes back; by default value added tax comes back."""
    monkeypatch.chdir(tmp_path)
    Path("bill.csv").write_text(
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,InvoiceId,"
        "ChargeCategory,ChargeDescription\n"
        "1000,USD,2026-11-01,2026-12-01,A Cloud,1,Usage,machine\n"
        "190,USD,2026-11-01,2026-12-01,A Cloud,1,Tax,VAT 19 %\n"
    )
    Path("inferworks.toml").write_text("[books]\nrecoverable_taxes = []\n")
    told = run("books", "import", "bill.csv")
    assert "bill.csv: 190.00 USD of tax counts as cost; name what you get back" in told.stderr
    shown = invoke("books", "statement", "--period", "2026-11", "--json")
    assert '"cost-of-revenue":"1190.00"' in shown.stdout.replace(" ", "")
    Path("inferworks.toml").unlink()
    shown = invoke("books", "statement", "--period", "2026-11", "--json")
    assert '"cost-of-revenue":"1000.00"' in shown.stdout.replace(" ", "")
    run("books", "close", "2026-11", "--begin")
    Path("inferworks.toml").write_text("[books]\nrecoverable_taxes = []\n")
    run("books", "verify")
