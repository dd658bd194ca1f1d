"""Payroll in CSV: what people cost, for everybody or for those who keep no time sheet.

    person,start,end,gross,employer_cost,currency,split
    ann,2026-11-01,2026-12-01,6000.00,1320.00,USD,node:gpu-3=3 activity:support=1
    bob,2026-11-01,2026-12-01,5000.00,1100.00,USD,

The cost of a line is `gross` (before what is withheld from the person) plus `employer_cost` (what the
employer pays on top: social security, insurance, pension). `split` divides it among nodes and activities
by whole weights, exactly. Without a split the line stands in the pool `people` and is allocated to nobody.

A time sheet that carries pay and a payroll line of the same person and time are most likely the same
money twice. Use one of the two for a person: time sheets with their pay, or payroll with a split.
`paid_twice` finds those who have both; it may be meant (overtime), so it is a note and no refusal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

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
from inferworks.money import split

_COLUMNS = ("person", "start", "end", "gross", "employer_cost", "currency")
_READ = (*_COLUMNS, "split")
_PART = re.compile(r"(node|activity):(\S+)=(\d{1,12})")
_RESOURCE_TYPE = {"node": STAFF_ON_NODE, "activity": STAFF_ON_ACTIVITY}


class PayrollReader:
    """Reads payroll."""

    kind = "payroll"

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether the header is that of a payroll."""
        return {"person", "gross", "employer_cost"} <= set(header)

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, one per part of a split; BillError with every bad cell."""
        require_columns(bill, _COLUMNS)
        problems: list[Problem] = []
        charges = [
            charge
            for cells in read_rows(bill, problems, progress)
            for charge in _parts(_charge(bill, cells), _weights(cells))
        ]
        return finished(charges, problems, "currency", currency, rates)


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
        if any(_meet(shift, wage) for shift in shifts for wage in wages)
    )


def _meet(one: Charge, other: Charge) -> bool:
    return one.period_start_ns < other.period_end_ns and other.period_start_ns < one.period_end_ns


def _charge(bill: BillFile, cells: Cells) -> Charge:
    """The whole of a line."""
    start_ns, end_ns = cells.period_ns("start", "end")
    person = cells.text("person")
    return Charge(
        id=ChargeId(""),
        issuer="payroll",
        invoice=f"pay of {person}",
        line=fingerprint([cells.optional("start"), cells.optional("end")]),
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
        amount_pico=cells.amount_pico("gross") + cells.amount_pico("employer_cost"),
        effective_pico=None,
        currency=cells.text("currency"),
        quantity=None,
        unit=None,
        other=(("person", person), *cells.unread(_READ)),
    )


def _weights(cells: Cells) -> dict[tuple[str, str], int]:
    """What `split` names, with its weight; empty when it is empty or cannot be read."""
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


def _parts(whole: Charge, weights: dict[tuple[str, str], int]) -> Iterator[Charge]:
    """`whole`, divided by `weights` so that the parts sum to it."""
    if not weights:
        yield whole
        return
    for (kind, name), amount_pico in split(whole.amount_pico, weights).items():
        yield msgspec.structs.replace(
            whole,
            line=f"{whole.line}/{kind}:{name}",
            amount_pico=amount_pico,
            resource_type=_RESOURCE_TYPE[kind],
            resource_id=name,
            description=f"{whole.description}, {name}",
        )
