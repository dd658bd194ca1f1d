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
    """Return the bearers, after mergers, of the unused time of `node` in `span` that `customer` reserved.

    A merger within the span divides the unused time before it from that after it.
    """
    unused: Shares = defaultdict(int)
    for part in unmerged(drivers.customers, span):
        owner = drivers.customers.survivor(CustomerId(customer), part.start_ns)
        unused[RESERVER, owner] += unused_ns(drivers, node, part)
    if len(unused) == 1:
        return dict.fromkeys(unused, 1)
    return {leaf: time_ns for leaf, time_ns in unused.items() if time_ns}


def unmerged(customers: Directory, span: Span) -> Iterator[Span]:
    """The parts of `span` without a merger within them."""
    return (Span(*ends) for ends in pairwise(customers.edges_ns(*span)))


def unused_ns(drivers: Drivers, node: str, span: Span) -> int:
    """The nanoseconds of `node` in `span` without an active replica or activity on it."""
    time_ns = 0
    for leaf, used_ns in drivers.occupants(node, span).items():
        if leaf == (UNUSED, Unused.UNOCCUPIED):
            time_ns += used_ns
        elif leaf[0] == REPLICA:
            active_ns = drivers.states(ReplicaId(leaf[1]), node, span).get(State.ACTIVE, 0)
            time_ns += used_ns - active_ns
    return time_ns
