"""Facts of one span of time: everything the books take from the meter."""

from __future__ import annotations

import msgspec

from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.events import reported_call_id
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage


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
