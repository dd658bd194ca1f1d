"""Manual vouchers in CSV: costs without a bill, payroll or schedule.

    id,period,natural_class,amount,currency,description,department,supplier,service_category,resource
    V-2026-017,2026-11,colocation,4200.00,USD,Cage in hall 2,,Hall Two Ltd,Compute,gpu-3
    V-2026-018,2026-11,other,3100.00,USD,Office rent,office,Landlord Ltd,,

`period` is a month (2026-11) or a day (2026-11-21); for any other span give `start` and `end` instead.
`id` is the permanent name of the voucher. A voucher states its bearer: by its `department`, by the
`resource` that it serves, or by a `service_category` whose pool is divided by use (these and
`service_name` are FOCUS's, and decide the cost pool as on a bill). One without is refused: it would be
cost of revenue by accident.

`amount` is without tax; `tax` comes on top, as a line of its own, and `tax_name` names the tax.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import msgspec

from inferworks.books.accounting.tax import TAX, TAX_NAME
from inferworks.books.allocation.departments import SHIPPED, Department, Departments
from inferworks.books.allocation.pools import default_pools
from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    finished,
    read_rows,
    require_columns,
)
from inferworks.books.bills.whose import DEPARTMENT, department_in
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.charge import VOUCHERS, Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.units import NS_PER_SECOND

_COLUMNS = ("id", "natural_class", "amount", "currency", "description")
_TIMES = ("period", "start", "end")
_HINTS = ("supplier", "service_category", "service_name", "resource", "resource_type")
_READ = (*_COLUMNS, *_TIMES, *_HINTS, DEPARTMENT, "tax", "tax_name")
_OTHER = "Other"
_PERIOD = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?")
_DAY_NS = 86_400 * NS_PER_SECOND


class VoucherReader:
    """Reads the manual vouchers of a company with `departments`."""

    kind = "voucher"

    def __init__(self, departments: Departments = SHIPPED) -> None:
        self._departments = departments

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the header is that of vouchers."""
        return {"id", "natural_class", "amount"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges: list[Charge] = []
        for cells in read_rows(bill, problems, progress):
            net = _charge(bill, cells, self._departments)
            charges.append(net)
            tax_pico, name = cells.optional_pico("tax"), cells.optional("tax_name")
            if tax_pico:
                tax = msgspec.structs.replace(
                    net,
                    line=f"{net.line}/tax",
                    description=f"{name or 'tax'} on {net.description}",
                    charge_category=TAX,
                    amount_pico=tax_pico,
                    other=(*net.other, *([(TAX_NAME, name)] if name else [])),
                )
                charges.append(tax)
        seen: dict[str, int] = {}
        for charge in charges:
            row = seen.setdefault(charge.line, charge.row)
            if row != charge.row and charge.line:
                reason = f"stands in {row} already; a voucher has an id of its own"
                problems.append(Problem(charge.file, charge.row, "id", charge.line, reason))
        return finished(self.kind, charges, problems, "currency", currency, rates)


def _charge(bill: BillFile, cells: Cells, departments: Departments) -> Charge:
    start_ns, end_ns = _period(cells)
    cells.text("natural_class")
    bearer, category = cells.first(DEPARTMENT, "resource"), cells.optional("service_category")
    if bearer is None and category not in _divided():
        cells.note(
            DEPARTMENT,
            f"say what it is for: a department ({', '.join(Department)}), the resource that it serves, "
            f"or a service_category that is divided by use ({', '.join(sorted(_divided()))})",
        )
    return Charge(
        id=ChargeId(""),
        issuer=VOUCHERS,
        invoice=VOUCHERS,
        line=cells.text("id"),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider=cells.optional("supplier") or VOUCHERS,
        service_category=category or _OTHER,
        service_name=cells.optional("service_name") or "",
        resource_id=cells.optional("resource"),
        resource_type=cells.optional("resource_type"),
        description=cells.text("description"),
        natural_class=cells.choice("natural_class", NaturalClass, NaturalClass.OTHER),
        charge_category="Adjustment",
        charge_class=None,
        period_start_ns=start_ns,
        period_end_ns=end_ns,
        amount_pico=cells.amount_pico("amount"),
        effective_pico=None,
        currency=cells.text("currency"),
        quantity=None,
        unit=None,
        other=cells.unread(_READ),
        department=department_in(cells, departments),
    )


@cache
def _divided() -> frozenset[str]:
    """The service categories that a pool divides by what is measured."""
    conditions = (when for pool in default_pools() for when in pool.conditions)
    return frozenset(name for when in conditions for name in when.service_category)


def _period(cells: Cells) -> tuple[int, int]:
    """The span a voucher is for: its month or day, or from `start` to `end`."""
    text = cells.optional("period")
    if text is None:
        return cells.period_ns("start", "end")
    if cells.first("start", "end"):
        cells.note("period", "give either the period or start and end")
    match = _PERIOD.fullmatch(text)
    with suppress(ValueError):
        if match is not None:
            first = dt.date(int(match[1]), int(match[2]), int(match[3] or 1))
            days = 1 if match[3] else calendar.monthrange(first.year, first.month)[1]
            start_ns = parse_moment_ns(first.isoformat())
            return start_ns, start_ns + days * _DAY_NS
    cells.note("period", "not a month or a day; write 2026-11 or 2026-11-21")
    return 0, 0
