"""Time sheets in CSV: who worked how long on which machine, and what that work was paid.

    person,start,end,minutes,node,activity,pay,currency,sheet
    ann,2026-11-21T09:00:00Z,2026-11-21T17:00:00Z,40,gpu-3,,32.00,USD,2026-47
    bob,2026-11-21T09:00:00Z,2026-11-21T17:00:00Z,90,,support,60.00,USD,2026-47

A line names a `node` or an `activity`, not both. `start` and `end` bound the period whose use of the
node the work served (a shift, a week); `minutes` is the work itself. `pay` is what the line cost.
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
from inferworks.books.charge import (
    STAFF_ON_ACTIVITY,
    STAFF_ON_NODE,
    STAFF_TIME,
    Charge,
    ChargeId,
    NaturalClass,
)
from inferworks.books.currency import NO_RATES, Rates

_COLUMNS = ("person", "start", "end", "minutes", "node", "activity", "pay", "currency", "sheet")
_ABOUT = ("person", "start", "end", "node", "activity")


class TimesheetReader:
    """Reads time sheet CSV."""

    kind = "timesheet"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header is that of a time sheet."""
        return {"person", "minutes", "pay"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges = [_charge(bill, cells) for cells in read_rows(bill, problems, progress)]
        return finished(charges, problems, "currency", currency, rates)


def _charge(bill: BillFile, cells: Cells) -> Charge:
    start_ns, end_ns = cells.period_ns("start", "end")
    resource_type, resource_id = _resource(cells)
    return Charge(
        id=ChargeId(""),
        issuer="payroll",
        invoice=cells.text("sheet"),
        line=fingerprint([cells.optional(name) for name in _ABOUT]),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider="payroll",
        service_category="Other",
        service_name=STAFF_TIME,
        resource_id=resource_id,
        resource_type=resource_type,
        description=f"{cells.text('person')}, {resource_id}",
        natural_class=NaturalClass.EMPLOYEE_COMPENSATION,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=start_ns,
        period_end_ns=end_ns,
        amount_pico=cells.amount_pico("pay"),
        effective_pico=None,
        currency=cells.text("currency"),
        quantity=str(cells.whole("minutes")),
        unit="Minutes",
        other=_other(cells),
    )


def _resource(cells: Cells) -> tuple[str, str]:
    node, activity = cells.optional("node"), cells.optional("activity")
    if node and activity:
        cells.note("activity", f"the line already names node {node!r}; name one of the two")
    if not node and not activity:
        cells.note("node", "name the node or the activity that the minutes went to")
    return (STAFF_ON_NODE, node) if node else (STAFF_ON_ACTIVITY, activity or "")


def _other(cells: Cells) -> tuple[tuple[str, str], ...]:
    return (("person", cells.optional("person") or ""), *cells.unread(_COLUMNS))
