"""Bills in FOCUS, CSV or Parquet, versions 1.0 to 1.4 (https://focus.finops.org).

Columns are found by name, so a version that lacks one leaves its field empty, and a column we have no
field for is kept under its own name (the AllocatedMethod* columns of 1.3 among them). Neither the version
nor the order of columns matters. Who issued the bill and who provided the service changed its name:
InvoiceIssuerName stayed; ProviderName and PublisherName of 1.0 became ServiceProviderName and
HostProviderName in 1.3.

Which cost. The books take **BilledCost**: what the invoice says is owed. It counts a commitment once. The
line that buys it (ChargeCategory Purchase) carries the money; the usage it covers and what it leaves
unused are billed at zero. EffectiveCost spreads the same money over the usage instead; adding both, or
taking one here and the other there, would count it twice. It is kept beside the amount for comparison. A
purchase whose charge period is the whole term is spread over it, as any charge that is longer than a
statement. Credits, refunds and corrections are negative lines like any other; nothing is clamped.

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
    finished,
    read_rows,
    require_columns,
)
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates

_REQUIRED = (
    "BilledCost",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_LINE_NAMES = ("x_LineId", "Id")
_ISSUERS = ("InvoiceIssuerName", "ServiceProviderName", "ProviderName")
_PROVIDERS = (
    "ServiceProviderName",
    "ProviderName",
    "PublisherName",
    "HostProviderName",
    "InvoiceIssuerName",
)
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
_ABOUT_SPLIT = ("AllocatedMethodId", "AllocatedResourceId")
"""What tells the rows of one split resource apart, since 1.3."""
_READ = frozenset(
    {
        *_REQUIRED,
        "InvoiceId",
        "InvoiceIssuerName",
        "ServiceCategory",
        "ServiceName",
        "ResourceId",
        "ResourceType",
        "RegionId",
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
    """Reads FOCUS."""

    kind = "focus"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header has what every FOCUS bill must have."""
        return {"BilledCost", "ChargePeriodStart"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _REQUIRED)
        problems: list[Problem] = []
        charges = [_charge(bill, cells) for cells in read_rows(bill, problems, progress)]
        return finished(charges, problems, "BillingCurrency", currency, rates)


def _charge(bill: BillFile, cells: Cells) -> Charge:
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
        currency=cells.text("BillingCurrency"),
        quantity=cells.optional("ConsumedQuantity"),
        unit=cells.optional("ConsumedUnit"),
        other=cells.unread(_READ),
        region_id=cells.optional("RegionId"),
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
    name = cells.first(*_LINE_NAMES)
    if name is not None:
        return name
    split = [cells.optional(column) for column in _ABOUT_SPLIT]
    about = [cells.optional(column) for column in _ABOUT]
    return fingerprint([*about, *split] if any(split) else about)


def _natural_class(cells: Cells) -> NaturalClass:
    category = cells.optional("ServiceCategory") or "Other"
    usual = _NATURAL_CLASS.get(category, NaturalClass.PURCHASED_COMPUTE)
    return cells.choice("x_NaturalClass", NaturalClass, usual)
