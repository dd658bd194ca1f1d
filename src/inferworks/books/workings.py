"""The workings of a span: everything between the inputs and the statement, kept so it can be checked.

Charges are cut to the span first. What reaches beyond it is *accrued*: the span carries the part of the
amount that its time has of the charge's period, and adjoining spans sum to the charge exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from inferworks.accounts.plan import PricePlan
from inferworks.books.allocate import Allocated, Allocation, Target
from inferworks.books.charge import Charge, Function, NaturalClass
from inferworks.books.drivers import Drivers
from inferworks.books.entry import Entry, journal
from inferworks.books.policy import Policy
from inferworks.books.pools import Behaviour, CostPool, default_pools
from inferworks.books.rate import Revenue, rate
from inferworks.books.span import Span
from inferworks.books.step_down import allocate_all
from inferworks.books.wallet import NOTHING_PREPAID, Prepaid, settled
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

    def function_under(self, policy: Policy) -> Function:
        """The function that `policy` gives this line."""
        return policy.function(self.target.use, self.natural_class, self.behaviour)


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
    pools: tuple[CostPool, ...] = ()

    def under(self, policy: Policy) -> Workings:
        """The same money under another policy: who used what does not change, its function does."""
        at_ns = self.span.end_ns
        return msgspec.structs.replace(
            self,
            policy=policy,
            entries=journal(self.allocated, self.revenue, policy, self.currency, at_ns),
            lines=lines_of(self.allocated, policy),
        )


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
    prepaid: Prepaid = NOTHING_PREPAID,
) -> Workings:
    """Every stage from charges and facts to lines and entries. MoneyError on a foreign currency."""
    given, accrued = accrued_charges(charges, span, currency)
    drivers = Drivers(facts, rules.catalog)
    allocated = allocate_all(accrued, rules.pools, drivers)
    revenue = settled(rate(facts.usages, plans, span, currency), prepaid, span, currency)
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
        lines=lines_of(allocated, policy),
        pools=rules.pools,
    )


def accrued_charges(
    charges: Iterable[Charge], span: Span, currency: str
) -> tuple[tuple[Charge, ...], tuple[Charge, ...]]:
    """The charges that meet `span`, by id, whole and cut to it. MoneyError on a foreign currency."""
    given = tuple(sorted((c for c in charges if _meets(c, span)), key=lambda charge: charge.id))
    _refuse_foreign(given, currency)
    return given, tuple(accrue(charge, span) for charge in given)


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


def lines_of(allocated: Iterable[Allocated], policy: Policy) -> tuple[Line, ...]:
    """The rows of `allocated` under `policy`, summed where they are alike, in a fixed order."""
    """The rows of `allocated` by everything a statement can be cut by, in a fixed order."""
    sums: dict[tuple[object, ...], int] = defaultdict(int)
    lines: dict[tuple[object, ...], Line] = {}
    for item in allocated:
        for row in item.rows:
            line = line_of(row, policy)
            key = line_order(line)
            lines.setdefault(key, line)
            sums[key] += row.amount_pico
    return tuple(
        msgspec.structs.replace(lines[key], amount_pico=sums[key]) for key in sorted(lines)
    )


def line_of(row: Allocation, policy: Policy) -> Line:
    """One row of a charge as a line of its own."""
    return Line(
        function=policy.function(row.target.use, row.natural_class, row.behaviour),
        pool=row.pool,
        natural_class=row.natural_class,
        target=row.target,
        amount_pico=row.amount_pico,
        behaviour=row.behaviour,
        method=row.method,
    )


def line_order(line: Line) -> tuple[object, ...]:
    """A sort key for lines: the same order whatever order the inputs came in."""
    return (
        *(line.function, line.pool, line.natural_class, line.target.order()),
        *(line.behaviour, line.method),
    )
