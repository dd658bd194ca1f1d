"""The workings of a span: everything between the inputs and the statement, kept so it can be checked.

Charges are cut to the span first. What reaches beyond it is *accrued*: the span carries the part of the
amount that its time has of the charge's period, and adjoining spans sum to the charge exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from inferworks.accounts.plan import PricePlan
from inferworks.books.allocate import Allocated, Target
from inferworks.books.charge import Charge, Function, NaturalClass
from inferworks.books.drivers import Drivers
from inferworks.books.entry import Entry, journal
from inferworks.books.policy import Policy
from inferworks.books.pools import Behaviour, CostPool, default_pools
from inferworks.books.rate import Revenue, rate
from inferworks.books.span import Span
from inferworks.books.step_down import allocate_all
from inferworks.catalog.load import ModelCatalog, model_catalog
from inferworks.errors import MoneyError
from inferworks.meter.facts import Facts


class Rules(msgspec.Struct, frozen=True):
    """How money is divided: the pools, and how heavy a model's tokens are."""

    pools: tuple[CostPool, ...]
    catalog: ModelCatalog


class Line(msgspec.Struct, frozen=True):
    """A sum of parts alike in everything a statement can be cut by."""

    function: Function
    pool: str
    natural_class: NaturalClass
    target: Target
    amount_pico: int
    behaviour: Behaviour = Behaviour.COMMITTED
    method: str = ""
    """FOCUS's AllocatedMethodId."""


class Workings(msgspec.Struct, frozen=True):
    """A span's inputs and every stage of their way to the statement."""

    span: Span
    currency: str
    policy: Policy
    plans: tuple[PricePlan, ...]
    facts: Facts
    given: tuple[Charge, ...]
    """The charges that meet the span, whole."""
    charges: tuple[Charge, ...]
    """The same, cut to the span."""
    drivers: Drivers
    allocated: tuple[Allocated, ...]
    revenue: Revenue
    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]


def shipped_rules() -> Rules:
    """The rules that ship with the package."""
    return Rules(default_pools(), model_catalog())


def work_out(
    charges: Iterable[Charge],
    facts: Facts,
    plans: Sequence[PricePlan],
    policy: Policy,
    currency: str,
    span: Span,
    rules: Rules,
) -> Workings:
    """Every stage from charges and facts to lines and entries. MoneyError on a foreign currency."""
    given = tuple(sorted((c for c in charges if _meets(c, span)), key=lambda charge: charge.id))
    _refuse_foreign(given, currency)
    accrued = tuple(accrue(charge, span) for charge in given)
    drivers = Drivers(facts, rules.catalog)
    allocated = allocate_all(accrued, rules.pools, drivers)
    revenue = rate(facts.usages, plans, span, currency)
    return Workings(
        span=span,
        currency=currency,
        policy=policy,
        plans=tuple(plans),
        facts=facts,
        given=given,
        charges=accrued,
        drivers=drivers,
        allocated=allocated,
        revenue=revenue,
        entries=journal(allocated, revenue, policy, currency, span.end_ns),
        lines=_lines(allocated, policy),
    )


def accrue(charge: Charge, span: Span) -> Charge:
    """The part of `charge` that falls into `span`, by time; the charge itself when it is all inside."""
    start_ns, end_ns = charge.period_start_ns, charge.period_end_ns
    inside = span.meet(start_ns, end_ns)
    return msgspec.structs.replace(
        charge,
        period_start_ns=inside.start_ns,
        period_end_ns=inside.end_ns,
        amount_pico=span.part_of(charge.amount_pico, start_ns, end_ns),
    )


def _meets(charge: Charge, span: Span) -> bool:
    return span.meet(charge.period_start_ns, charge.period_end_ns).length_ns > 0


def _refuse_foreign(charges: Iterable[Charge], currency: str) -> None:
    for charge in charges:
        if charge.currency != currency:
            raise MoneyError(
                f"charge {charge.id} ({charge.file}, line {charge.row}) is in {charge.currency}, "
                f"the books are kept in {currency}"
            )


def _lines(allocated: Iterable[Allocated], policy: Policy) -> tuple[Line, ...]:
    sums: dict[tuple[Function, str, NaturalClass, Target, Behaviour, str], int] = defaultdict(int)
    for item in allocated:
        for row in item.rows:
            function = policy.function(row.target.use, row.natural_class, row.behaviour)
            what = (function, row.pool, row.natural_class, row.target, row.behaviour, row.method)
            sums[what] += row.amount_pico
    lines = (Line(*what[:4], amount_pico, *what[4:]) for what, amount_pico in sums.items())
    return tuple(sorted(lines, key=line_order))


def line_order(line: Line) -> tuple[object, ...]:
    """A sort key for lines: the same order whatever order the inputs came in."""
    return (
        *(line.function, line.pool, line.natural_class, line.target.order()),
        *(line.behaviour, line.method),
    )
