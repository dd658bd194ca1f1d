"""FOCUS export: the bills of our customers, and our suppliers' bills as allocated.

Problem. Our customers have cost tools of their own, and those read FOCUS (https://focus.finops.org). An
auditor wants our suppliers' allocated charges in a standard form.

Decision. Two datasets of one shape, the columns of FOCUS 1.2 and 1.3 in alphabetical order, each as CSV
and, where the extra `parquet` is installed, as Parquet. `customers`: we are the issuer; a row for each
customer, project, key, SKU and price in each month. `suppliers`: a row for each part of a charge, as an
allocated charge of FOCUS 1.3; a charge's rows sum to it and their ratios sum to 1. Values without a FOCUS
column stand in columns with the prefix `x_`.

    ListCost = ListUnitPrice x PricingQuantity, exactly, wherever a unit price is given

A price that depends on other use of the month (a tier, a package) has no unit price; then its columns are
empty and only the amount is given. We have no list prices beside those agreed, so list, contracted,
billed and effective cost of a customer's row are equal. Of a supplier's part only the billed cost is
known: its list and contracted cost repeat it, without a unit price.

Moments have no fraction of a second in FOCUS: a charge period is widened to whole seconds. `CredentialId`
and the token properties of `SkuPriceDetails` are those of the working draft after FOCUS 1.4.

Rejected. Rounding to cents (the rows would no longer sum to the bill); a unit price divided out of an
amount (it would not multiply back).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from inferworks.books.allocation.allocate import Allocated, Allocation
from inferworks.books.calendar.months import DAY_NS, day_of, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.tables import Column, Kind, Row, Rows, Table, Value
from inferworks.books.exports.tabular import csv_file, parquet_file
from inferworks.books.exports.values import decimal_text, second_above, second_below
from inferworks.books.revenue.rating import Item, Rated
from inferworks.catalog.units import BILLABLE
from inferworks.extras import is_installed
from inferworks.money import PICO, split

_DECIMALS = (
    "BilledCost",
    "CommitmentDiscountQuantity",
    "ConsumedQuantity",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
)
_MOMENTS = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
_TEXTS = (
    # FOCUS 1.3 adds these
    "AllocatedMethodDetails",
    "AllocatedMethodId",
    "AllocatedResourceId",
    "AllocatedResourceName",
    "AllocatedTags",
    "ContractApplied",
    "HostProviderName",
    "ServiceProviderName",
    # FOCUS 1.2
    "AvailabilityZone",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "CapacityReservationId",
    "CapacityReservationStatus",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "CommitmentDiscountUnit",
    "ConsumedUnit",
    "InvoiceId",
    "InvoiceIssuerName",
    "PricingCategory",
    "PricingCurrency",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    # the working draft
    "CredentialId",
)
COLUMNS = tuple(
    sorted(
        (
            *(Column(name, Kind.DECIMAL) for name in _DECIMALS),
            *(Column(name, Kind.SECOND) for name in _MOMENTS),
            *map(Column, _TEXTS),
        )
    )
)
"""The columns that both datasets share."""

_CUSTOMER_X = (Column("x_Purpose"), Column("x_RevenueItem"))
_SUPPLIER_X = tuple(
    Column(f"x_{name}")
    for name in (
        "ChargeId",
        "Pool",
        "NaturalClass",
        "Function",
        "Use",
        "CustomerId",
        "ProjectId",
        "ModelId",
        "TokenDirection",
    )
)


class FocusExporter:
    """Our customers' bills and our suppliers' charges, divided, as FOCUS 1.2 and 1.3 have them."""

    name = "focus"
    about = "customers' bills and allocated supplier charges as FOCUS CSV and Parquet"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """Each dataset in both forms."""
        tables = (customers(books), suppliers(books))
        forms = (csv_file, parquet_file) if is_installed("pyarrow") else (csv_file,)
        return [make(table) for table in tables for make in forms]


def customers(books: Books) -> Table:
    """The charges of our customers; their billed cost sums to the statement's revenue."""
    statement = books.statement
    span = Span(statement.start_ns, statement.end_ns)
    sold = _sold(statement.revenue_rows, span)
    names = dict(statement.names)
    columns = (*COLUMNS, *_CUSTOMER_X)
    rows = (_customer_row(item, names, books.seller, statement.currency, span) for item in sold)
    return Table("customers", columns, tuple(_row(columns, row) for row in rows))


def suppliers(books: Books) -> Table:
    """The parts of our suppliers' charges; their billed cost sums to what was allocated."""
    columns = (*COLUMNS, *_SUPPLIER_X)
    made = Rows(
        lambda: (_row(columns, row) for item in books.each for row in _supplier_rows(item, books))
    )
    return Table("suppliers", columns, made)


def _row(columns: Sequence[Column], cells: dict[str, Value]) -> Row:
    """The cells in the order of `columns`; KeyError-like surprise when one has no column."""
    row = tuple(cells.pop(column.name, None) for column in columns)
    assert not cells, f"no such columns: {sorted(cells)}"
    return row


# --- customers


class _Category(NamedTuple):
    """Category of an amount in FOCUS's terms."""

    charge: str
    pricing: str | None
    frequency: str
    text: str


_CATEGORIES = {
    Item.USAGE: _Category("Usage", "Standard", "Usage-Based", "usage"),
    Item.SUBSCRIPTION: _Category("Purchase", "Standard", "Recurring", "Subscription"),
    Item.DISCOUNT: _Category("Credit", None, "One-Time", "Discount"),
    Item.MINIMUM: _Category("Adjustment", None, "One-Time", "Up to the minimum agreed"),
    Item.BREAKAGE: _Category("Adjustment", None, "One-Time", "Prepaid credit that expired unused"),
}


def _sold(rated: Iterable[Rated], span: Span) -> list[Rated]:
    """The amounts summed over the days of each month, in a fixed order; `day_ns` is the first of them.

    What was used before the span is a correction and stays apart, also within the month that the span
    begins in; what expires as the span ends is of its last month. A correction and what it reverses meet
    here; where nothing is left of them there is no row.
    """
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    alike: dict[tuple[str, ...], Rated] = {}
    for row in rated:
        first_ns = month_of(min(row.day_ns, span.end_ns - 1)).start_ns
        if day_of(row.day_ns) + DAY_NS > span.start_ns:
            first_ns = max(first_ns, span.start_ns)
        row = msgspec.structs.replace(row, day_ns=first_ns)
        key: tuple[str, ...] = (  # text only, so that any two compare
            row.customer,
            f"{row.day_ns:020d}",
            row.project,
            row.key_id,
            row.model,
            row.purpose.value,
            row.item.value,
            "" if row.unit is None else row.unit.value,
            row.plan_sha256,
            f"{row.effective_ns:020d}",
            "" if row.pico_per_unit is None else str(row.pico_per_unit),
        )
        alike.setdefault(key, row)
        sums[key][0] += row.quantity
        sums[key][1] += row.amount_pico
        sums[key][2] += row.owed_pico
    rows: list[Rated] = []
    for key in sorted(key for key in sums if any(sums[key])):
        quantity, amount_pico, owed_pico = sums[key]
        owed = alike[key].owed
        if owed is not None:
            owed = msgspec.structs.replace(owed, amount_pico=owed_pico)
        rows.append(
            msgspec.structs.replace(
                alike[key], quantity=quantity, amount_pico=amount_pico, owed=owed
            )
        )
    return rows


_SELLER = (
    *("InvoiceIssuerName", "ProviderName", "PublisherName", "ServiceProviderName"),
    "HostProviderName",
)


def _customer_row(
    row: Rated, names: Mapping[str, str], seller: str, currency: str, span: Span
) -> dict[str, Value]:
    # What was used before the span is booked in it as a correction: its charge period is what the month
    # has before the span, its billing period that of the span.
    month, late = month_of(row.day_ns), row.day_ns < span.start_ns
    period = Span(month.start_ns, min(month.end_ns, span.start_ns)) if late else span.meet(*month)
    category = _CATEGORIES[row.item]
    description, own_currency = category.text, dict[str, Value]()
    if row.unit is not None:
        meter = BILLABLE[row.unit].meter
        is_use = row.item is Item.USAGE
        description = f"{meter} of {row.model}" if is_use else f"{description} on {meter}"
    if row.owed is not None:
        own_currency["PricingCurrency"] = row.owed.currency
        own_currency["PricingCurrencyEffectiveCost"] = row.owed.amount_pico
    return {
        **_periods(currency, month_of(span.start_ns) if late else month, period, late),
        **_costs(row.amount_pico),
        **dict.fromkeys(_SELLER, seller),
        **(_metered(row) if row.unit is not None and row.item is Item.USAGE else {}),
        **own_currency,
        "BillingAccountId": row.customer,
        "BillingAccountName": names.get(row.customer, row.customer),
        "BillingAccountType": "Customer",
        "ChargeCategory": category.charge,
        "ChargeDescription": description,
        "ChargeFrequency": category.frequency,
        "CredentialId": row.key_id,
        "PricingCategory": category.pricing,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Inference",
        "ServiceSubcategory": "Generative AI",
        "SkuId": _sku(row),
        "SkuPriceId": f"{row.plan_sha256}/{_sku(row)}",
        "SubAccountId": row.project,
        "SubAccountName": row.project,
        "SubAccountType": "Project",
        "Tags": "{}",
        "x_Purpose": row.purpose.value,
        "x_RevenueItem": row.item.value,
    }


def _periods(currency: str, billed: Span, period: Span, late: bool) -> dict[str, Value]:
    return {
        "BillingCurrency": currency,
        "PricingCurrency": currency,
        "BillingPeriodStart": billed.start_ns,
        "BillingPeriodEnd": billed.end_ns,
        "ChargeClass": "Correction" if late else None,
        "ChargePeriodStart": second_below(period.start_ns),
        "ChargePeriodEnd": second_above(period.end_ns),
    }


def _costs(pico: int) -> dict[str, Value]:
    return dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), pico)


def _metered(row: Rated) -> dict[str, Value]:
    """Return the columns of quantity and unit price."""
    assert row.unit is not None
    unit = BILLABLE[row.unit]
    price = None if row.pico_per_unit is None else row.pico_per_unit * unit.per
    billed = price if row.owed is None else None  # a price in another currency has no one rate
    details = {
        "ModelId": str(row.model),
        "TokenCacheAction": unit.cache_action,
        "TokenDirection": row.direction,
    }
    return {
        **dict.fromkeys(("ListUnitPrice", "ContractedUnitPrice"), billed),
        **dict.fromkeys(_PRICING_CURRENCY, price),
        "ConsumedQuantity": row.quantity * PICO,
        "ConsumedUnit": unit.counts,
        "PricingQuantity": row.quantity * PICO // unit.per,
        "PricingUnit": unit.pricing_unit,
        "PricingCurrencyEffectiveCost": row.owed_pico,
        "SkuMeter": unit.meter,
        "SkuPriceDetails": _json(
            {name: text for name, text in details.items() if text is not None}
        ),
    }


_PRICING_CURRENCY = ("PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice")


def _sku(row: Rated) -> str:
    return f"{row.model}/{row.item.value if row.unit is None else row.unit.value}"


# --- suppliers


def _supplier_rows(item: Allocated, books: Books) -> Iterable[dict[str, Value]]:
    charge = item.charge
    weights = {number: abs(part.amount_pico) for number, part in enumerate(item.rows)}
    ratios = split(PICO, weights if any(weights.values()) else dict.fromkeys(weights, 1))
    period = Span(charge.period_start_ns, charge.period_end_ns)
    last_ns = max(period.start_ns, period.end_ns - 1)
    months = Span(month_of(period.start_ns).start_ns, month_of(last_ns).end_ns)
    taken_over: dict[str, Value] = {
        **_periods(charge.currency, months, period, late=False),
        **dict.fromkeys(("BillingAccountId", "BillingAccountName"), charge.issuer),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName"), charge.issuer),
        **dict.fromkeys(("PublisherName", "ServiceProviderName"), charge.provider),
        "HostProviderName": charge.provider,
        "BillingAccountType": "Supplier",
        "ChargeCategory": charge.charge_category,
        "ChargeClass": charge.charge_class,
        "ChargeDescription": charge.description or charge.service_name or charge.id,
        "ChargeFrequency": "Usage-Based" if charge.charge_category == "Usage" else "One-Time",
        "InvoiceId": charge.invoice,
        "ResourceId": charge.resource_id,
        "ResourceType": charge.resource_type,
        "ServiceCategory": charge.service_category,
        "ServiceName": charge.service_name,
        "Tags": "{}",
    }
    for number, part in enumerate(item.rows):
        yield {
            **taken_over,
            **_costs(part.amount_pico),
            **_part_cells(part, books),
            "AllocatedMethodDetails": (  # of FOCUS 1.3: the elements that the part was computed from
                f'{{"Elements":[{{"AllocatedRatio":{decimal_text(ratios[number])},'
                f'"UsageQuantity":{part.driver_quantity},"UsageUnit":{_json(part.driver_unit)}}}]}}'
            ),
        }


def _part_cells(part: Allocation, books: Books) -> dict[str, Value]:
    """Return the columns of a part: its recipient, and its labels in the books."""
    target = part.target
    tags = {
        "customer": target.customer,
        "key": target.key_id,
        "model": target.model,
        "project": target.project,
        "use": target.label,
    }
    return {
        "AllocatedMethodId": part.method,
        "AllocatedResourceId": target.customer or target.label,
        "AllocatedResourceName": target.customer or target.label,
        "AllocatedTags": _json(
            {name: str(text) for name, text in tags.items() if text is not None}
        ),
        "x_ChargeId": part.charge_id,
        "x_Pool": part.pool,
        "x_NaturalClass": part.natural_class.value,
        "x_Function": books.function_of(part).value,
        "x_Use": target.label,
        "x_CustomerId": target.customer,
        "x_ProjectId": target.project,
        "x_ModelId": target.model,
        "x_TokenDirection": target.direction,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
