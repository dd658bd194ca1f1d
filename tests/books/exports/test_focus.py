"""Our FOCUS rows: the columns, the types, the arithmetic, and that our own reader takes them in."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import msgspec
import pytest

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.exports.base import Books, content, write_files
from inferworks.books.exports.focus import COLUMNS, FocusExporter
from inferworks.books.exports.tables import Kind
from inferworks.books.revenue.rating import Item
from inferworks.money import parse_pico
from inferworks.spreadsheet import restored

from .conftest import MONTH, some_books

FOCUS_1_2 = (
    "AvailabilityZone BilledCost BillingAccountId BillingAccountName BillingAccountType BillingCurrency "
    "BillingPeriodEnd BillingPeriodStart CapacityReservationId CapacityReservationStatus ChargeCategory "
    "ChargeClass ChargeDescription ChargeFrequency ChargePeriodEnd ChargePeriodStart "
    "CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity "
    "CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit "
    "ContractedCost ContractedUnitPrice EffectiveCost InvoiceId InvoiceIssuerName ListCost ListUnitPrice "
    "PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost "
    "PricingCurrencyListUnitPrice PricingQuantity PricingUnit ProviderName PublisherName RegionId "
    "RegionName ResourceId ResourceName ResourceType ServiceCategory ServiceName ServiceSubcategory SkuId "
    "SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags "
)
FOCUS_1_3 = (
    "AllocatedMethodDetails AllocatedMethodId AllocatedResourceId AllocatedResourceName AllocatedTags "
    "ContractApplied HostProviderName ServiceProviderName "
)
NEVER_NULL = (
    "BilledCost BillingAccountId BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory "
    "ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName ListCost "
    "ProviderName PublisherName ServiceCategory "
)
SPECIFIED = frozenset((FOCUS_1_2 + FOCUS_1_3).split())
CHARGE_CATEGORIES = {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NUMBER = re.compile(r"-?\d+\.\d+")


def rows_of(books: Books, name: str) -> list[dict[str, str]]:
    """The rows of one dataset, as a CSV reader sees them."""
    file = next(file for file in FocusExporter().files(books) if file.name == f"{name}.csv")
    return list(csv.DictReader(io.StringIO(content(file).decode("utf-8"), newline="")))


@pytest.fixture(params=["customers", "suppliers"])
def rows(request: pytest.FixtureRequest, books: Books) -> list[dict[str, str]]:
    """The rows of each dataset in turn."""
    found = rows_of(books, request.param)
    assert found
    return found


def test_every_column_of_the_specification_is_there(rows: list[dict[str, str]]) -> None:
    """All of FOCUS 1.2 and of the split costs of 1.3; what is ours has the prefix it must have."""
    names = set(rows[0])
    assert names >= SPECIFIED
    ours = names - SPECIFIED - {"CredentialId"}
    assert all(re.fullmatch(r"x_[A-Z][A-Za-z]+", name) for name in ours)


def test_values_are_written_as_the_specification_wants(rows: list[dict[str, str]]) -> None:
    """Numbers have a point and no exponent, moments are UTC with seconds, JSON is an object."""
    kinds = {column.name: column.kind for column in COLUMNS}
    for row in rows:
        for name, text in row.items():
            if not text:
                assert name not in NEVER_NULL.split(), name
            elif kinds.get(name) is Kind.DECIMAL:
                assert NUMBER.fullmatch(text), (name, text)
            elif kinds.get(name) is Kind.SECOND:
                assert MOMENT.fullmatch(text), (name, text)
        assert row["ChargeCategory"] in CHARGE_CATEGORIES
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["BillingPeriodStart"] < row["BillingPeriodEnd"]
        assert isinstance(json.loads(row["Tags"]), dict)


def test_list_cost_is_price_times_quantity(books: Books) -> None:
    """Exactly, in both pairs of columns; and what was consumed is what was priced."""
    for row in rows_of(books, "customers"):
        quantity = Decimal(row["PricingQuantity"])
        assert Decimal(row["ListUnitPrice"]) * quantity == Decimal(row["ListCost"])
        assert Decimal(row["ContractedUnitPrice"]) * quantity == Decimal(row["ContractedCost"])
        assert row["ListCost"] == row["BilledCost"] == row["EffectiveCost"]
        assert quantity * 1_000_000 == Decimal(row["ConsumedQuantity"])


def test_the_customers_rows_are_the_revenue(books: Books) -> None:
    """One row a customer and SKU; together they are what the statement earned."""
    rows = rows_of(books, "customers")
    assert sum(parse_pico(row["BilledCost"]) for row in rows) == books.statement.revenue_pico
    assert len({(row["BillingAccountId"], row["SkuId"]) for row in rows}) == len(rows) == 4
    details = [json.loads(row["SkuPriceDetails"]) for row in rows]
    assert {detail["TokenDirection"] for detail in details} == {"Input", "Output"}
    assert {row["InvoiceIssuerName"] for row in rows} == {"Example Inference"}


def test_a_customer_can_import_its_bill(books: Books) -> None:
    """Our own reader takes the rows in, to the picounit, each as a line of its own."""
    file = next(file for file in FocusExporter().files(books) if file.name == "customers.csv")
    bill = bill_file("customers.csv", content(file))
    charges = FocusBillReader().read(bill, "USD", no_progress)
    assert sum(charge.amount_pico for charge in charges) == books.statement.revenue_pico
    assert len({charge.id for charge in charges}) == len(charges)
    assert {(c.period_start_ns, c.period_end_ns) for c in charges} == {MONTH}


def test_parts_sum_to_their_charge_and_their_ratios_to_one(books: Books) -> None:
    """The rule of FOCUS 1.3 for split costs, exactly; a charge of nothing included."""
    amounts: dict[str, int] = {}
    ratios: dict[str, int] = {}
    for row in rows_of(books, "suppliers"):
        name = row["x_ChargeId"]
        elements = json.loads(row["AllocatedMethodDetails"], parse_float=str)["Elements"]
        amounts[name] = amounts.get(name, 0) + parse_pico(row["BilledCost"])
        ratios[name] = ratios.get(name, 0) + sum(
            parse_pico(str(element["AllocatedRatio"])) for element in elements
        )
        assert row["AllocatedMethodId"]
        assert row["AllocatedResourceId"]
    assert amounts == {item.charge.id: item.charge.amount_pico for item in books.allocated}
    assert set(ratios.values()) == {10**12}


def test_what_has_no_unit_price_stands_alone(books: Books) -> None:
    """A tier, a fee and a discount: the columns of the price are empty, the amounts still sum."""
    usage = books.statement.revenue_rows[0]
    change = msgspec.structs.replace
    rated = (
        change(usage, pico_per_unit=None),
        change(usage, item=Item.SUBSCRIPTION, unit=None, pico_per_unit=None, quantity=0),
        change(usage, item=Item.DISCOUNT, pico_per_unit=None, quantity=0, amount_pico=-5),
    )
    statement = change(books.statement, revenue_rows=rated)
    rows = rows_of(change(books, statement=statement), "customers")
    assert [row["ChargeCategory"] for row in rows] == ["Credit", "Purchase", "Usage"]
    assert {row["ListUnitPrice"] for row in rows} == {""}
    assert sum(parse_pico(row["BilledCost"]) for row in rows) == statement.revenue_pico


def test_a_correction_is_billed_in_the_open_month(books: Books) -> None:
    """The charge period stays the original's; a row and its reversal leave nothing."""
    usage = books.statement.revenue_rows[0]
    change = msgspec.structs.replace
    october = change(usage, day_ns=MONTH[0] - 1)
    back = change(october, quantity=-october.quantity, amount_pico=-october.amount_pico)
    statement = change(books.statement, revenue_rows=(usage, october, back, october))
    rows = rows_of(change(books, statement=statement), "customers")
    assert [row["ChargeClass"] for row in rows] == ["Correction", ""]
    assert [row["BillingPeriodStart"][:7] for row in rows] == ["2026-11", "2026-11"]
    assert rows[0]["ChargePeriodStart"][:10] == "2026-10-01"
    gone = change(statement, revenue_rows=(october, back))
    assert rows_of(change(books, statement=gone), "customers") == []


def test_a_period_that_begins_within_a_month_tells_its_corrections(books: Books) -> None:
    """In a 4-4-5 calendar the month has days before the period: what was used there is a correction."""
    change, day = msgspec.structs.replace, DAY_NS
    usage = change(books.statement.revenue_rows[0], day_ns=MONTH[0] + 22 * day)
    before = change(usage, day_ns=MONTH[0] + 21 * day)
    expired = change(
        usage, item=Item.BREAKAGE, unit=None, pico_per_unit=None, day_ns=MONTH[1] + 20 * day
    )
    statement = change(
        books.statement,
        start_ns=MONTH[0] + 22 * day,
        end_ns=MONTH[1] + 20 * day,
        revenue_rows=(usage, before, expired),
    )
    rows = rows_of(change(books, statement=statement), "customers")
    told = [
        (row["ChargeClass"], row["ChargePeriodStart"][:10], row["ChargePeriodEnd"][:10])
        for row in rows
    ]
    assert told == [
        ("Correction", "2026-11-01", "2026-11-23"),
        ("", "2026-11-23", "2026-12-01"),
        ("", "2026-12-01", "2026-12-21"),
    ]


def test_parquet_says_the_same_as_csv(books: Books, tmp_path: Path) -> None:
    """Read by DuckDB, both forms of both datasets agree cell by cell, with exact types."""
    write_files(FocusExporter().files(books), tmp_path)
    with duckdb.connect() as db:
        for name in ("customers", "suppliers"):
            typed = db.sql(f"SELECT * FROM '{tmp_path / name}.parquet'")
            kinds = dict(zip(typed.columns, map(str, typed.types), strict=True))
            assert kinds["BilledCost"] == "DECIMAL(38,12)"
            assert kinds["ChargePeriodStart"] == "TIMESTAMP WITH TIME ZONE"
            amounts = [str(row[0]) for row in typed.select("BilledCost").fetchall()]
            told = [row["BilledCost"] for row in rows_of(books, name)]
            assert list(map(Decimal, amounts)) == list(map(Decimal, told))


def test_hostile_names_stay_in_their_cells() -> None:
    """A customer called like a formula, a quote or a line break is one cell, and comes back."""
    names = ("=1+1", 'a "b", c', "two\nlines")
    rows = rows_of(some_books(names), "customers")
    assert {restored(row["BillingAccountId"]) for row in rows} == set(names)
