"""`POST /v1/usage/events`: what was used by something that is no call, as CloudEvents.

A training job, a storage system or another gateway reports activities: nanoseconds on a node, bytes
held times seconds. One event or a batch (a JSON array) of CloudEvents 1.0 in JSON; counted exactly
once by (`source`, `id`) for ever: the same again is a duplicate, the same with another body is kept
aside as a conflict. A batch with a malformed event is refused whole. The answer comes when everything
is durable.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from inferworks.accounts.key import Key
from inferworks.api.auth import authenticate
from inferworks.api.door import Door
from inferworks.api.wire.invalid import invalid
from inferworks.errors import CallError
from inferworks.http.server import Exchange
from inferworks.ids import CustomerId
from inferworks.meter.activity import record_activities
from inferworks.meter.capacity import Activity
from inferworks.purpose import SERVING, Purpose
from inferworks.units import Unit

EVENT_TYPE = "inferworks.activity"
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Time = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class ActivityData(msgspec.Struct):
    """The `data` of an event. Times are nanoseconds since 1970-01-01 UTC; `quantity` is in `unit`."""

    resource: _Name
    purpose: Purpose
    start_ns: _Time
    end_ns: _Time
    quantity: _Time
    unit: Unit
    customer: _Name | None = None
    description: Annotated[str, Meta(max_length=1024)] = ""


class Event(msgspec.Struct):
    """One CloudEvents 1.0 envelope in JSON. Attributes that we do not need are ignored."""

    specversion: str
    id: _Name
    source: _Name
    type: str
    data: ActivityData


_decode_one = msgspec.json.Decoder(Event).decode
_decode_many = msgspec.json.Decoder(Annotated[list[Event], Meta(max_length=10_000)]).decode


async def events(exchange: Exchange, door: Door) -> None:
    """Take in activities."""
    key = authenticate(exchange.headers, door.keyring)
    activities = [_activity(event, key) for event in _decode(exchange.body)]
    received = await record_activities(door.journal, activities)
    await exchange.respond(200, msgspec.json.encode(received))


def _decode(body: bytes) -> list[Event]:
    try:
        return _decode_many(body) if body.lstrip()[:1] == b"[" else [_decode_one(body)]
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(400, "The body is no JSON of a CloudEvents 1.0 event or batch.") from error


def _activity(event: Event, key: Key) -> Activity:
    data = event.data
    if event.specversion != "1.0" or event.type != EVENT_TYPE:
        raise CallError(
            400, f"Event {event.id!r}: only specversion 1.0 and type {EVENT_TYPE} are known."
        )
    if data.end_ns < data.start_ns:
        raise CallError(400, f"Event {event.id!r}: it ends before it starts.", param="end_ns")
    if data.purpose not in key.allowed or data.purpose in SERVING:
        raise CallError(403, f"Event {event.id!r}: this key may not report {data.purpose}.",
                        kind="permission_error", code="purpose_not_allowed")  # fmt: skip
    return Activity(
        source=event.source,
        id=event.id,
        resource=data.resource,
        purpose=data.purpose,
        customer=None if data.customer is None else CustomerId(data.customer),
        start_ns=data.start_ns,
        end_ns=data.end_ns,
        quantity=data.quantity,
        unit=data.unit,
        description=data.description,
    )
