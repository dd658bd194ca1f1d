"""Bills in FOCUS CSV, version 1.0 and later (https://focus.finops.org).

Columns are found by name, so a version that lacks one leaves its field empty, and a column we have no
field for is kept under its own name. Neither the version nor the order of columns matters.

FOCUS has no column that names a line. Where a bill adds one (`x_LineId`, or the `Id` of the published
sample) it is used; else a line is named by what it is about: its account, period, service, price and
resource, not its amount. So the same line with another amount is recognised as such wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    fingerprint,
    numbered,
    read_rows,
    refuse,
    require_columns,
)
from inferworks.books.charge import Charge, ChargeId, NaturalClass

_REQUIRED = (
    "BilledCost",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_LINE_NAMES = ("x_LineId", "Id")
_ISSUERS = ("InvoiceIssuerName", "ServiceProviderName", "ProviderName")
_PROVIDERS = ("ServiceProviderName", "ProviderName", "PublisherName", "InvoiceIssuerName")
_ABOUT = (
    "BillingAccountId",
    "SubAccountId",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeFrequency",
    "ChargeDescription",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "PricingCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountStatus",
    "RegionId",
    "AvailabilityZone",
    "ResourceId",
    "ConsumedUnit",
    "PricingUnit",
    "PrincipalId",
    "CredentialId",
)
_READ = frozenset(
    {
        *_REQUIRED,
        "InvoiceId",
        "InvoiceIssuerName",
        "ServiceCategory",
        "ServiceName",
        "ResourceId",
        "ResourceType",
        "ChargeDescription",
        "ChargeCategory",
        "ChargeClass",
        "EffectiveCost",
        "ConsumedQuantity",
        "ConsumedUnit",
        "x_NaturalClass",
    }
)
_NATURAL_CLASS = {"Networking": NaturalClass.NETWORK, "Other": NaturalClass.OTHER}
"""What a service category buys, where it is not purchased compute; `x_NaturalClass` overrules it."""


class FocusBillReader:
    """Reads FOCUS CSV."""

    kind = "focus"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header has what every FOCUS bill must have."""
        return {"BilledCost", "ChargePeriodStart"} <= set(header)

    def read(self, bill: BillFile, currency: str, progress: Progress) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _REQUIRED)
        problems: list[Problem] = []
        charges = [_charge(bill, cells, currency) for cells in read_rows(bill, problems, progress)]
        refuse(problems)
        return numbered(charges)


def _charge(bill: BillFile, cells: Cells, currency: str) -> Charge:
    start_ns, end_ns = cells.period_ns("ChargePeriodStart", "ChargePeriodEnd")
    issuer = cells.first(*_ISSUERS)
    if issuer is None:
        cells.note(_ISSUERS[0], "must not be empty: it says whom we owe")
    return Charge(
        id=ChargeId(""),
        issuer=issuer or "",
        invoice=_invoice(cells),
        line=_line(cells),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider=cells.first(*_PROVIDERS) or "",
        service_category=cells.optional("ServiceCategory") or "Other",
        service_name=cells.optional("ServiceName") or "",
        resource_id=cells.optional("ResourceId"),
        resource_type=cells.optional("ResourceType"),
        description=cells.optional("ChargeDescription") or "",
        natural_class=_natural_class(cells),
        charge_category=cells.optional("ChargeCategory") or "Usage",
        charge_class=cells.optional("ChargeClass"),
        period_start_ns=start_ns,
        period_end_ns=end_ns,
        amount_pico=cells.amount_pico("BilledCost"),
        effective_pico=cells.optional_pico("EffectiveCost"),
        currency=cells.currency("BillingCurrency", currency),
        quantity=cells.optional("ConsumedQuantity"),
        unit=cells.optional("ConsumedUnit"),
        other=_other(cells),
    )


def _invoice(cells: Cells) -> str:
    """The invoice's id; before it is issued, the account and the month it will be for."""
    number = cells.optional("InvoiceId")
    if number:
        return number
    account = cells.optional("BillingAccountId") or ""
    month = (cells.optional("BillingPeriodStart") or "")[:10]
    return f"{account}/{month}"


def _line(cells: Cells) -> str:
    return cells.first(*_LINE_NAMES) or fingerprint([cells.optional(name) for name in _ABOUT])


def _natural_class(cells: Cells) -> NaturalClass:
    stated = cells.optional("x_NaturalClass")
    if stated is None:
        category = cells.optional("ServiceCategory") or "Other"
        return _NATURAL_CLASS.get(category, NaturalClass.PURCHASED_COMPUTE)
    if stated not in set(NaturalClass):
        cells.note("x_NaturalClass", f"must be one of {', '.join(NaturalClass)}")
        return NaturalClass.OTHER
    return NaturalClass(stated)


def _other(cells: Cells) -> tuple[tuple[str, str], ...]:
    unread = sorted(name for name in cells.row if name not in _READ)
    return tuple((name, text) for name in unread if (text := cells.optional(name)))
