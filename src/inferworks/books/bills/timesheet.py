"""Time sheets in CSV: persons' minutes on machines and activities, and their pay.

    person,start,end,minutes,node,activity,pay,currency,sheet
    ann,2026-11-21T09:00:00Z,2026-11-21T17:00:00Z,40,gpu-3,,32.00,USD,2026-47
    bob,2026-11-21T09:00:00Z,2026-11-21T17:00:00Z,90,,support,60.00,USD,2026-47

A line names a `node` or an `activity` (a purpose, or a department), not both; or, in an optional column,
the `department` alone. `start` and `end` bound the period whose use of the node the work served (a shift,
a week); `minutes` is the work itself, with at most nine decimals. `pay` is the cost of the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from inferworks.books.allocation.departments import SHIPPED, Departments
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
from inferworks.books.bills.sense import ALWAYS_NS, NOT_DONE_YET
from inferworks.books.bills.whose import DEPARTMENT, Work, department_in, work_on
from inferworks.books.charge import (
    STAFF_ON_NODE,
    STAFF_TIME,
    Charge,
    ChargeId,
    NaturalClass,
)
from inferworks.books.currency import NO_RATES, Rates

_MINUTES = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_COLUMNS = ("person", "start", "end", "minutes", "node", "activity", "pay", "currency", "sheet")
_READ = (*_COLUMNS, DEPARTMENT)
_ABOUT = ("person", "node", "activity")


class TimesheetReader:
    """Reads time sheets of a company with `departments`, of work that began before `until_ns`."""

    kind = "timesheet"

    def __init__(self, departments: Departments = SHIPPED, until_ns: int = ALWAYS_NS) -> None:
        self._departments, self._until_ns = departments, until_ns

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the header is that of a time sheet."""
        return {"person", "minutes", "pay"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        rows = read_rows(bill, problems, progress)
        charges = [_charge(bill, cells, self._departments, self._until_ns) for cells in rows]
        return finished(self.kind, charges, problems, "currency", currency, rates)


def _charge(bill: BillFile, cells: Cells, departments: Departments, until_ns: int) -> Charge:
    start_ns, end_ns = cells.period_ns("start", "end")
    if start_ns >= until_ns:
        cells.note("start", NOT_DONE_YET)
    work = _work(cells, departments)
    about = [cells.optional(name) for name in _ABOUT]
    department = cells.optional(DEPARTMENT)
    if department:
        about.append(department)
    sheet, person = cells.text("sheet"), cells.text("person")
    pay_pico, currency = cells.amount_pico("pay"), cells.text("currency")
    minutes = cells.text("minutes")  # as they are written; a whole number of nanoseconds
    if minutes and not _MINUTES.fullmatch(minutes):
        cells.note("minutes", "must be a number, zero or more, of at most nine decimals")
        minutes = "0"
    return Charge(
        id=ChargeId(""),
        issuer="payroll",
        invoice=sheet,
        line=fingerprint([*about, str(start_ns), str(end_ns)]),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider="payroll",
        service_category="Other",
        service_name=STAFF_TIME,
        resource_id=work.resource_id,
        resource_type=work.resource_type,
        description=f"{person}, {work.resource_id or work.department}",
        natural_class=NaturalClass.EMPLOYEE_COMPENSATION,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=start_ns,
        period_end_ns=end_ns,
        amount_pico=pay_pico,
        effective_pico=None,
        currency=currency,
        quantity=minutes or "0",
        unit="Minutes",
        other=(("person", person), *cells.unread(_READ)),
        department=work.department,
    )


def _work(cells: Cells, departments: Departments) -> Work:
    """Return the object of the minutes."""
    node, activity = cells.optional("node"), cells.optional("activity")
    department = department_in(cells, departments)
    if node and activity:
        cells.note("activity", f"the line already names node {node!r}; name one of the two")
    if node:
        return Work(STAFF_ON_NODE, node, department)
    if activity:
        return work_on(cells, "activity", activity, departments, department)
    if not department:
        cells.note("node", "name the node, activity or department that the minutes went to")
    return Work(None, None, department)
