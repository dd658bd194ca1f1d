"""Reports of others as CloudEvents: written, read again, and refused when they cannot be meant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.ids import CustomerId
from inferworks.meter import events
from inferworks.meter.events import (
    ActivityData,
    CallData,
    activity_of,
    call_of,
    ends_ns,
    envelope,
    name_of,
    reported_call_id,
    starts_ns,
)
from inferworks.purpose import Purpose
from inferworks.testing.facts import make_usage
from inferworks.units import NS_PER_SECOND, Unit

S = NS_PER_SECOND


def activity_data(**fields: Any) -> ActivityData:
    """Ten seconds of a node."""
    usual = {
        "resource": "gpu-1", "purpose": Purpose.TRAIN_GRADIENT, "start_ns": 100 * S,
        "end_ns": 110 * S, "quantity": 10 * S, "unit": Unit.NODE_NS,
    }  # fmt: skip
    return ActivityData(**usual | fields)


def call_data(**fields: Any) -> CallData:
    """A call of two seconds."""
    usual = {
        "provider": "openai", "model": "m", "start_ns": 100 * S, "end_ns": 102 * S,
        "customer": "acme", "purpose": Purpose.SERVE_PAID, "input_tokens": 10, "output_tokens": 5,
    }  # fmt: skip
    return CallData(**usual | fields)


@settings(max_examples=15)
@given(st.text(min_size=1), st.text(min_size=1))
def test_a_call_keeps_the_name_under_which_it_was_reported(source: str, id_: str) -> None:
    """A name with any signs comes back; two names never become one."""
    usage = call_of(source, id_, call_data())
    assert name_of(usage) == (source, id_)
    assert reported_call_id(source, id_) != reported_call_id(f"{source}/{id_}", "")


def test_a_call_of_our_own_has_no_source() -> None:
    """Its name is its id."""
    assert name_of(make_usage(call_id="call_1")) == ("", "call_1")


@pytest.mark.parametrize(
    "data",
    [
        call_data(),
        call_data(cache_read_tokens=4, reasoning_tokens=2, images=3, service_tier="priority"),
        call_data(told_cost_pico=7, told_currency="EUR", region="eu", end_user="u", status=500),
    ],
)
def test_a_call_comes_out_of_its_envelope(data: CallData) -> None:
    """A call that is written as an event is read as the same call."""
    usage = call_of("elsewhere", "1", data)
    event = envelope(usage)
    assert (event["type"], event["source"], event["id"]) == (events.CALL_TYPE, "elsewhere", "1")
    again = msgspec.convert(event["data"], CallData)
    assert call_of(event["source"], event["id"], again) == usage
    assert (starts_ns(usage), ends_ns(usage)) == (100 * S, 102 * S)


@pytest.mark.parametrize("customer", ["acme", None])
def test_an_activity_comes_out_of_its_envelope(customer: str | None) -> None:
    """With and without a customer."""
    activity = activity_of("trainer", "1", activity_data(customer=customer, description="epoch 1"))
    event = envelope(activity)
    assert event["type"] == events.ACTIVITY_TYPE
    again = msgspec.convert(event["data"], ActivityData)
    assert activity_of(event["source"], event["id"], again) == activity
    assert activity.customer == (None if customer is None else CustomerId(customer))
    assert (starts_ns(activity), ends_ns(activity)) == (100 * S, 110 * S)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"end_ns": 99 * S}, "it ends before it starts"),
        ({"end_ns": 100 * S + 33 * 86_400 * S}, "longer than 32 days, which an activity may last"),
        ({"quantity": 11 * S + 1}, "more time of its node than there is"),
        ({"unit": Unit.BYTE_SECONDS, "quantity": 10 * 10**18 + 1}, "more than an exabyte"),
        ({"unit": Unit.BYTES, "end_ns": 100 * S, "quantity": 10**18 + 1}, "more than an exabyte"),
    ],
)
def test_an_activity_that_cannot_be_meant_is_refused(fields: dict[str, Any], reason: str) -> None:
    """A month at most, not more than its node's time, and not more than anybody has."""
    with pytest.raises(ValueError, match=reason):
        activity_of("s", "1", activity_data(**fields))


def test_what_is_at_the_bound_can_be_meant() -> None:
    """A second of rounding, an exabyte held throughout, and a moment's use of as much."""
    assert activity_of("s", "1", activity_data(quantity=11 * S)).quantity == 11 * S
    held = activity_data(unit=Unit.BYTE_SECONDS, quantity=10 * 10**18)
    assert activity_of("s", "1", held).quantity == 10 * 10**18


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"end_ns": 99 * S}, "it ends before it starts"),
        ({"end_ns": 100 * S + 86_401 * S}, "longer than a day, which a call may last"),
        ({"customer": None}, "names no customer or no purpose"),
        ({"purpose": None}, "names no customer or no purpose"),
        ({"cache_read_tokens": 11}, "its tokens contradict themselves"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(fields: dict[str, Any], reason: str) -> None:
    """A day at most, somebody's, for something, with parts that fit their whole."""
    with pytest.raises(ValueError, match=reason):
        call_of("s", "1", call_data(**fields))
