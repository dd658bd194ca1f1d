"""Depreciation schedules in CSV: what was bought to last becomes one charge a month of its life.

    asset,resource,cost,salvage,life_months,method,in_service,currency
    GPU server 3,gpu-3,240000.00,24000.00,60,straight-line,2026-11-01,USD
    Switch 1,switch-1,9000.00,0,36,declining,2026-11-15,USD

A month runs from the day of `in_service` to the same day of the next month (or its last day, where it has
no such day), so an asset of 60 months has 60 charges wherever in a month it began. They sum to cost less
salvage, to the last picounit.

- `straight-line`: equal parts, by largest remainder.
- `declining`: the double-declining balance. Each month takes 2 / life_months of what is not yet written
  off (salvage included), at least an equal part of what is left to write off, and never goes below the
  salvage value; so it becomes straight-line where that is more.

The purchase itself is an asset and not a cost of its month: do not import its invoice as well.
Source for the methods: ASC 360-10-35-4 (systematic and rational), IAS 16.62.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    finished,
    read_rows,
    require_columns,
)
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.money import split
from inferworks.units import NS_PER_SECOND

_COLUMNS = (
    "asset", "resource", "cost", "salvage", "life_months", "method", "in_service", "currency",
)  # fmt: skip
_READ = (*_COLUMNS, "service_category")
_LONGEST_LIFE = 1200
_EPOCH = dt.date(1970, 1, 1)
_DAY_NS = 86_400 * NS_PER_SECOND
_LAST_START_NS = 4_102_444_800 * NS_PER_SECOND  # 2100-01-01


class Method(StrEnum):
    """How the cost of an asset is spread over its life."""

    STRAIGHT_LINE = "straight-line"
    DECLINING = "declining"


class DepreciationReader:
    """Reads depreciation schedules."""

    kind = "depreciation"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header is that of a depreciation schedule."""
        return {"asset", "salvage", "life_months"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, one per asset and month; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges = [
            charge
            for cells in read_rows(bill, problems, progress)
            for charge in _months(_first_month(bill, cells), cells, problems)
        ]
        return finished(charges, problems, "currency", currency, rates)


def straight_line(depreciable_pico: int, months: int) -> list[int]:
    """`depreciable_pico` in equal monthly parts that sum to it."""
    parts = split(depreciable_pico, dict.fromkeys(range(months), 1))
    return [parts[month] for month in range(months)]


def declining(cost_pico: int, salvage_pico: int, months: int) -> list[int]:
    """The double-declining balance of an asset, month by month; the parts sum to cost less salvage."""
    left_pico, parts = cost_pico - salvage_pico, []
    for to_come in range(months, 0, -1):
        accelerated_pico = 2 * (left_pico + salvage_pico) // months
        equal_pico = -(-left_pico // to_come)
        parts.append(min(left_pico, max(accelerated_pico, equal_pico)))
        left_pico -= parts[-1]
    return parts


def _months(first: Charge, cells: Cells, problems: Sequence[Problem]) -> Iterator[Charge]:
    """The charges of every month, given the `first`, which carries the cost; none when it is bad."""
    good_before = len(problems)
    cost_pico, salvage_pico = first.amount_pico, cells.amount_pico("salvage")
    months = _life(cells)
    method = cells.choice("method", Method, Method.STRAIGHT_LINE)
    if not 0 <= salvage_pico <= cost_pico:
        cells.note("salvage", "must lie between zero and the cost")
    if len(problems) > good_before or not months:
        return
    if method is Method.DECLINING:
        parts = declining(cost_pico, salvage_pico, months)
    else:
        parts = straight_line(cost_pico - salvage_pico, months)
    starts = [_month_ns(first.period_start_ns, month) for month in range(months + 1)]
    for month, amount_pico in enumerate(parts):
        yield msgspec.structs.replace(
            first,
            line=f"month {month + 1} of {months}",
            amount_pico=amount_pico,
            period_start_ns=starts[month],
            period_end_ns=starts[month + 1],
        )


def _first_month(bill: BillFile, cells: Cells) -> Charge:
    start_ns = cells.moment_ns("in_service")
    if start_ns % _DAY_NS or not 0 <= start_ns <= _LAST_START_NS:
        cells.note("in_service", "must be a day between 1970 and 2100, such as 2026-11-21")
    asset, resource = cells.text("asset"), cells.text("resource")
    return Charge(
        id=ChargeId(""),
        issuer="fixed assets",
        invoice=asset,
        line="",
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider="fixed assets",
        service_category=cells.optional("service_category") or "Compute",
        service_name="Depreciation",
        resource_id=resource,
        resource_type=None,
        description=f"{asset}, depreciation",
        natural_class=NaturalClass.DEPRECIATION,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=start_ns,
        period_end_ns=start_ns + 1,
        amount_pico=cells.amount_pico("cost"),
        effective_pico=None,
        currency=cells.text("currency"),
        quantity=None,
        unit=None,
        other=cells.unread(_READ),
    )


def _life(cells: Cells) -> int:
    months = cells.whole("life_months")
    if cells.optional("life_months") and not 0 < months <= _LONGEST_LIFE:
        cells.note("life_months", f"must be a whole number from 1 to {_LONGEST_LIFE}")
        return 0
    return months


def _month_ns(start_ns: int, months: int) -> int:
    """The moment `months` months after the day that begins at `start_ns`."""
    day = _EPOCH + dt.timedelta(days=start_ns // _DAY_NS)
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return (dt.date(year, month + 1, min(day.day, last)) - _EPOCH).days * _DAY_NS
