"""A span's computation by an engine: the values of `statement.computation.compute`, from a lake."""

from __future__ import annotations

from inferworks.books.allocation.allocate import allocated_of
from inferworks.books.allocation.pools import DriverKind, pool_of
from inferworks.books.allocation.step_down import step_down
from inferworks.books.engines.base import Engine
from inferworks.books.engines.bundled import as_divided_on
from inferworks.books.engines.divide import divide, machine_drivers, portions_of
from inferworks.books.engines.granularity import TARGETS
from inferworks.books.engines.lake import ByDay, Lake
from inferworks.books.engines.used import call_sums, sums_of_calls
from inferworks.books.revenue.rating import rate_calls
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    accrued_charges,
    computation_of,
)
from inferworks.books.statement.invariants import (
    balance,
    basis,
    conservation,
    divided,
    month,
    two_labels,
    views_agree,
)
from inferworks.garbage import uncollected

CHECKS = (divided, conservation, two_labels, balance, views_agree, basis, month)
"""The theorems of `invariants.py` that are about money; those about facts are checked by relations."""


@uncollected()
def compute_on(engine: Engine, lake: Lake, inputs: Inputs) -> Computation:
    """Return the computation of `span`, by target, checked.

    Equal to those of `compute` in charges, allocations, lines, revenue and entries. The drivers know no
    calls. MoneyError on a foreign currency, BooksError when a theorem does not hold.
    """
    span, rules = inputs.span, inputs.rules
    lake, plans = lake.counted(rules.customers), rules.customers.plans(inputs.plans)
    charges = as_divided_on(engine, lake, inputs.charges, rules, span)
    accrued = accrued_charges(charges, span, inputs.currency, rules, inputs.policy.basis)
    drivers = machine_drivers(engine, lake, accrued.charges, rules, TARGETS)
    placed = [
        (charge, pool_of(charge, rules.pools, drivers.nodes, drivers.billing))
        for charge in accrued.charges
    ]
    final = [pair for pair in placed if pair[1].driver is not DriverKind.POOLS]
    supporting = [pair for pair in placed if pair[1].driver is DriverKind.POOLS]
    done = divide(engine, lake, final, rules.catalog, TARGETS, drivers)
    portions = portions_of(done, engine)
    allocated = [
        allocated_of(charge, pool, portions[charge.id], division.apportionments)
        for (charge, pool), division in zip(final, done.divisions, strict=True)
    ]
    allocated += step_down(supporting, rules.pools, allocated)
    ordered = tuple(sorted(allocated, key=lambda item: item.charge.id))
    calls = ByDay(None, lake.usage)
    sums = sums_of_calls(engine, calls, plans, span, TARGETS, inputs.rating.calendars)
    rated = rate_calls(call_sums(engine.fetch(sums)), plans, span, inputs.currency, inputs.rating)
    computation = computation_of(inputs, accrued, done.drivers.facts, done.drivers, ordered, rated)
    for check in CHECKS:
        check(computation)
    return computation
