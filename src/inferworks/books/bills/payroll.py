"""Payroll in CSV: the cost of staff, for everybody or for those who keep no time sheet.

    person,start,end,gross,employer_cost,currency,split,department
    ann,2026-11-01,2026-12-01,6000.00,1320.00,USD,node:gpu-3=3 activity:support=1,operations
    bob,2026-11-01,2026-12-01,5000.00,1100.00,USD,,sales

The cost of a line is `gross` (before what is withheld from the person) plus `employer_cost` (what the
employer pays on top: social security, insurance, pension). `split` divides it among nodes, activities (a
purpose, or a department) and departments by whole weights, exactly; `department` bears the rest, and the
part that a node's use cannot allocate. A line with neither stands in the pool `people` and is allocated
to nobody.

A person may be paid more than once for a time: a bonus, a correction. A `run` (or `check`) number tells
the runs apart, and the same run with another amount is a question. Without one, an equal line is the same
line, in any file or twice in one (which is noted), and one with another amount is another run: both
count, and `paid_again` notes them, for one may have been meant to replace the other.

A time sheet that carries pay and a payroll line of the same person and time are most likely the same
money twice. Use one of the two for a person: time sheets with their pay, or payroll with a split.
`paid_twice` finds those who have both; it may be meant (overtime), so it is a note and no refusal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

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
from inferworks.books.bills.whose import Work, department_in, known_department, work_on
from inferworks.books.charge import (
    STAFF_ON_NODE,
    STAFF_TIME,
    Charge,
    ChargeId,
    NaturalClass,
)
from inferworks.books.currency import NO_RATES, Rates
from inferworks.money import format_pico, split

_COLUMNS = ("person", "start", "end", "gross", "employer_cost", "currency")
_RUNS = ("run", "check")
"""The columns that number a pay run, or its check."""
_READ = (*_COLUMNS, "split", "department", *_RUNS)
_PART = re.compile(r"(node|activity|department):(\S+)=(\d{1,12})")


class PayrollReader:
    """Reads the payroll of a company with `departments`."""

    kind = "payroll"

    def __init__(self, departments: Departments = SHIPPED) -> None:
        self._departments = departments

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if the header is that of a payroll."""
        return {"person", "gross", "employer_cost"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, one per part of a split; BillError with every bad cell."""
        return self.read_once(lambda _: None, bill, currency, progress, rates)

    def read_once(
        self,
        say: Callable[[str], None],
        bill: BillFile,
        currency: str,
        progress: Progress,
        rates: Rates = NO_RATES,
    ) -> tuple[Charge, ...]:
        """Read as `read`, with notes on lines that repeat another: they count once."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges: list[Charge] = []
        first: dict[tuple[Charge, ...], int] = {}
        for cells in read_rows(bill, problems, progress):
            parts = tuple(self._parts(bill, cells))
            told = tuple(msgspec.structs.replace(part, row=0) for part in parts)
            line = first.setdefault(told, cells.line)
            if line == cells.line:
                charges += parts
            else:
                paid = format_pico(cells.amount_pico("gross") + cells.amount_pico("employer_cost"))
                say(
                    f"line {cells.line} pays {cells.text('person')} what line {line} does, {paid}, and "
                    "counts once; if both were paid, number them in a column run"
                )
        return finished(self.kind, charges, problems, "currency", currency, rates)

    def _parts(self, bill: BillFile, cells: Cells) -> Iterator[Charge]:
        """The charges of a line, divided by its split so that they sum to it."""
        department = department_in(cells, self._departments)
        whole = _charge(bill, cells, department)
        weights = _weights(cells)
        if not weights:
            yield whole
            return
        for (kind, name), amount_pico in split(whole.amount_pico, weights).items():
            match kind:
                case "node":
                    work = Work(STAFF_ON_NODE, name, department)
                case "activity":
                    work = work_on(cells, "split", name, self._departments, department)
                case _:
                    known = known_department(cells, "split", name, self._departments)
                    work = Work(None, None, known)
            yield msgspec.structs.replace(
                whole,
                line=f"{whole.line}/{kind}:{name}",
                amount_pico=amount_pico,
                resource_type=work.resource_type,
                resource_id=work.resource_id,
                department=work.department,
                description=f"{whole.description}, {name}",
            )


def paid_twice(charges: Iterable[Charge]) -> list[str]:
    """The people whom both a time sheet and a payroll among `charges` pay for the same time."""
    pay: dict[str, tuple[list[Charge], list[Charge]]] = defaultdict(lambda: ([], []))
    for charge in charges:
        if charge.service_name == STAFF_TIME and charge.amount_pico:
            on_payroll = charge.quantity is None
            pay[dict(charge.other).get("person", "")][on_payroll].append(charge)
    return sorted(
        person
        for person, (shifts, wages) in pay.items()
        if any(
            shift.period_start_ns < wage.period_end_ns
            and wage.period_start_ns < shift.period_end_ns
            for shift in shifts
            for wage in wages
        )
    )


def paid_again(charges: Iterable[Charge], files: Collection[str]) -> Iterator[str]:
    """Yield a note on each person paid for a time by several files, one in `files`, without run number."""
    pay: dict[tuple[str, int, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for charge in charges:
        person = dict(charge.other).get("person", "")
        if charge.service_name == STAFF_TIME and charge.invoice == f"pay of {person}":
            key = person, charge.period_start_ns, charge.period_end_ns
            pay[key][charge.file] += charge.amount_pico
    for (person, _, _), amounts in sorted(pay.items()):
        if len(amounts) > 1 and not amounts.keys().isdisjoint(files):
            listed = " and ".join(f"{format_pico(amounts[n])} by {n}" for n in sorted(amounts))
            yield (
                f"{person} is paid for one time by several files, {listed}; all of it counts, as runs of "
                "their own (number them in a column run)"
            )


def is_nobodys(charge: Charge) -> bool:
    """Return True if a line of pay names no node, no activity and no department."""
    return charge.service_name == STAFF_TIME and not (charge.resource_id or charge.department)


def _charge(bill: BillFile, cells: Cells, department: str | None) -> Charge:
    """The whole of a line."""
    start_ns, end_ns = cells.period_ns("start", "end")
    person, run = cells.text("person"), cells.first(*_RUNS)
    gross_pico, added_pico = cells.amount_pico("gross"), cells.amount_pico("employer_cost")
    about = [str(start_ns), str(end_ns)]
    return Charge(
        id=ChargeId(""),
        issuer="payroll",
        invoice=f"pay of {person}" if run is None else f"pay of {person}, run {run}",
        line=fingerprint(about if run else [*about, str(gross_pico), str(added_pico)]),
        file=bill.name,
        file_sha256=bill.sha256,
        row=cells.line,
        provider="payroll",
        service_category="Other",
        service_name=STAFF_TIME,
        resource_id=None,
        resource_type=None,
        description=f"{person}, pay",
        natural_class=NaturalClass.EMPLOYEE_COMPENSATION,
        charge_category="Usage",
        charge_class=None,
        period_start_ns=start_ns,
        period_end_ns=end_ns,
        amount_pico=gross_pico + added_pico,
        effective_pico=None,
        currency=cells.text("currency"),
        quantity=None,
        unit=None,
        other=(("person", person), *cells.unread(_READ)),
        department=department,
    )


def _weights(cells: Cells) -> dict[tuple[str, str], int]:
    """Return the objects that `split` names, with weights; empty if it is empty or unreadable."""
    weights: dict[tuple[str, str], int] = {}
    for word in (cells.optional("split") or "").split():
        part = _PART.fullmatch(word)
        if part is None or (part[1], part[2]) in weights:
            cells.note("split", "write each once, as in: node:gpu-3=3 activity:support=1")
            return {}
        weights[part[1], part[2]] = int(part[3])
    if weights and not any(weights.values()):
        cells.note("split", "one of the weights must be greater than zero")
        return {}
    return weights
