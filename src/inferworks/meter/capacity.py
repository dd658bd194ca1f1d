"""The facts about machines: what a replica did with its time, and what else kept a node busy.

A replica's provisioned time is partitioned into states in integer nanoseconds (theorem 5); its active
time is the sum of its engine's steps; a step names every call in it (theorem 6). `Activity` is
everything that uses a resource but is no call: gradient descent on a node, bytes held in a bucket.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from inferworks.ids import CallId, CustomerId, NodeId, ReplicaId
from inferworks.purpose import Purpose
from inferworks.units import Unit


class State(StrEnum):
    """State on which a replica's provisioned time is spent."""

    STARTING = "starting"
    LOADING = "loading"
    ACTIVE = "active"
    """Running engine steps."""
    IDLE = "idle"
    """Ready, with nothing to do."""
    DRAINING = "draining"
    """Finishing its last calls, taking no new ones; outside its steps."""
    DOWN = "down"
    """Provisioned but not working: crashed, or being repaired."""


class Capacity(msgspec.Struct, frozen=True, gc=False):
    """One replica, one interval, one state: `duration_ns` of the interval was spent in `state`.

    The rows of one interval sum to its length; the intervals of a replica neither overlap nor leave gaps.
    """

    replica: ReplicaId
    node: NodeId
    state: State
    start_ns: int
    end_ns: int
    duration_ns: int


class StepCall(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A call's part in one engine step."""

    call_id: CallId
    prefill_tokens: int
    decode_tokens: int
    context_tokens: int


class Step(msgspec.Struct, frozen=True, gc=False):
    """One scheduler iteration of a replica's engine: the ground truth for attribution."""

    replica: ReplicaId
    seq: int
    start_ns: int
    duration_ns: int
    calls: tuple[StepCall, ...]

    @property
    def end_ns(self) -> int:
        """The moment it ended."""
        return self.start_ns + self.duration_ns


class Activity(msgspec.Struct, frozen=True, gc=False):
    """Use of a resource by something that is no call. Exactly once by (`source`, `id`)."""

    source: str
    id: str
    resource: str
    """A node for machine time (`Unit.NODE_NS`), a bucket for storage (`Unit.BYTE_SECONDS`)."""
    purpose: Purpose
    customer: CustomerId | None
    start_ns: int
    end_ns: int
    quantity: int
    unit: Unit
    description: str = ""
