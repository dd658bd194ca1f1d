"""`POST /v1/usage/events`: what was used elsewhere, as CloudEvents 1.0.

A training job, a storage system or another gateway reports activities and calls (`meter.events` says
what they hold). One event or a batch of them (a JSON array) in structured mode; or one in binary mode,
its attributes in `ce-` headers and its data as the body. Counted exactly once by (`source`, `id`) for
ever: the same again is a duplicate, the same with another body is kept aside as a conflict. A batch with
a malformed event is refused whole. The answer comes when everything is durable, and says
received = accepted + duplicate + conflict + rejected.

Who may report what:

- any key: what happened for its own customer, for the purposes it is allowed; and the use of a machine
  or a bucket by ourselves (no customer), for those purposes;
- a key made with `--reporter`: for any customer and purpose;
- nobody: machine time of serving, which is metered by calls.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from inferworks.accounts.key import Key
from inferworks.api.auth import authenticate
from inferworks.api.door import Door
from inferworks.api.wire.invalid import invalid
from inferworks.errors import CallError
from inferworks.http.server import Exchange
from inferworks.meter.activity import record_reported
from inferworks.meter.capacity import Activity
from inferworks.meter.events import (
    ACTIVITY_TYPE,
    CALL_TYPE,
    ActivityData,
    CallData,
    EventName,
    Reported,
    activity_of,
    call_of,
)
from inferworks.meter.usage import Usage
from inferworks.purpose import SERVING
from inferworks.units import Unit

_BINARY = b"ce-specversion"
_WHERE = re.compile(r"`\$")


class Event(msgspec.Struct):
    """One CloudEvents 1.0 envelope. Attributes that we do not need are ignored."""

    specversion: str
    id: EventName
    source: EventName
    type: str
    data: msgspec.Raw


_decode_one = msgspec.json.Decoder(Event).decode
_decode_many = msgspec.json.Decoder(Annotated[list[Event], Meta(max_length=10_000)]).decode
_decode_activity = msgspec.json.Decoder(ActivityData).decode
_decode_call = msgspec.json.Decoder(CallData).decode


async def events(exchange: Exchange, door: Door) -> None:
    """Take in reports."""
    key = authenticate(exchange.headers, door.keyring)
    reports = [_report(event, place, key) for place, event in _decode(exchange)]
    received = await record_reported(door.journal, reports)
    await exchange.respond(200, msgspec.json.encode(received))


def _decode(exchange: Exchange) -> list[tuple[str, Event]]:
    """The events of a request, each with its place in the body for what may be wrong with it."""
    body = exchange.body
    if _BINARY in exchange.headers:
        return [("", _binary(exchange))]
    try:
        if body.lstrip()[:1] != b"[":
            return [(".data", _decode_one(body))]
        return [(f"[{n}].data", event) for n, event in enumerate(_decode_many(body))]
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json() from error


def _binary(exchange: Exchange) -> Event:
    """The event whose attributes stand in headers, percent-encoded (CloudEvents HTTP binding, 3.1)."""
    attributes: dict[str, Any] = {
        name: unquote(exchange.headers[header].decode("latin-1"))
        for name in ("specversion", "id", "source", "type")
        if (header := f"ce-{name}".encode()) in exchange.headers
    }
    try:
        return msgspec.convert({**attributes, "data": msgspec.Raw(exchange.body)}, Event)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error


def _report(event: Event, place: str, key: Key) -> Reported:
    if event.specversion != "1.0" or event.type not in (ACTIVITY_TYPE, CALL_TYPE):
        known = f"{ACTIVITY_TYPE} and {CALL_TYPE}"
        raise _refusal(event, f"only specversion 1.0 and the types {known} are known")
    try:
        if event.type == ACTIVITY_TYPE:
            report: Reported = activity_of(event.source, event.id, _decode_activity(event.data))
        else:
            report = call_of(event.source, event.id, _of(key, _decode_call(event.data)))
    except msgspec.ValidationError as error:
        raise invalid(_placed(str(error), place)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json() from error
    except ValueError as error:
        raise _refusal(event, str(error)) from error
    _check_right(event, report, key)
    return report


def _of(key: Key, data: CallData) -> CallData:
    """`data` with the key's own customer and purpose where it names none."""
    return msgspec.structs.replace(
        data, customer=data.customer or key.customer, purpose=data.purpose or key.purpose
    )


def _placed(text: str, place: str) -> str:
    """A decoder's complaint about `data`, with the place as seen from the whole body."""
    if _WHERE.search(text):
        return _WHERE.sub(f"`${place}", text, count=1)
    return f"{text} - at `${place}`" if place else text


def _check_right(event: Event, report: Reported, key: Key) -> None:
    machine_time = isinstance(report, Activity) and report.unit != Unit.BYTE_SECONDS
    serving_time = machine_time and report.purpose in SERVING
    if serving_time or not (key.reporter or report.purpose in key.allowed):
        raise _forbidden(event, f"this key may not report {report.purpose}", "purpose_not_allowed")
    own = {key.customer} if isinstance(report, Usage) else {key.customer, None}
    if not key.reporter and report.customer not in own:
        raise _forbidden(event, "this key may report for its own customer only; make one with "
                         "--reporter", "customer_not_allowed")  # fmt: skip


def _refusal(event: Event, reason: str) -> CallError:
    return CallError(400, f"Event {event.id!r}: {reason}.")


def _forbidden(event: Event, reason: str, code: str) -> CallError:
    message = f"Event {event.id!r}: {reason}."
    return CallError(403, message, kind="permission_error", code=code)


def _not_json() -> CallError:
    return CallError(400, "The body is no JSON of a CloudEvents 1.0 event or batch.")
