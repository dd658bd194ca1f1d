"""Manual vouchers in CSV: costs that no bill, payroll or schedule brings.

    id,period,natural_class,amount,currency,description,supplier,service_category,service_name,resource
    V-2026-017,2026-11,colocation,4200.00,USD,Cage in hall 2,Hall Two Ltd,Compute,,gpu-3
    V-2026-018,2026-11-21,other,-35.00,USD,Refund of a deposit,,,,

`period` is a month (2026-11) or a day (2026-11-21); for any other span give `start` and `end` instead.
`id` names the voucher for ever. The columns from `supplier` on are optional and decide the cost pool, as
they do on a bill: `service_category`, `service_name` and `resource` are FOCUS's ServiceCategory,
ServiceName and ResourceId.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Sequence

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    finished,
    parse_moment_ns,
    read_rows,
    require_columns,
)
from inferworks.books.charge import Charge, ChargeId, NaturalClass
from inferworks.books.currency import NO_RATES, Rates
from inferworks.units import NS_PER_SECOND

_COLUMNS = ("id", "natural_class", "amount", "currency", "description")
_TIMES = ("period", "start", "end")
_HINTS = ("supplier", "service_category", "service_name", "resource", "resource_type")
_READ = (*_COLUMNS, *_TIMES, *_HINTS)
_PERIOD = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?")
_DAY_NS = 86_400 * NS_PER_SECOND


class VoucherReader:
    """Reads manual vouchers."""

    kind = "voucher"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header is that of vouchers."""
        return {"id", "natural_class", "amount"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges = [_charge(bill, cells) for cells in read_rows(bill, problems, progress)]
        _refuse_second(charges, problems)
        return finished(charges, problems, "currency", currency, rates)


def _charge(bill: BillFile, cells: Cells) -> Charge:
    start_ns, end_ns = _period(cells)
    cells.text("natural_class")
    return Charge(
        id=ChargeId(""),
        issuer="vouchers",
        invoice="vouchers",
        line=cells.text("id"),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider=cells.optional("supplier") or "vouchers",
        service_category=cells.optional("service_category") or "Other",
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
    )


def _period(cells: Cells) -> tuple[int, int]:
    """The span a voucher is for: its month or day, or from `start` to `end`."""
    text = cells.optional("period")
    if text is None:
        return cells.period_ns("start", "end")
    if cells.first("start", "end"):
        cells.note("period", "give either the period or start and end")
    match = _PERIOD.fullmatch(text)
    try:
        return _whole(int(match[1]), int(match[2]), match[3]) if match else _no_period(cells)
    except ValueError:
        return _no_period(cells)


def _whole(year: int, month: int, day: str | None) -> tuple[int, int]:
    """The moments at which a day or a month begins and ends; ValueError when there is none such."""
    first = dt.date(year, month, int(day or 1))
    days = 1 if day else calendar.monthrange(year, month)[1]
    start_ns = parse_moment_ns(first.isoformat())
    return start_ns, start_ns + days * _DAY_NS


def _no_period(cells: Cells) -> tuple[int, int]:
    cells.note("period", "not a month or a day; write 2026-11 or 2026-11-21")
    return 0, 0


def _refuse_second(charges: Sequence[Charge], problems: list[Problem]) -> None:
    """Note every voucher whose id stands in the file before."""
    seen: dict[str, int] = {}
    for charge in charges:
        row = seen.setdefault(charge.line, charge.row)
        if row != charge.row and charge.line:
            reason = f"stands in {row} already; a voucher has an id of its own"
            problems.append(Problem(charge.file, charge.row, "id", charge.line, reason))
