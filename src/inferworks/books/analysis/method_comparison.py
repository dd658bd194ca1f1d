"""Accuracy of the quick methods: distance of M0, M1 and M2 from M3, for one span.

The distance of a method is the sum of absolute differences to M3 over the active time of the replicas
whose engines report steps; 0 means equal and 2 means nothing in common. It is an exact fraction. It is
computed twice: over the input and output sides of calls (is a prompt priced right beside an answer?) and
over customers (is the right one charged?), where many of the differences cancel out. Without reported
steps there is no M3 to compare with: such replicas are counted and left out.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import NamedTuple

import msgspec

from inferworks.books.allocation.drivers import CALL, Drivers, Shares
from inferworks.books.allocation.pools import DriverKind, Method
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Computation
from inferworks.ids import CallId, ReplicaId
from inferworks.money import PICO, format_pico

COMPARED = (Method.FLAT, Method.WEIGHTED, Method.STEP_SHARE)


class Distance(msgspec.Struct, frozen=True):
    """Distance of `method` from M3, of `active_ns` nanoseconds."""

    method: Method
    apart_ns: int
    """Differences summed over the sides of calls."""
    customers_apart_ns: int
    """Differences summed over customers."""
    active_ns: int

    @property
    def ratio(self) -> Fraction:
        """Over the sides of calls: from 0, the same, to 2; 0 when nothing was active."""
        return Fraction(self.apart_ns, self.active_ns) if self.active_ns else Fraction(0)

    @property
    def customers_ratio(self) -> Fraction:
        """Over customers: from 0, the same, to 2; 0 when nothing was active."""
        return Fraction(self.customers_apart_ns, self.active_ns) if self.active_ns else Fraction(0)

    def to_json(self) -> dict[str, object]:
        """Return the JSON values: the exact terms, and the ratios to 12 decimals."""
        return {
            "method": self.method.value,
            "apart_ns": self.apart_ns,
            "customers_apart_ns": self.customers_apart_ns,
            "active_ns": self.active_ns,
            "distance": format_pico(round(self.ratio * PICO)),
            "distance_by_customer": format_pico(round(self.customers_ratio * PICO)),
        }


class Distances(msgspec.Struct, frozen=True):
    """Distances of a span, and the number of replicas without steps."""

    distances: tuple[Distance, ...]
    without_steps: int


class _Place(NamedTuple):
    replica: ReplicaId
    node: str
    span: Span


def distances(computation: Computation) -> Distances:
    """The distances over every machine that the span's charges pay for."""
    drivers, span = computation.drivers, computation.span
    by_name = {pool.name: pool for pool in computation.pools}
    nodes = {
        item.charge.resource_id or ""
        for item in computation.allocated
        if by_name[item.pool].driver is DriverKind.NODE_TIME
    }
    places = sorted(
        {
            _Place(row.replica, row.node, span)
            for row in computation.facts.capacity
            if row.node in nodes and span.meet(row.start_ns, row.end_ns).length_ns
        }
    )
    exact = {place: drivers.active(*place, Method.SHAPLEY) for place in places}
    with_steps = [place for place in places if exact[place].method is Method.SHAPLEY]
    yardstick: Shares = defaultdict(int)
    for place in with_steps:
        _add(yardstick, exact[place].shares)
    active_ns, by_customer = sum(yardstick.values()), _by_customer(yardstick, drivers)
    each: list[Distance] = []
    for method in COMPARED:
        shares: Shares = defaultdict(int)
        for place in with_steps:
            _add(shares, drivers.active(*place, method).shares)
        customers_ns = _apart(_by_customer(shares, drivers), by_customer)
        each.append(Distance(method, _apart(shares, yardstick), customers_ns, active_ns))
    return Distances(tuple(each), len(places) - len(with_steps))


def _add(sums: Shares, shares: Shares) -> None:
    for leaf, share_ns in shares.items():
        sums[leaf] += share_ns


def _by_customer(shares: Shares, drivers: Drivers) -> Shares:
    """`shares` by customer; what is no call of anybody stays as it is."""
    sums: Shares = defaultdict(int)
    for leaf, share_ns in shares.items():
        usage = drivers.usages.get(CallId(leaf[1])) if leaf[0] == CALL else None
        sums[leaf if usage is None else (usage.customer,)] += share_ns
    return sums


def _apart(one: Shares, other: Shares) -> int:
    """The sum of absolute differences, leaf by leaf."""
    return sum(abs(one.get(leaf, 0) - other.get(leaf, 0)) for leaf in {*one, *other})
