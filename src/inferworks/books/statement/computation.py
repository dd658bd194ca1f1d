"""The computation of a span: every stage between the inputs and the statement, kept for checks.

Charges are cut to the span first. A charge that reaches beyond it is *accrued*: the span bears the part
of the amount that its time is of the charge's period, and adjoining spans sum to the charge exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from inferworks.accounts.directory import ALONE, Directory
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.basis import Basis, is_prepaid, on_basis
from inferworks.books.accounting.entries import (
    FIRST_JOURNAL,
    JOURNAL,
    Entry,
    paid_ahead,
    post_entries,
)
from inferworks.books.accounting.first_entries import first_journal
from inferworks.books.accounting.policy import Policy
from inferworks.books.accounting.prepaid import NOTHING_PREPAID, Prepaid, settled
from inferworks.books.accounting.tax import Tax, recoverable, tax_entries
from inferworks.books.allocation.allocate import Allocated, Allocation, Target
from inferworks.books.allocation.departments import SHIPPED, Departments
from inferworks.books.allocation.drivers import Drivers
from inferworks.books.allocation.pools import Behaviour, CostPool, default_pools
from inferworks.books.allocation.step_down import allocate_all
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, Function, NaturalClass, is_accrual
from inferworks.books.lines import Charges
from inferworks.books.revenue.customer_currency import DayRate
from inferworks.books.revenue.rating import RatingContext, Revenue, ToDate, rate
from inferworks.books.statement.counted_facts import counted_facts
from inferworks.catalog.billing import BillingTable, billing_of, first_table, shipped_table
from inferworks.catalog.load import ModelCatalog, model_catalog
from inferworks.errors import BooksError, MoneyError
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.facts import Facts, in_force

BUNDLES = 1
"""Today's version of how alike bill lines are put together (`bundles.py`)."""


class Rules(msgspec.Struct, frozen=True):
    """Rules of dividing money: cost pools, weights of models' tokens, names on bills, customers."""

    pools: tuple[CostPool, ...]
    catalog: ModelCatalog
    journal: int = FIRST_JOURNAL
    """The version of how entries are made (`entries.py`); what is sealed without one is of the first."""
    departments: Departments = SHIPPED
    recoverable_taxes: tuple[str, ...] = ()
    """The taxes that the company recovers (`tax.py`)."""
    billing: BillingTable = msgspec.field(default_factory=first_table)
    """Table that reads the names on bills (`billed_usage.py`); sealed without one, they were not read."""
    customers: Directory = ALONE
    """As whom customers count, what they are called, and by which clocks they pay."""
    bundles: int = 0
    """The version of how alike bill lines are put together (`bundles.py`); 0 where each stands alone."""
    follows_merges: bool = False
    """True if reserved nodes follow mergers of customers; False where it was sealed before they did."""

    @property
    def reservers(self) -> Directory:
        """As whom the customers who reserved nodes count."""
        return self.customers if self.follows_merges else ALONE


class Inputs(msgspec.Struct, frozen=True):
    """Everything that the statement of `span` is computed from: inputs and rules."""

    charges: Charges
    facts: Facts
    """The facts that none of `segments` and no lake holds; they may reach beyond the span."""
    plans: tuple[PricePlan, ...]
    policy: Policy
    currency: str
    span: Span
    rules: Rules = msgspec.field(default_factory=lambda: shipped_rules())
    prepaid: Prepaid = NOTHING_PREPAID
    segments: tuple[Segment, ...] = ()
    """The files of the lake that hold the other facts, and perhaps some of other spans."""

    @property
    def rating(self) -> RatingContext:
        """Earlier totals, clocks and exchange rates by which the calls are rated."""
        calendars = calendars_of(self.rules.customers)
        return RatingContext(self.prepaid.to_date, calendars, self.prepaid.rates)


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


class Computation(msgspec.Struct, frozen=True):
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
    entries: tuple[Entry, ...] = ()
    lines: tuple[Line, ...] = ()
    pools: tuple[CostPool, ...] = ()
    journal: int = JOURNAL
    """The version of how the entries were made."""
    taxes: tuple[Tax, ...] = ()
    """Recoverable taxes that meet the span; no part of the charges."""
    committed: tuple[Charge, ...] = ()
    """The lines of commitments that meet the span, as they are billed."""
    to_date: tuple[ToDate, ...] | None = None
    """Earlier totals of the months in which the span begins."""
    rates: tuple[DayRate, ...] = ()
    """Exchange rates of the currencies of plans on the days of the span."""
    customers: Directory = ALONE
    """As whom customers count, what they are called, and by which clocks they pay; the facts and plans
    above count already."""

    @property
    def rating(self) -> RatingContext:
        """Earlier totals, clocks and exchange rates by which the calls are rated."""
        return RatingContext(self.to_date, calendars_of(self.customers), self.rates)

    def under(self, policy: Policy) -> Computation:
        """The same money under another policy: who used what does not change, its function does.

        BooksError when it is on another basis: then the money is not the same.
        """
        if policy.basis is not self.policy.basis:
            raise BooksError(
                f"policy {policy.name} is on the {policy.basis} basis, {self.policy.name} on the "
                f"{self.policy.basis} basis: their costs are of other periods; build a statement of each"
            )
        return _posted(msgspec.structs.replace(self, policy=policy))


def shipped_rules() -> Rules:
    """The rules that ship with the package."""
    return Rules(
        default_pools(), model_catalog(), JOURNAL, billing=shipped_table(), follows_merges=True
    )


def compute(inputs: Inputs) -> Computation:
    """Return every stage from charges and facts to lines and entries.

    MoneyError on a foreign currency. The charges are as a statement divides them, the facts all at hand.
    """
    rules = inputs.rules
    charges = accrued_charges(
        inputs.charges, inputs.span, inputs.currency, rules, inputs.policy.basis
    )
    facts = counted_facts(in_force(inputs.facts), rules.customers)
    plans = rules.customers.plans(inputs.plans)
    drivers = Drivers(facts, rules.catalog, billing_of(rules.billing), rules.reservers)
    allocated = allocate_all(charges.charges, rules.pools, drivers)
    rated = rate(facts.usages, plans, inputs.span, inputs.currency, inputs.rating)
    return computation_of(inputs, charges, facts, drivers, allocated, rated)


def computation_of(
    inputs: Inputs,
    accrued: Accrued,
    facts: Facts,
    drivers: Drivers,
    allocated: tuple[Allocated, ...],
    rated: Revenue,
) -> Computation:
    """Return the computation of `inputs` from its stages; prepaid credit is settled, entries are posted."""
    rules, prepaid = inputs.rules, inputs.prepaid
    return _posted(
        Computation(
            span=inputs.span,
            currency=inputs.currency,
            policy=inputs.policy,
            plans=rules.customers.plans(inputs.plans),
            facts=facts,
            given=accrued.given,
            charges=accrued.charges,
            drivers=drivers,
            allocated=allocated,
            revenue=settled(
                rated, prepaid, inputs.span, inputs.currency, rules.journal, rules.customers
            ),
            pools=rules.pools,
            journal=rules.journal,
            taxes=accrued.taxes,
            committed=accrued.committed,
            to_date=prepaid.to_date,
            rates=prepaid.rates,
            customers=rules.customers,
        )
    )


def _posted(done: Computation) -> Computation:
    """Return `done` with its lines, and its entries as the version of its rules makes them.

    BooksError when that is a version of a later program.
    """
    allocated, revenue, policy = done.allocated, done.revenue, done.policy
    currency, span = done.currency, done.span
    if done.journal == FIRST_JOURNAL:
        entries = first_journal(allocated, revenue, policy, currency, span.end_ns)
    elif done.journal == JOURNAL:
        entries = (
            *post_entries(allocated, done.given, revenue, policy, currency, span),
            *tax_entries(done.taxes, currency, span),
            *paid_ahead(done.committed, currency, span),
        )
    else:
        raise BooksError(
            f"its entries are of version {done.journal}; this program supports versions up to {JOURNAL}"
        )
    return msgspec.structs.replace(done, entries=entries, lines=lines_of(allocated, policy))


class Accrued(NamedTuple):
    """The charges of a span, by id, each with its department."""

    given: tuple[Charge, ...]
    """Charges that are a cost, whole, with their cost by the basis."""
    charges: tuple[Charge, ...]
    """The same, cut to the span."""
    taxes: tuple[Tax, ...]
    """Recoverable taxes, whole."""
    committed: tuple[Charge, ...]
    """Charges of `given` that a commitment pays for, as they are billed."""


def accrued_charges(
    charges: Iterable[Charge], span: Span, currency: str, rules: Rules, basis: Basis
) -> Accrued:
    """The charges that meet `span`, at what they cost by `basis`.

    MoneyError on a foreign currency, BooksError on a department that is not known.
    """
    meeting = [
        rules.departments.placed(charge)
        for charge in charges
        if span.meet(charge.period_start_ns, charge.period_end_ns).length_ns
        and not (basis is Basis.CASH and is_accrual(charge))
    ]
    for charge in meeting:
        if charge.currency != currency:
            raise MoneyError(
                f"charge {charge.id} ({charge.file}, line {charge.row}) is in {charge.currency}, "
                f"the books are kept in {currency}"
            )
    given: list[Charge] = []
    taxes: list[Tax] = []
    committed: list[Charge] = []
    for charge in sorted(meeting, key=lambda charge: charge.id):
        tax = recoverable(charge, rules.recoverable_taxes)
        if tax is None:
            given.append(on_basis(charge, basis))
            committed += [charge] if is_prepaid(charge, basis) else []
        else:
            taxes.append(tax)
    inside = (accrue(charge, span) for charge in given)
    return Accrued(tuple(given), tuple(inside), tuple(taxes), tuple(committed))


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


def lines_of(allocated: Iterable[Allocated], policy: Policy) -> tuple[Line, ...]:
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
