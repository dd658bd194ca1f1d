"""What others report, and its form on the wire: CloudEvents 1.0 in JSON.

    {"specversion": "1.0", "type": "inferworks.call", "source": "gateway-b", "id": "req-17",
     "data": {"provider": "openai", "model": "gpt-5", "customer": "acme", "purpose": "serve-paid",
              "start_ns": ..., "end_ns": ..., "input_tokens": 812, "output_tokens": 96}}

Two types of event. `inferworks.activity` is the use of a resource by something that is no call: time on a
node (`node_ns`) or bytes held (`byte_seconds`). `inferworks.call` is a call that another gateway served;
it becomes a `Usage` like our own, with one leg at the provider, so that it earns and costs like one.

A report belongs to the time it names, however late it comes; whether that time's books are closed, and
where it is shown if so, is for the books to say (`books.period`).

A reported call's id is made of its source and id, percent-encoded and joined by a slash. Our own call ids
have no slash, so the two never meet.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote, unquote

import msgspec
from msgspec import Meta

from inferworks.ids import CallId, CustomerId, KeyId, ModelId, OfferId, ProjectId
from inferworks.meter.capacity import Activity
from inferworks.meter.usage import Confidence, Leg, Outcome, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.units import Unit

ACTIVITY_TYPE: Final = "inferworks.activity"
CALL_TYPE: Final = "inferworks.call"
DEFAULT_PROJECT: Final = "default"

Reported: TypeAlias = Activity | Usage
"""What others may report."""

EventName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
_Natural: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
"""Few enough that millions of them sum to what 64 bits hold."""


class ActivityData(msgspec.Struct, frozen=True):
    """The `data` of an activity. Times are nanoseconds since 1970-01-01 UTC; `quantity` is in `unit`."""

    resource: EventName
    purpose: Purpose
    start_ns: _Natural
    end_ns: _Natural
    quantity: _Natural
    unit: Unit
    customer: EventName | None = None
    description: Annotated[str, Meta(max_length=1024)] = ""


class CallData(msgspec.Struct, frozen=True):
    """The `data` of a call. `cache_read_tokens` are part of the input, `reasoning_tokens` of the output."""

    provider: EventName
    model: EventName
    start_ns: _Natural
    end_ns: _Natural
    customer: EventName | None = None
    """The reporting key's own, unless given."""
    purpose: Purpose | None = None
    """The reporting key's, unless given."""
    project: EventName = DEFAULT_PROJECT
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    request_bytes: _Count = 0
    response_bytes: _Count = 0
    endpoint: EventName = "chat.completions"
    region: Annotated[str, Meta(max_length=256)] = ""
    outcome: Outcome = Outcome.ANSWERED
    status: Annotated[int, Meta(ge=0, le=999)] = 200


def name_of(report: Reported) -> tuple[str, str]:
    """The (source, id) of a report; of one of our own calls, ("", its call id)."""
    if isinstance(report, Activity):
        return report.source, report.id
    source, slash, id_ = report.call_id.partition("/")
    return (unquote(source), unquote(id_)) if slash else ("", report.call_id)


def reported_call_id(source: str, id_: str) -> CallId:
    """The call id of a call that `source` reports as `id_`."""
    return CallId(f"{quote(source, safe='')}/{quote(id_, safe='')}")


def activity_of(source: str, id_: str, data: ActivityData) -> Activity:
    """The activity that an event reports; ValueError when it cannot be meant."""
    _check_times(data)
    return Activity(
        source=source,
        id=id_,
        resource=data.resource,
        purpose=data.purpose,
        customer=None if data.customer is None else CustomerId(data.customer),
        start_ns=data.start_ns,
        end_ns=data.end_ns,
        quantity=data.quantity,
        unit=data.unit,
        description=data.description,
    )


def call_of(source: str, id_: str, data: CallData) -> Usage:
    """The call that an event reports, with the one leg that served it.

    ValueError when it cannot be meant, or names no customer or purpose: fill those in before.
    """
    _check_times(data)
    if data.customer is None or data.purpose is None:
        raise ValueError("it names no customer or no purpose")
    if data.cache_read_tokens > data.input_tokens or data.reasoning_tokens > data.output_tokens:
        raise ValueError("it has more cached or reasoning tokens than tokens of that direction")
    leg = _leg(data)
    return Usage(
        call_id=reported_call_id(source, id_),
        customer=CustomerId(data.customer),
        project=ProjectId(data.project),
        key_id=KeyId(""),
        purpose=data.purpose,
        endpoint=data.endpoint,
        model=ModelId(data.model),
        stream=False,
        opened_ns=data.start_ns,
        first_byte_ns=None,
        closed_ns=data.end_ns,
        outcome=data.outcome,
        status=data.status,
        error_code=None,
        tokens=leg.tokens,
        confidence=leg.confidence,
        request_bytes=data.request_bytes,
        response_bytes=data.response_bytes,
        legs=(leg,),
    )


def envelope(report: Reported) -> dict[str, Any]:
    """`report` as a CloudEvent; reading it gives `report` again."""
    source, id_ = name_of(report)
    is_call = isinstance(report, Usage)
    data = _call_data(report) if isinstance(report, Usage) else _activity_data(report)
    return {
        "specversion": "1.0",
        "type": CALL_TYPE if is_call else ACTIVITY_TYPE,
        "source": source,
        "id": id_,
        "data": msgspec.to_builtins(data),
    }


def _leg(data: CallData) -> Leg:
    return Leg(
        offer=OfferId(f"{data.provider}/{data.model}"),
        provider=data.provider,
        replica=None,
        started_ns=data.start_ns,
        first_token_ns=None,
        ended_ns=data.end_ns,
        outcome=data.outcome,
        status=data.status,
        tokens=Tokens(
            input=data.input_tokens,
            output=data.output_tokens,
            cache_read=data.cache_read_tokens,
            reasoning=data.reasoning_tokens,
        ),
        confidence=Confidence.REPORTED,
        region=data.region,
    )


def _activity_data(activity: Activity) -> ActivityData:
    return ActivityData(
        resource=activity.resource,
        purpose=activity.purpose,
        start_ns=activity.start_ns,
        end_ns=activity.end_ns,
        quantity=activity.quantity,
        unit=activity.unit,
        customer=activity.customer,
        description=activity.description,
    )


def _call_data(usage: Usage) -> CallData:
    (leg,) = usage.legs
    return CallData(
        provider=leg.provider,
        model=usage.model,
        start_ns=usage.opened_ns,
        end_ns=usage.closed_ns,
        customer=usage.customer,
        purpose=usage.purpose,
        project=usage.project,
        input_tokens=usage.tokens.input,
        output_tokens=usage.tokens.output,
        cache_read_tokens=usage.tokens.cache_read,
        reasoning_tokens=usage.tokens.reasoning,
        request_bytes=usage.request_bytes,
        response_bytes=usage.response_bytes,
        endpoint=usage.endpoint,
        region=leg.region,
        outcome=usage.outcome,
        status=usage.status,
    )


def _check_times(data: ActivityData | CallData) -> None:
    if data.end_ns < data.start_ns:
        raise ValueError("it ends before it starts")
