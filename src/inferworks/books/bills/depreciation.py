"""Registers of assets in CSV: an asset becomes one charge for each month of its life.

    asset,number,resource,cost,salvage,life_months,method,in_service,currency,department,disposed,proceeds
    GPU server 3,4711,gpu-3,240000.00,24000.00,60,straight-line,2026-11-01,USD,,,
    Switch 1,4712,switch-1,9000.00,0,36,declining,2026-11-15,USD,operations,2027-03-10,4000.00

A month runs from the day of `in_service` to the same day of the next month (or its last day, where it has
no such day), so an asset of 60 months has 60 charges wherever in a month it began. They sum to cost less
salvage, to the last picounit.

- `straight-line`: equal parts, by largest remainder.
- `declining`: the double-declining balance. Each month takes 2 / life_months of what is not yet written
  off (salvage included), at least an equal part of what is left to write off, and never goes below the
  salvage value; so it becomes straight-line where that is more.

Later rows about an asset that is in the books: `bills/assets.py`.

The purchase itself is an asset and not a cost of its month: do not import its invoice as well.
Source for the methods: ASC 360-10-35-4 (systematic and rational), IAS 16.62.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from inferworks.books.allocation.departments import SHIPPED, Departments
from inferworks.books.bills.assets import (
    FIXED_ASSETS,
    Asset,
    Method,
    Terms,
    booked_assets,
    matched,
    planned,
)
from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    finished,
    read_rows,
    refuse,
    require_columns,
)
from inferworks.books.bills.whose import DEPARTMENT, department_in
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, RateRow, Rates
from inferworks.errors import BillError

_COLUMNS = (
    "asset", "resource", "cost", "salvage", "life_months", "method", "in_service", "currency",
)  # fmt: skip
_READ = (
    *_COLUMNS, "number", "service_category", DEPARTMENT, "disposed", "proceeds", "changed",
)  # fmt: skip
_LONGEST_LIFE = 1200
_EPOCH = dt.date(1970, 1, 1)
_LAST_START_NS = 47_482 * DAY_NS  # 2100-01-01


class _Beside(NamedTuple):
    """Values that the rows of a register are read with."""

    currency: str
    rates: Rates
    departments: Departments


class KnownAssets(NamedTuple):
    """The books that a register is read beside."""

    charges: Iterable[Charge]
    open_ns: int | None
    """Start of the open time; None when nothing is closed."""
    say: Callable[[str], None]
    """Called with a note on each asset that changes."""


_NOTHING_BOOKED = KnownAssets((), None, lambda _: None)


class DepreciationReader:
    """Reads the registers of assets of a company with `departments`."""

    kind = "depreciation"

    def __init__(self, departments: Departments = SHIPPED) -> None:
        self._departments = departments

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the header is that of a register of assets."""
        return {"asset", "salvage", "life_months"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, one per asset and month; BillError with every bad cell."""
        return self.read_beside(_NOTHING_BOOKED, bill, currency, progress, rates)

    def read_beside(
        self,
        known: KnownAssets,
        bill: BillFile,
        currency: str,
        progress: Progress,
        rates: Rates = NO_RATES,
    ) -> tuple[Charge, ...]:
        """Read beside the assets `known`: return their lines, and those that change them.

        BillError also where a change cannot be meant.
        """
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        beside = _Beside(currency, rates, self._departments)
        rows: list[tuple[Asset, Cells]] = []
        for cells in read_rows(bill, problems, progress):
            good_before = len(problems)
            asset = _asset(bill, cells, beside)
            if asset.number is not None and any(one.number == asset.number for one, _ in rows):
                cells.note("number", "stands in the file already; an asset has a number of its own")
            if len(problems) == good_before:
                rows.append((asset, cells))
        refuse(problems)
        lines: list[Charge] = []
        assets, booked = [asset for asset, _ in rows], booked_assets(known.charges)
        for (_, cells), (asset, invoice, twin) in zip(rows, matched(assets, booked), strict=True):
            try:
                found = planned(asset, invoice, twin, known.open_ns)
            except BillError as error:
                cells.note("asset", str(error))
                continue
            if found.note:
                known.say(found.note)
            lines += found.lines
        return finished(self.kind, lines, problems, "currency", currency, rates)


def _asset(bill: BillFile, cells: Cells, beside: _Beside) -> Asset:
    """The asset of a row; its problems are noted."""
    start_ns, currency = _day_ns(cells, "in_service"), cells.text("currency")
    cost_pico, salvage_pico = cells.amount_pico("cost"), cells.amount_pico("salvage")
    months = cells.whole("life_months")
    if cells.optional("life_months") and not 0 < months <= _LONGEST_LIFE:
        cells.note("life_months", f"must be a whole number from 1 to {_LONGEST_LIFE}")
        months = 0
    terms = Terms(
        cost_pico=cost_pico,
        salvage_pico=salvage_pico,
        months=months,
        method=cells.choice("method", Method, Method.STRAIGHT_LINE),
        disposed_ns=_later_ns(cells, "disposed", start_ns),
        proceeds_pico=cells.optional_pico("proceeds") or 0,
    )
    if not 0 <= terms.salvage_pico <= terms.cost_pico:
        cells.note("salvage", "must lie between zero and the cost")
    if terms.proceeds_pico and terms.disposed_ns is None:
        cells.note("proceeds", "give the day it was disposed of, too")
    if terms.proceeds_pico < 0:
        cells.note("proceeds", "must not be negative")
    sold_ns = terms.disposed_ns if terms.proceeds_pico else None
    return Asset(
        line=_line(bill, cells, start_ns, beside),
        name=cells.text("asset"),
        number=cells.optional("number"),
        terms=terms,
        rate=_rate(cells, currency, start_ns, beside),
        proceeds_rate=None if sold_ns is None else _rate(cells, currency, sold_ns, beside),
        changed_ns=_later_ns(cells, "changed", start_ns),
    )


def _line(bill: BillFile, cells: Cells, start_ns: int, beside: _Beside) -> Charge:
    """Return the charge with the fields common to the charges of the row."""
    department, resource = department_in(cells, beside.departments), cells.optional("resource")
    if resource is None and not cells.optional(DEPARTMENT):
        cells.note("resource", "name the node or what else the asset is, or its department")
    asset = cells.optional("asset") or ""
    return Charge(
        id=ChargeId(""),
        issuer=FIXED_ASSETS,
        invoice=asset,
        line="",
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider=FIXED_ASSETS,
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
        amount_pico=0,
        effective_pico=None,
        currency=beside.currency,
        quantity=None,
        unit=None,
        other=cells.unread(_READ),
        department=department,
    )


def _rate(cells: Cells, currency: str, at_ns: int, beside: _Beside) -> RateRow | None:
    """The rate of the day of `at_ns`; None in the currency of the books, and noted where there is none."""
    if not currency or currency == beside.currency:
        return None
    day = _EPOCH + dt.timedelta(days=at_ns // DAY_NS)
    row = beside.rates.on(day, currency, beside.currency)
    if row is None:
        cells.note(
            "currency",
            f"the books are kept in {beside.currency} and there is no rate from {currency} for {day}; "
            "import one first (columns date, from, to, rate, source)",
        )
    return row


def _later_ns(cells: Cells, column: str, start_ns: int) -> int | None:
    """The optional day in `column`, which must come after the first day of service."""
    if cells.optional(column) is None:
        return None
    day_ns = _day_ns(cells, column)
    if day_ns <= start_ns:
        cells.note(column, "must be after in_service")
    return day_ns


def _day_ns(cells: Cells, column: str) -> int:
    day_ns = cells.moment_ns(column)
    if day_ns % DAY_NS or not 0 <= day_ns <= _LAST_START_NS:
        cells.note(column, "must be a day between 1970 and 2100, such as 2026-11-21")
    return day_ns
