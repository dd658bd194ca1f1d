"""What the books take from the meter: the facts of one span of time, and nothing else."""

from __future__ import annotations

import msgspec

from inferworks.meter.capacity import Activity, Capacity, Step
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
