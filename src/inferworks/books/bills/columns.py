"""Sorts of values in the columns of our kinds of file, as far as they have several spellings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from inferworks.books.bills.spelling import Sort
from inferworks.meter.usage import COUNT_COLUMNS

_FOCUS: Final = {
    Sort.NUMBER: (
        "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity",
        "PricingQuantity",
    ),
    Sort.MOMENT: ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"),
    Sort.CURRENCY: ("BillingCurrency",),
}  # fmt: skip
_OURS: Final = {
    Sort.NUMBER: (
        "pay", "minutes", "gross", "employer_cost", "amount", "cost", "salvage", "life_months", "rate",
        "tax", "proceeds",
        "bytes", "byte_seconds", "seconds", "told_cost", *COUNT_COLUMNS,
        "request_bytes", "response_bytes", "status",
    ),
    Sort.MOMENT: ("start", "end", "in_service", "disposed", "changed", "date"),
    Sort.CURRENCY: ("currency", "told_currency", "from", "to"),
}  # fmt: skip

FOCUS_SORTS: Final[Mapping[str, Sort]] = {
    name: sort for sort, names in _FOCUS.items() for name in names
}
OUR_SORTS: Final[Mapping[str, Sort]] = {
    name: sort for sort, names in _OURS.items() for name in names
}


def sorts_of(header: Sequence[str]) -> dict[str, Sort]:
    """The sorts of the columns in `header`, which is that of a FOCUS bill or of a file of our own."""
    if {"issuer", "total"} <= set(header):
        return {"total": Sort.NUMBER, "currency": Sort.CURRENCY}
    known = FOCUS_SORTS if "BilledCost" in header else OUR_SORTS
    return {name: known[name] for name in header if name in known}


class Kind(NamedTuple):
    """A kind of file that a mapping can make another into."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    sorts: Mapping[str, Sort]
    one_of: tuple[str, ...] = ()
    """At least one of these is needed."""
    empty: tuple[str, ...] = ()
    """The columns that its reader wants to see in the header, though they may be empty."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys((*self.required, *self.one_of, *self.empty, *self.optional)))


KINDS: Final[Mapping[str, Kind]] = {
    "bill": Kind(
        ("BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd"),
        (
            "AvailabilityZone", "BillingAccountId", "BillingAccountName", "BillingPeriodEnd",
            "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
            "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId",
            "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType",
            "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice",
            "CredentialId", "EffectiveCost", "HostProviderName", "InvoiceId", "ListCost",
            "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "PrincipalId",
            "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
            "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter",
            "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags", "x_LineId",
            "x_NaturalClass",
        ),
        FOCUS_SORTS,
        ("InvoiceIssuerName", "ServiceProviderName", "ProviderName"),
    ),
    "timesheet": Kind(
        ("person", "start", "end", "minutes", "currency", "sheet"),
        ("department",),
        OUR_SORTS,
        ("node", "activity", "department"),
        ("node", "activity", "pay"),
    ),
    "payroll": Kind(
        ("person", "start", "end", "gross", "currency"),
        ("split", "department"),
        OUR_SORTS,
        empty=("employer_cost",),
    ),
    "voucher": Kind(
        ("id", "natural_class", "amount", "currency", "description"),
        ("supplier", "service_category", "service_name", "resource", "resource_type", "department"),
        OUR_SORTS,
        ("period", "start"),
        ("end",),
    ),
    "depreciation": Kind(
        ("asset", "resource", "cost", "life_months", "in_service", "currency"),
        ("service_category", "department"),
        OUR_SORTS,
        empty=("salvage", "method"),
    ),
    "rates": Kind(("date", "from", "to", "rate", "source"), (), OUR_SORTS),
    "storage": Kind(
        ("bucket", "purpose", "start", "end"),
        ("customer", "source", "id", "description"),
        OUR_SORTS,
        ("bytes", "byte_seconds"),
    ),
    "machine-time": Kind(
        ("id", "node", "purpose", "start", "end"),
        ("seconds", "source", "customer", "description"),
        OUR_SORTS,
    ),
    "usage": Kind(
        ("id", "provider", "model", "customer", "purpose", "start", "end"),
        (
            "source", "project", "endpoint", "region", "outcome", "service_tier", "told_cost",
            "told_currency", "end_user", *COUNT_COLUMNS, "request_bytes", "response_bytes", "status",
        ),
        OUR_SORTS,
    ),
}  # fmt: skip
"""Kinds of rows that a mapping may produce, with the columns that it may and must fill."""
