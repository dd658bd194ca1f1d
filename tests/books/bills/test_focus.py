"""FOCUS from 1.0 to 1.4: columns by name, negative lines, commitments counted once, real bills."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from inferworks.books.bills.base import BillFile, bill_file, no_progress, open_bill
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.charge import Charge
from inferworks.money import format_pico

SHARED = Path(__file__).parents[4] / "shared" / "data" / "bills"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no folder {SHARED}")
COMMON = {
    "BilledCost": "1.50",
    "EffectiveCost": "1.25",
    "BillingCurrency": "USD",
    "BillingAccountId": "acct-1",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodEnd": "2026-11-02T00:00:00Z",
    "ChargeCategory": "Usage",
    "InvoiceIssuerName": "A Reseller",
    "ServiceCategory": "Compute",
    "ServiceName": "Machines",
    "ResourceId": "gpu-1",
    "RegionId": "eu-1",
}
VERSIONS = {
    "1.0": {"ProviderName": "A Cloud", "PublisherName": "A Publisher"},
    "1.1": {"ProviderName": "A Cloud", "PublisherName": "A Publisher", "ServiceSubcategory": "VM"},
    "1.2": {
        "ProviderName": "A Cloud",
        "PublisherName": "P",
        "InvoiceId": "INV-1",
        "PricingCurrency": "USD",
    },
    "1.3": {
        "ServiceProviderName": "A Cloud",
        "HostProviderName": "A Host",
        "InvoiceId": "INV-1",
        "AllocatedMethodId": "by-pod",
        "AllocatedMethodDetails": '{"Elements": [{"AllocatedRatio": 0.25}]}',
        "AllocatedResourceId": "pod-7",
    },
    "1.4": {
        "ServiceProviderName": "A Cloud",
        "HostProviderName": "A Host",
        "InvoiceId": "INV-1",
        "InvoiceDetailId": "D-1",
        "x_Odd": "7",
    },
}


def csv_file(*rows: dict[str, str]) -> BillFile:
    """A file with the columns of all `rows`."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(name for row in rows for name in row))
    )
    writer.writeheader()
    writer.writerows(rows)
    return bill_file("bill.csv", text.getvalue().encode())


def read(*rows: dict[str, str]) -> tuple[Charge, ...]:
    """The charges of `rows`."""
    return FocusBillReader().read(csv_file(*rows), "USD", no_progress)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_read_by_its_names(version: str) -> None:
    """Provider and issuer under whichever name; what is not known stays under its own."""
    columns = VERSIONS[version]
    (charge,) = read({**COMMON, **columns})
    assert (charge.provider, charge.issuer, charge.region_id) == ("A Cloud", "A Reseller", "eu-1")
    assert charge.invoice == columns.get("InvoiceId", "acct-1/2026-11-01")
    assert format_pico(charge.amount_pico) == "1.50"
    kept = dict(charge.other)
    assert all(kept[name] == text for name, text in columns.items() if name != "InvoiceId")


def test_what_a_version_lacks_stays_empty() -> None:
    """The least bill there is: four required columns and somebody to owe it to."""
    names = ("BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd")
    (charge,) = read({**{name: COMMON[name] for name in names}, "ServiceProviderName": "A Cloud"})
    assert (charge.issuer, charge.provider) == ("A Cloud", "A Cloud")
    assert (charge.effective_pico, charge.region_id, charge.resource_id, charge.charge_class) == (
        None, None, None, None,
    )  # fmt: skip


def test_the_rows_of_a_split_resource_are_different_lines() -> None:
    """Each has an id; what they were allocated to came with 1.3, so the lines are alike without it."""
    first = {**COMMON, **VERSIONS["1.3"]}
    charges = read(first, {**first, "AllocatedResourceId": "pod-8"})
    assert len({charge.id for charge in charges}) == 2
    assert {dict(charge.other)["AllocatedResourceId"] for charge in charges} == {"pod-7", "pod-8"}


@pytest.mark.parametrize("category", ["Credit", "Adjustment", "Tax", "Purchase", "Usage"])
def test_negative_lines_of_any_category(category: str) -> None:
    """A refund, a credit, a correction: kept as they are, never clamped."""
    row = {**COMMON, "BilledCost": "-3.25", "ChargeCategory": category, "ChargeClass": "Correction"}
    (charge,) = read(row)
    assert (format_pico(charge.amount_pico), charge.charge_category) == ("-3.25", category)
    assert charge.charge_class == "Correction"


def test_a_commitment_is_counted_once() -> None:
    """The purchase is billed; its use and its unused part are billed at zero."""
    purchase = {**COMMON, "ChargeCategory": "Purchase", "BilledCost": "100", "EffectiveCost": "0"}
    used = {**COMMON, "BilledCost": "0", "EffectiveCost": "80", "CommitmentDiscountStatus": "Used"}
    unused = {**used, "EffectiveCost": "20", "CommitmentDiscountStatus": "Unused"}
    charges = read(purchase, used, unused)
    assert sum(charge.amount_pico for charge in charges) == 100 * 10**12
    assert sum(charge.effective_pico or 0 for charge in charges) == 100 * 10**12
    assert len({charge.id for charge in charges}) == 3


@shared
def test_the_published_sample_lacks_seven_contracted_costs() -> None:
    """Nulls of the sample, which is not quite compliant itself, stay null, and no line is lost for them."""
    charges = FocusBillReader().read(open_bill(SHARED / "focus_1_0_sample.csv"), "USD", no_progress)
    without = [charge for charge in charges if "ContractedCost" not in dict(charge.other)]
    assert (len(charges), len(without)) == (1000, 7)
    assert any(charge.region_id for charge in charges)
