"""Names of things, one type each, so that a replica is never taken for a node."""

from __future__ import annotations

import random
import time
from typing import NewType

CallId = NewType("CallId", str)
CustomerId = NewType("CustomerId", str)
ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)
ModelId = NewType("ModelId", str)
OfferId = NewType("OfferId", str)
ReplicaId = NewType("ReplicaId", str)
NodeId = NewType("NodeId", str)


def new_id(prefix: str) -> str:
    """A fresh id: `prefix_`, 12 hex digits of time in milliseconds, 16 of randomness.

    Ids made later sort later, which keeps an index on them append-mostly. They are unique and no secrets:
    the operating system seeds the generator once per process, and is not asked for each id.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random.getrandbits(64):016x}"


def new_call_id() -> CallId:
    """A fresh id for one call."""
    return CallId(new_id("call"))
