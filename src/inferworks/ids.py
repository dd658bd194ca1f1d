"""Names of things, one type each, so that a replica is never taken for a node."""

from __future__ import annotations

import random
import time
from typing import Final, NewType

CallId = NewType("CallId", str)
CustomerId = NewType("CustomerId", str)
ProjectId = NewType("ProjectId", str)
OrganisationId = NewType("OrganisationId", str)
MemberId = NewType("MemberId", str)
KeyId = NewType("KeyId", str)
ModelId = NewType("ModelId", str)
OfferId = NewType("OfferId", str)
ReplicaId = NewType("ReplicaId", str)
NodeId = NewType("NodeId", str)

_RANDOM_BITS: Final = 64


def new_id(prefix: str, at_ns: int | None = None) -> str:
    """A fresh id: `prefix_`, 12 hex digits of time in milliseconds, 16 of randomness.

    `at_ns` is when what it names began, so that both say the same; without it, the wall clock's time now.
    Ids of what began later sort later, which keeps an index on them append-mostly. They are unique, also
    when the clock is set back, and no secrets: the operating system seeds the generator once per process,
    and is not asked for each id.
    """
    if at_ns is None:
        at_ns = time.time_ns()
    at_ms = at_ns // 1_000_000 if at_ns > 0 else 0
    return f"{prefix}_{at_ms << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS):028x}"


def new_call_id(at_ns: int | None = None) -> CallId:
    """A fresh id for one call, which begins at `at_ns`."""
    return CallId(new_id("call", at_ns))
