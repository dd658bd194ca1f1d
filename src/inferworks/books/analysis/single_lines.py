"""Bill lines divided each alone, one after the other, where a computation has them in bundles.

A bundle has only the sums of its lines. For an export with a row for each line, or an explanation, lines
are read again here and divided one by one, by the drivers and the steps of the computation, so that they
sum to their bundle to the picounit, and none is held in memory.

The weights of the calls of a day are the same for every line of that day, so they are computed and
grouped once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

import msgspec

from inferworks.books.allocation.allocate import Allocated, Division, Grouped, Portion, allocated_of
from inferworks.books.allocation.drivers import Shares
from inferworks.books.allocation.hierarchical_split import Amount
from inferworks.books.allocation.pools import DriverKind, pool_of
from inferworks.books.allocation.step_down import ladder_of, stepped_down
from inferworks.books.amounts import Amounts
from inferworks.books.charge import Charge
from inferworks.books.lines import Lines, called, glance
from inferworks.books.statement.bundles import Bundler, Things
from inferworks.books.statement.computation import Computation, Inputs, accrued_charges
from inferworks.meter.facts import in_force

_MOST_KNOWN = 1_000
_decode = msgspec.json.Decoder(Charge).decode


class Singles:
    """The charges of `inputs`, by id, each divided alone as in `computation` when it is asked for."""

    def __init__(self, computation: Computation, inputs: Inputs) -> None:
        self._computation, self._inputs = computation, inputs
        self._ladder = ladder_of(computation.allocated, computation.pools)
        self._groups: dict[tuple[str, int], tuple[Shares, Grouped]] = {}

    def __iter__(self) -> Iterator[Allocated]:
        return self._divided(self._inputs.charges)

    def within(self, bundles: Mapping[str, Container[int]]) -> Iterator[Allocated]:
        """The lines at some places in `bundles`, which are named by the ids of their first ones."""
        inputs = self._inputs
        if not bundles or not isinstance(inputs.charges, Lines):
            return iter(())
        things = Things.of(in_force(inputs.facts))
        bundler = Bundler(inputs.rules, inputs.span, things)
        lines = ((body, glance(body)) for body in inputs.charges.bodies())
        return self._divided(map(_decode, bundler.within(lines, bundles)))

    def amounts(self, bundle: Allocated) -> list[Amounts]:
        """Return the amounts of each portion of `bundle`, line by line."""
        drivers = self._computation.drivers
        pool = next(pool for pool in self._inputs.rules.pools if pool.name == bundle.pool)
        division = _Opening(bundle.charge, pool, drivers)
        division.groups, division.amounts = self._groups, []
        division.divide()
        nothing = [0] * bundle.charge.lines  # where a portion has no weight
        return [Amounts(nothing) if isinstance(a, int) else a for a in division.amounts]

    def called(self, id_: str) -> Iterator[Allocated]:
        """The line with that id."""
        return self._divided(called(self._inputs.charges, {msgspec.json.encode(id_)}))

    def _divided(self, charges: Iterable[Charge]) -> Iterator[Allocated]:
        inputs, drivers = self._inputs, self._computation.drivers
        context = inputs.span, inputs.currency, inputs.rules, inputs.policy.basis
        for charge in charges:
            for inside in accrued_charges((charge,), *context).charges:
                pool = pool_of(inside, inputs.rules.pools, drivers.nodes, drivers.billing)
                if pool.driver is DriverKind.POOLS:
                    yield stepped_down(inside, pool, self._ladder)
                    continue
                division = _Remembering(inside, pool, drivers)
                division.groups = self._groups
                division.divide()
                yield allocated_of(inside, pool, division.portions, division.apportionments)


class _Remembering(Division):
    """A division that groups what is weighed alike once."""

    groups: dict[tuple[str, int], tuple[Shares, Grouped]]

    def _grouped(self, shares: Shares) -> Grouped:
        key = self.pool.name, id(shares)
        known = self.groups.get(key)
        if known is None or known[0] is not shares:
            if len(self.groups) >= _MOST_KNOWN:
                self.groups.clear()
            known = self.groups[key] = shares, super()._grouped(shares)
        return known[1]


class _Opening(_Remembering):
    """A division that keeps the amounts of all lines of each portion."""

    amounts: list[Amount]

    def _keep(self, amount: Amount, portion: Portion) -> None:
        super()._keep(amount, portion)
        self.amounts.append(amount)
