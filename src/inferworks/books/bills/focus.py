"""Bills in FOCUS, CSV or Parquet, versions 1.0 to 1.4 (https://focus.finops.org).

Columns are found by name, so a version that lacks one leaves its field empty, and a column we have no
field for is kept under its own name (the AllocatedMethod* columns of 1.3 among them). Neither the version
nor the order of columns matters. Who issued the bill and who provided the service changed its name:
InvoiceIssuerName stayed; ProviderName and PublisherName of 1.0 became ServiceProviderName and
HostProviderName in 1.3.

Which cost. A line has two: BilledCost, what the invoice says is owed, and EffectiveCost, the same with
commitments spread over their use. Both are kept; `books/basis.py` says which of them counts when. A
purchase whose charge period is the whole term is spread over it, as any charge that is longer than a
statement. Credits, refunds and corrections are negative lines like any other; nothing is clamped.

FOCUS has no column that names a line. Where a bill adds one (`x_LineId`, or the `Id` of the published
sample) it is part of what the line is about. When two lines are alike: `deliveries.canonical`.

`x_Department` names whose cost a line is; so may a tag, by a key in `books.department_tags`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    converting,
    header_of,
    read_rows,
    require_columns,
)
from inferworks.books.bills.whose import department_in, known_department
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.books.deliveries.canonical import FOCUS, billing_day, numbered
from inferworks.books.departments import SHIPPED, Departments, tags_of
from inferworks.books.formula import restored

_REQUIRED = (
    "BilledCost",
    "BillingCurrency",
    "ChargePeriodStart",
    "ChargePeriodEnd",
)
_OURS = frozenset({"x_RevenueItem", "x_ChargeId"})
"""Columns that only a bill of our own has: what is no formula there is read back (`formula`)."""
_DEPARTMENT = "x_Department"
_LINE_NAMES = ("x_LineId", "Id")
_ISSUERS = ("InvoiceIssuerName", "ServiceProviderName", "ProviderName")
_PROVIDERS = (
    "ServiceProviderName",
    "ProviderName",
    "PublisherName",
    "HostProviderName",
    "InvoiceIssuerName",
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
        "RegionId",
        "ChargeDescription",
        "ChargeCategory",
        "ChargeClass",
        "EffectiveCost",
        "ConsumedQuantity",
        "ConsumedUnit",
        "x_NaturalClass",
        _DEPARTMENT,
    }
)
_NATURAL_CLASS = {"Networking": NaturalClass.NETWORK, "Other": NaturalClass.OTHER}
"""What a service category buys, where it is not purchased compute; `x_NaturalClass` overrules it."""


class FocusBillReader:
    """Reads FOCUS, for a house with `departments`."""

    kind = FOCUS

    def __init__(self, departments: Departments = SHIPPED) -> None:
        self._departments = departments

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header has what every FOCUS bill must have."""
        return {"BilledCost", "ChargePeriodStart"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        return numbered(self.kind, tuple(self.lines(bill, currency, progress, rates)))

    def lines(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> Iterator[Charge]:
        """The charges of `bill`, one by one; BillError with every bad cell after the last."""
        require_columns(bill, _REQUIRED)
        problems: list[Problem] = []
        rows = read_rows(bill, problems, progress)
        if bill.is_text and not _OURS.isdisjoint(header_of(bill)):
            rows = map(_restored, rows)
        charges = (_charge(bill, cells, self._departments) for cells in rows)
        yield from converting(charges, problems, "BillingCurrency", currency, rates)


def _restored(cells: Cells) -> Cells:
    cells.row = {name: restored(text) for name, text in cells.row.items()}
    return cells


def _charge(bill: BillFile, cells: Cells, departments: Departments) -> Charge:
    start_ns, end_ns = cells.period_ns("ChargePeriodStart", "ChargePeriodEnd")
    issuer, amount = cells.first(*_ISSUERS), cells.money("BilledCost")
    if issuer is None:
        cells.note(_ISSUERS[0], "must not be empty: it says whom we owe")
    return Charge(
        id=ChargeId(""),
        issuer=issuer or "",
        invoice=_invoice(cells, start_ns),
        line=cells.first(*_LINE_NAMES) or "",
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
        amount_pico=amount.pico,
        effective_pico=cells.optional_money_pico("EffectiveCost"),
        currency=cells.text("BillingCurrency"),
        quantity=cells.optional("ConsumedQuantity"),
        unit=cells.optional("ConsumedUnit"),
        other=cells.unread(_READ),
        region_id=cells.optional("RegionId"),
        department=_department(cells, departments),
        exact=amount.exact,
    )


def _department(cells: Cells, departments: Departments) -> str | None:
    """The department in the bill's own column. One that a tag names stays there, and is only looked at."""
    tags = tags_of(cells.row.get("Tags", "")) if departments.tags else {}
    tagged = next((tags[key] for key in departments.tags if tags.get(key)), None)
    if tagged is not None:
        known_department(cells, "Tags", tagged, departments)
    return department_in(cells, departments, _DEPARTMENT)


def _invoice(cells: Cells, start_ns: int) -> str:
    """The invoice's id; before it is issued, the account and the month it will be for."""
    number = cells.optional("InvoiceId")
    if number:
        return number
    account = cells.optional("BillingAccountId") or ""
    return f"{account}/{billing_day(cells.optional('BillingPeriodStart') or '', start_ns)}"


def _natural_class(cells: Cells) -> NaturalClass:
    category = cells.optional("ServiceCategory") or "Other"
    usual = _NATURAL_CLASS.get(category, NaturalClass.PURCHASED_COMPUTE)
    return cells.choice("x_NaturalClass", NaturalClass, usual)
