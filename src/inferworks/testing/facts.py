"""Builders of facts with sensible defaults, so that a test names only what it is about.

Every builder takes keyword arguments alone; times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from inferworks.accounts.pepper import Pepper
from inferworks.ids import (
    CallId,
    CustomerId,
    KeyId,
    ModelId,
    NodeId,
    OfferId,
    ProjectId,
    ReplicaId,
)
from inferworks.meter.capacity import Activity, Capacity, State, Step, StepCall
from inferworks.meter.usage import Confidence, Leg, Opened, Outcome, Tokens, Usage, usage_of
from inferworks.purpose import Purpose
from inferworks.units import Unit

A_TIME_NS: Final = 1_750_000_000_000_000_000
"""A moment in June 2025."""
A_PEPPER: Final = Pepper("a pepper for tests, which everybody knows")
A_MILLISECOND_NS: Final = 1_000_000

_CUSTOMER: Final = CustomerId("acme")
_REPLICA: Final = ReplicaId("replica-1")
_NODE: Final = NodeId("node-1")
_MODEL: Final = ModelId("inferworks-tiny")


def make_opened(
    *,
    call_id: str = "call_1",
    opened_ns: int = A_TIME_NS,
    customer: str = _CUSTOMER,
    purpose: Purpose = Purpose.SERVE_PAID,
    model: str = _MODEL,
) -> Opened:
    """A call that was opened."""
    return Opened(
        call_id=CallId(call_id),
        opened_ns=opened_ns,
        customer=CustomerId(customer),
        project=ProjectId("default"),
        key_id=KeyId("key_1"),
        purpose=purpose,
        endpoint="chat.completions",
        model=ModelId(model),
        stream=True,
        request_bytes=200,
    )


def make_leg(
    *,
    started_ns: int = A_TIME_NS,
    ended_ns: int = A_TIME_NS + 300 * A_MILLISECOND_NS,
    provider: str = "openai",
    replica: str | None = _REPLICA,
    outcome: Outcome = Outcome.ANSWERED,
    tokens: Tokens = Tokens(100, 20),  # noqa: B008 frozen
) -> Leg:
    """An attempt at an own replica."""
    return Leg(
        offer=OfferId("own"),
        provider=provider,
        replica=None if replica is None else ReplicaId(replica),
        started_ns=started_ns,
        first_token_ns=min(started_ns + 50 * A_MILLISECOND_NS, ended_ns),
        ended_ns=ended_ns,
        outcome=outcome,
        status=200,
        tokens=tokens,
        confidence=Confidence.REPORTED,
    )


def make_usage(
    *,
    opened_ns: int = A_TIME_NS,
    outcome: Outcome = Outcome.ANSWERED,
    tokens: Tokens = Tokens(100, 20),  # noqa: B008 frozen
    legs: Sequence[Leg] | None = None,
    **opening: Any,
) -> Usage:
    """A call that was served by one leg at an own replica, unless `legs` says otherwise.

    `opening` as in `make_opened`.
    """
    ended_ns = opened_ns + 300 * A_MILLISECOND_NS
    leg = make_leg(started_ns=opened_ns, ended_ns=ended_ns, outcome=outcome, tokens=tokens)
    opened = make_opened(opened_ns=opened_ns, **opening)
    return msgspec.structs.replace(
        usage_of(opened, ended_ns, outcome, status=200),
        first_byte_ns=leg.first_token_ns,
        tokens=tokens,
        confidence=Confidence.REPORTED,
        response_bytes=4000,
        legs=(leg,) if legs is None else tuple(legs),
    )


def make_capacity(
    *,
    replica: str = _REPLICA,
    node: str = _NODE,
    state: State = State.IDLE,
    start_ns: int = A_TIME_NS,
    end_ns: int = A_TIME_NS + 1000 * A_MILLISECOND_NS,
    duration_ns: int | None = None,
) -> Capacity:
    """A replica's interval, spent in `state` as a whole unless `duration_ns` says otherwise."""
    return Capacity(
        replica=ReplicaId(replica),
        node=NodeId(node),
        state=state,
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ns=end_ns - start_ns if duration_ns is None else duration_ns,
    )


def make_step(
    *calls: tuple[str, int, int, int],
    replica: str = _REPLICA,
    seq: int = 0,
    start_ns: int = A_TIME_NS,
    duration_ns: int = 10 * A_MILLISECOND_NS,
) -> Step:
    """A step of `calls`, each (call id, prefill tokens, decode tokens, context tokens)."""
    return Step(
        replica=ReplicaId(replica),
        seq=seq,
        start_ns=start_ns,
        duration_ns=duration_ns,
        calls=tuple(StepCall(CallId(call[0]), *call[1:]) for call in calls),
    )


def make_activity(
    *,
    id_: str = "run-1",
    start_ns: int = A_TIME_NS,
    end_ns: int = A_TIME_NS + 1000 * A_MILLISECOND_NS,
    quantity: int | None = None,
    **changes: Any,
) -> Activity:
    """Use of a node for its whole interval, unless `quantity` says otherwise, with `changes` of fields."""
    activity = Activity(
        source="trainer",
        id=id_,
        resource=_NODE,
        purpose=Purpose.TRAIN_GRADIENT,
        customer=None,
        start_ns=start_ns,
        end_ns=end_ns,
        quantity=end_ns - start_ns if quantity is None else quantity,
        unit=Unit.NODE_NS,
    )
    return msgspec.structs.replace(activity, **changes)
