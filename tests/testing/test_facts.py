"""Facts with sensible defaults hold together, whatever a test changes of them."""

from __future__ import annotations

import pytest

from inferworks.meter.capacity import State, StepCall
from inferworks.meter.usage import Confidence, Outcome, Tokens
from inferworks.purpose import Purpose
from inferworks.testing.facts import (
    A_MILLISECOND_NS,
    A_TIME_NS,
    make_activity,
    make_capacity,
    make_leg,
    make_opened,
    make_step,
    make_usage,
)


def test_a_call_is_the_same_from_its_opening_to_its_end() -> None:
    """Everything known when it was opened is in its usage."""
    fields = {"call_id": "c", "customer": "globex", "model": "m", "purpose": Purpose.SERVE_FREE}
    opened, usage = make_opened(**fields), make_usage(**fields)
    for name in ("call_id", "opened_ns", "customer", "purpose", "model", "endpoint", "key_id"):
        assert getattr(usage, name) == getattr(opened, name)


@pytest.mark.parametrize("opened_ns", [0, A_TIME_NS, 2**62])
def test_a_usage_has_one_leg_of_its_own_time_and_tokens(opened_ns: int) -> None:
    """Opened, first byte and end are in order; the leg has the outcome of the call."""
    usage = make_usage(opened_ns=opened_ns, tokens=Tokens(7, 8), outcome=Outcome.FAILED)
    [leg] = usage.legs
    assert (
        (leg.tokens, leg.outcome) == (usage.tokens, usage.outcome) == (Tokens(7, 8), Outcome.FAILED)
    )
    assert usage.first_byte_ns == leg.first_token_ns
    times = (usage.opened_ns, leg.started_ns, leg.first_token_ns, leg.ended_ns, usage.closed_ns)
    assert times == (
        *(opened_ns, opened_ns, opened_ns + 50 * A_MILLISECOND_NS),
        *(opened_ns + 300 * A_MILLISECOND_NS,) * 2,
    )
    assert usage.confidence is Confidence.REPORTED


def test_legs_may_be_others_or_none() -> None:
    """A call that reached nobody has none; the order of several is kept."""
    assert make_usage(legs=()).legs == ()
    legs = [make_leg(provider="a", replica=None), make_leg(provider="b")]
    assert make_usage(legs=legs).legs == tuple(legs)


@pytest.mark.parametrize("lasted_ms", [0, 1, 50, 51])
def test_a_first_token_is_not_after_the_end(lasted_ms: int) -> None:
    """A leg shorter than the usual wait has its first token at its end."""
    leg = make_leg(ended_ns=A_TIME_NS + lasted_ms * A_MILLISECOND_NS)
    assert leg.first_token_ns == A_TIME_NS + min(50, lasted_ms) * A_MILLISECOND_NS


def test_a_leg_at_an_external_api_has_no_replica() -> None:
    """An own replica is the default."""
    assert (make_leg().replica, make_leg(replica=None).replica) == ("replica-1", None)


def test_capacity_is_the_whole_interval() -> None:
    """Unless a part of it is said."""
    row = make_capacity(start_ns=3, end_ns=10)
    assert (row.duration_ns, row.state) == (7, State.IDLE)
    assert make_capacity(start_ns=3, end_ns=10, duration_ns=0).duration_ns == 0


def test_a_step_has_its_calls_in_order() -> None:
    """Each with its prefill, decode and context tokens; there may be none."""
    step = make_step(("a", 1, 2, 3), ("b", 4, 5, 6), seq=9)
    assert step.calls == (StepCall("a", 1, 2, 3), StepCall("b", 4, 5, 6))
    assert (step.seq, make_step().calls) == (9, ())


def test_an_activity_uses_a_node_for_its_interval() -> None:
    """Unless another quantity, or any other field, is said."""
    activity = make_activity(start_ns=3, end_ns=10)
    assert (activity.quantity, activity.purpose) == (7, Purpose.TRAIN_GRADIENT)
    changed = make_activity(quantity=0, resource="disk", source="s")
    assert (changed.quantity, changed.resource, changed.source) == (0, "disk", "s")
