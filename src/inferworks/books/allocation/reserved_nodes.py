"""Bearers of the idle time of a reserved node, where customers are merged with others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from inferworks.accounts.directory import Directory
from inferworks.books.allocation.drivers import REPLICA, RESERVER, UNUSED, Drivers, Shares, Unused
from inferworks.books.calendar.span import Span
from inferworks.ids import CustomerId, ReplicaId
from inferworks.meter.capacity import State


def reservers(drivers: Drivers, customer: str, node: str, span: Span) -> Shares:
    """As whom `customer`, who reserved `node`, counts in `span`, each by the time that nobody used.

    A merge within the span divides what stood unused before it from what did afterwards.
    """
    unused: Shares = defaultdict(int)
    for part in unmerged(drivers.customers, span):
        whose = drivers.customers.survivor(CustomerId(customer), part.start_ns)
        unused[RESERVER, whose] += unused_ns(drivers, node, part)
    if len(unused) == 1:
        return dict.fromkeys(unused, 1)
    return {leaf: time_ns for leaf, time_ns in unused.items() if time_ns}


def unmerged(customers: Directory, span: Span) -> Iterator[Span]:
    """The parts of `span` within which nobody begins to count as another."""
    return (Span(*ends) for ends in pairwise(customers.edges_ns(*span)))


def unused_ns(drivers: Drivers, node: str, span: Span) -> int:
    """The nanoseconds of `node` in `span` in which nothing was on it, or a replica was not at work."""
    time_ns = 0
    for leaf, used_ns in drivers.occupants(node, span).items():
        if leaf == (UNUSED, Unused.UNOCCUPIED):
            time_ns += used_ns
        elif leaf[0] == REPLICA:
            active_ns = drivers.states(ReplicaId(leaf[1]), node, span).get(State.ACTIVE, 0)
            time_ns += used_ns - active_ns
    return time_ns
