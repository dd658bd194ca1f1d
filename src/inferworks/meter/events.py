"""Reports from others in CloudEvents 1.0 JSON: activities, calls and retractions.

    {"specversion": "1.0", "type": "inferworks.call", "source": "gateway-b", "id": "req-17",
     "data": {"provider": "openai", "model": "gpt-5", "customer": "acme", "purpose": "serve-paid",
              "start_ns": ..., "end_ns": ..., "input_tokens": 812, "output_tokens": 96}}

Two types of event report something. `inferworks.activity` is the use of a resource by something that is no
call: time on a node (`node_ns`) or bytes held (`byte_seconds`). `inferworks.call` is a call that another
gateway served; it becomes a `Usage` like our own, with one leg at the provider, so that it earns and costs
like one. A third, `inferworks.retraction`, takes back what was reported under its own source and id; its
data is a `reason`.

A report belongs to the time it names, however late it arrives. `books.period` decides in which period a
report for a closed time is shown.

Amounts and times are bounded to what one event can be: a report may be false, and must then be a small
part of the books, be seen, and be taken back. The bounds are also those under which every engine of the
books is exact, for sums of a billion such reports; a larger thing is reported in parts.

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
from inferworks.meter.usage import (
    LONGEST_END_USER,
    NO_ITEMS,
    TOKEN_UNITS,
    Confidence,
    Items,
    Leg,
    Outcome,
    Tokens,
    Usage,
)
from inferworks.purpose import Purpose
from inferworks.units import NS_PER_SECOND, Unit

ACTIVITY_TYPE: Final = "inferworks.activity"
CALL_TYPE: Final = "inferworks.call"
LONGEST_REASON: Final = 1024
"""Characters of the reason for which a report is taken back."""
RETRACTION_TYPE: Final = "inferworks.retraction"
DEFAULT_PROJECT: Final = "default"

Reported: TypeAlias = Activity | Usage
"""Fact that others may report."""

LONGEST_EVENT_NAME: Final = 256
EventName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_EVENT_NAME)]
_Moment: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 62))]
_Quantity: TypeAlias = Annotated[int, Meta(ge=0)]
"""Quantity, bounded in `activity_of`: time on a node by the clock, bytes held by `MOST_BYTES`."""
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)]
_Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=10**12)]
_Cost: TypeAlias = Annotated[int, Meta(ge=0, le=10**15)]
"""A thousand units of a currency, in its picounits."""
_Short: TypeAlias = Annotated[str, Meta(max_length=64)]
Currency: TypeAlias = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
"""An ISO 4217 code."""

_TOKEN_FIELDS: Final = tuple(unit.value for unit in TOKEN_UNITS)
_ITEM_FIELDS: Final = Items.__struct_fields__
LONGEST_CALL_NS: Final = 86_400 * NS_PER_SECOND
LONGEST_ACTIVITY_NS: Final = 32 * 86_400 * NS_PER_SECOND
"""A month, so that a bill's period fits."""
MOST_BYTES: Final = 10**18
"""An exabyte, which one report says was held at most."""
SKEW_NS: Final = 300 * NS_PER_SECOND
"""Most nanoseconds by which a reporter's clock may be ahead of ours."""
_LEG_FIELDS: Final = ("service_tier", "told_cost_pico", "told_currency", "ended_by")
"""Fields that the data of a call and its leg share under the same names."""


class ActivityData(msgspec.Struct, frozen=True):
    """The `data` of an activity. Times are nanoseconds since 1970-01-01 UTC; `quantity` is in `unit`."""

    resource: EventName
    purpose: Purpose
    start_ns: _Moment
    end_ns: _Moment
    quantity: _Quantity
    unit: Unit
    customer: EventName | None = None
    description: Annotated[str, Meta(max_length=1024)] = ""


class CallData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `data` of a call: counts as in `Tokens` and `Items`, where every part is in its whole."""

    provider: EventName
    model: EventName
    start_ns: _Moment
    end_ns: _Moment
    customer: EventName | None = None
    """The reporting key's own, unless given."""
    purpose: Purpose | None = None
    """The reporting key's, unless given."""
    project: EventName = DEFAULT_PROJECT
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    cache_read_tokens: _Count = 0
    reasoning_tokens: _Count = 0
    request_bytes: _Bytes = 0
    response_bytes: _Bytes = 0
    endpoint: EventName = "chat.completions"
    region: Annotated[str, Meta(max_length=256)] = ""
    outcome: Outcome = Outcome.ANSWERED
    status: Annotated[int, Meta(ge=0, le=999)] = 200
    cache_write_tokens: _Count = 0
    cache_write_1h_tokens: _Count = 0
    input_audio_tokens: _Count = 0
    output_audio_tokens: _Count = 0
    input_image_tokens: _Count = 0
    output_image_tokens: _Count = 0
    images: _Count = 0
    audio_ms: _Count = 0
    characters: _Count = 0
    searches: _Count = 0
    service_tier: _Short = ""
    told_cost_pico: _Cost | None = None
    """Cost of the call as the provider states it, in picounits of `told_currency`."""
    told_currency: Currency = "USD"
    ended_by: _Short = ""
    end_user: Annotated[str, Meta(max_length=LONGEST_END_USER)] = ""


class RetractionData(msgspec.Struct, frozen=True):
    """The `data` of a retraction."""

    reason: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]


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
    _check_times(data, LONGEST_ACTIVITY_NS, "an activity", "32 days")
    occupied_ns = data.end_ns - data.start_ns
    if data.unit is Unit.NODE_NS and data.quantity > occupied_ns + NS_PER_SECOND:  # they may round
        raise ValueError("it took more time of its node than there is from its start to its end")
    if data.quantity > MOST_BYTES * max(1, -(-occupied_ns // NS_PER_SECOND)):
        raise ValueError("it held more than an exabyte (10^18 bytes); report it in parts")
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
    """Return the reported call, with the one leg that served it.

    ValueError when it is implausible, or names no customer or purpose: fill those in before.
    """
    _check_times(data, LONGEST_CALL_NS, "a call", "a day")
    if data.customer is None or data.purpose is None:
        raise ValueError("it names no customer or no purpose")
    leg = _leg(data)
    flaw = leg.tokens.flaw()
    if flaw is not None:
        raise ValueError(f"its tokens contradict themselves: {flaw}")
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
        items=leg.items,
        end_user=data.end_user,
    )


def ends_ns(report: Reported) -> int:
    """Return the end of the reported activity or call, in epoch nanoseconds."""
    return report.end_ns if isinstance(report, Activity) else report.closed_ns


def starts_ns(report: Reported) -> int:
    """Return the start of the reported activity or call; the report belongs to the books of that moment."""
    return report.start_ns if isinstance(report, Activity) else report.opened_ns


def envelope(report: Reported) -> dict[str, Any]:
    """`report` as a CloudEvent; reading it gives `report` again."""
    source, id_ = name_of(report)
    is_call = isinstance(report, Usage)
    data: CallData | ActivityData
    if isinstance(report, Usage):
        (leg,) = report.legs
        data = CallData(
            provider=leg.provider,
            model=report.model,
            start_ns=report.opened_ns,
            end_ns=report.closed_ns,
            customer=report.customer,
            purpose=report.purpose,
            project=report.project,
            request_bytes=report.request_bytes,
            response_bytes=report.response_bytes,
            endpoint=report.endpoint,
            region=leg.region,
            outcome=report.outcome,
            status=report.status,
            end_user=report.end_user,
            **dict(zip(_TOKEN_FIELDS, msgspec.structs.astuple(report.tokens), strict=True)),
            **msgspec.structs.asdict(report.items),
            **{name: getattr(leg, name) for name in _LEG_FIELDS},
        )
    else:
        fields = ActivityData.__struct_fields__
        data = ActivityData(**{name: getattr(report, name) for name in fields})
    return {
        "specversion": "1.0",
        "type": CALL_TYPE if is_call else ACTIVITY_TYPE,
        "source": source,
        "id": id_,
        "data": msgspec.to_builtins(data),
    }


def _leg(data: CallData) -> Leg:
    counts = [getattr(data, name) for name in _ITEM_FIELDS]
    return Leg(
        offer=OfferId(f"{data.provider}/{data.model}"),
        provider=data.provider,
        replica=None,
        started_ns=data.start_ns,
        first_token_ns=None,
        ended_ns=data.end_ns,
        outcome=data.outcome,
        status=data.status,
        tokens=Tokens(*(getattr(data, name) for name in _TOKEN_FIELDS)),
        confidence=Confidence.REPORTED,
        region=data.region,
        items=Items(*counts) if any(counts) else NO_ITEMS,
        service_tier=data.service_tier,
        told_cost_pico=data.told_cost_pico,
        told_currency=data.told_currency,
        ended_by=data.ended_by,
    )


def _check_times(data: ActivityData | CallData, longest_ns: int, kind: str, most: str) -> None:
    if data.end_ns < data.start_ns:
        raise ValueError("it ends before it starts")
    if data.end_ns - data.start_ns > longest_ns:
        raise ValueError(f"it is longer than {most}, which {kind} may last; report it in parts")
