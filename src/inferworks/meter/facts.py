"""Facts of one span of time: everything the books take from the meter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.events import reported_call_id
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage

T = TypeVar("T")


class Facts(msgspec.Struct, frozen=True):
    """The facts of a half-open interval `[start_ns, end_ns)`, as `JournalReader.facts` gives them.

    A usage belongs to the interval in which its call was opened, so adjoining intervals share none.
    Steps, capacity and activities are given whole when they overlap the interval: a fact that crosses
    an edge stands in both neighbours, and whoever sums durations clips it.
    """

    usages: tuple[Usage, ...]
    steps: tuple[Step, ...]
    capacity: tuple[Capacity, ...]
    activities: tuple[Activity, ...]
    retracted: tuple[Retracted, ...] = ()
    """Retracted reports among the facts. The facts still hold them, since a closed period was computed
    with them; `in_force` leaves them out.
    """


NO_FACTS = Facts((), (), (), ())
"""No facts: of a time without use, and beside a lake that holds all of them."""


def in_force(facts: Facts) -> Facts:
    """Return `facts` without retracted reports; figures are computed from the rest."""
    if not facts.retracted:
        return facts
    names = {(one.source, one.id) for one in facts.retracted}
    calls = {reported_call_id(*name) for name in names}
    return Facts(
        usages=tuple(usage for usage in facts.usages if usage.call_id not in calls),
        steps=facts.steps,
        capacity=facts.capacity,
        activities=tuple(one for one in facts.activities if (one.source, one.id) not in names),
    )


def joined(*some: Facts) -> Facts:
    """Return all of `some` together, in order; no fact may be in two of them."""
    return Facts(
        usages=ordered((one for facts in some for one in facts.usages), by_opening),
        steps=ordered((one for facts in some for one in facts.steps), by_replica),
        capacity=ordered((one for facts in some for one in facts.capacity), by_state),
        activities=ordered((one for facts in some for one in facts.activities), by_id),
        retracted=ordered((one for facts in some for one in facts.retracted), by_id),
    )


def ordered(facts: Iterable[T], key: Any) -> tuple[T, ...]:
    """Return `facts` in the order of `key`."""
    return tuple(sorted(facts, key=key))


def by_opening(usage: Usage) -> tuple[int, str]:
    """Return the place of `usage` among others."""
    return usage.opened_ns, usage.call_id


def by_replica(step: Step) -> tuple[str, int, int]:
    """Return the place of `step` among others."""
    return step.replica, step.start_ns, step.seq


def by_state(row: Capacity) -> tuple[str, int, str]:
    """Return the place of `row` among others."""
    return row.replica, row.start_ns, row.state


def by_id(named: Activity | Retracted) -> tuple[str, str]:
    """Return the place of `named` among others."""
    return named.source, named.id
