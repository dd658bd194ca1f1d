"""`POST /v1/usage/events`: usage that was metered elsewhere, as CloudEvents 1.0.

A training job, a storage system or another gateway reports activities and calls (`meter.events` says
what they hold). One event or a batch of them (a JSON array) in structured mode; or one in binary mode,
its attributes in `ce-` headers and its data as the body. Counted exactly once by (`source`, `id`) for
ever: the same again is a duplicate, the same with another body is quarantined as a conflict. A report can
be retracted by an event of its name. A batch with a malformed event is refused whole, as is one that
retracts a report that was never made. The answer comes when everything is durable, and says
received = accepted + duplicate + conflict + rejected.

A key's rights (`accounts.key`) decide what it may report: nothing, unless it was made to report, and then
under sources that no other customer's key may use. It reports its own customer and purposes, unless it was
made for all; usage of no customer, and provider charges, only where that was granted. Machine time of
serving is never reported, since it is metered by calls. A report names an existing customer, and a time
that is neither ahead of our clock nor further back than the operator allows.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from inferworks.accounts.key import Key
from inferworks.api.admission import authenticate, keys_unknown
from inferworks.api.coded import CODED, decode_body
from inferworks.api.context import AppContext
from inferworks.api.wire.validation_errors import invalid
from inferworks.cloud.bodies.aside import LARGE_BYTES, LARGE_TO_PUT_OVER_BYTES, aside
from inferworks.cloud.bodies.bounds import excess
from inferworks.errors import CallError, UserError
from inferworks.http.server import Exchange
from inferworks.meter.activity import Received, record_reported, retract
from inferworks.meter.capacity import Activity
from inferworks.meter.events import (
    ACTIVITY_TYPE,
    CALL_TYPE,
    RETRACTION_TYPE,
    SKEW_NS,
    ActivityData,
    CallData,
    EventName,
    Reported,
    RetractionData,
    activity_of,
    call_of,
    ends_ns,
    starts_ns,
)
from inferworks.meter.usage import Usage
from inferworks.purpose import SERVING
from inferworks.units import NS_PER_SECOND, Unit

Data = TypeVar("Data")
_BINARY = b"ce-specversion"
_MANY = 100
"""Most events that are checked in the event loop; larger batches are checked in a thread."""
_NAMED = 5
"""Most unknown customers that an error names."""
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
_decode_retraction = msgspec.json.Decoder(RetractionData).decode


async def events(exchange: Exchange, context: AppContext) -> None:
    """Take in reports."""
    key = authenticate(exchange, context.keyring, context.clock)
    if not key.sources:
        raise _forbidden("This key may not report usage. One that may is made with: "
                         "inferworks keys create --report SOURCE, where SOURCE names who reports, "
                         "such as inferworks.metered", "reporting_not_allowed")  # fmt: skip
    if CODED in exchange.headers:
        await decode_body(exchange)
    large = len(exchange.body) > LARGE_TO_PUT_OVER_BYTES
    decoded = await aside(_decode, exchange) if large else _decode(exchange)
    if len(decoded) > _MANY:
        await aside(_check_sources, decoded, key, context)
    else:
        _check_sources(decoded, key, context)
    takes_back = [event.type == RETRACTION_TYPE for _, event in decoded]
    if not any(takes_back):
        if len(decoded) > _MANY:
            reports = await aside(_reports, decoded, key, context)
        else:
            reports = _reports(decoded, key, context)
        received = await record_reported(context.reports or context.journal, reports)
    elif all(takes_back):
        received = await _take_back(decoded, key, context)
    else:
        raise CallError(400, "A batch reports or takes back; send two.")
    await exchange.respond(200, msgspec.json.encode(received))


def _check_sources(decoded: Sequence[tuple[str, Event]], key: Key, context: AppContext) -> None:
    """CallError when `key` may not report under a source of the events."""
    first = {event.source: event for _, event in reversed(decoded)}
    for source, event in first.items():
        try:
            may_use = context.keyring.may_use(key, source)
        except UserError as error:
            raise keys_unknown() from error
        if not may_use:
            raise _forbidden(f"Event {event.id!r}: this key may not report under the source "
                             f"{source!r}. One that may is made with: inferworks keys create "
                             f"--report {shlex.quote(source)}", "source_not_allowed")  # fmt: skip


def _reports(decoded: Sequence[tuple[str, Event]], key: Key, context: AppContext) -> list[Reported]:
    """Return the reported facts; CallError when `key` may not report one of them."""
    now_ns, reports = context.clock.now_ns(), []
    for place, event in decoded:
        report = _report(event, place, key)
        _check_right(event, report, key)
        if ends_ns(report) > now_ns + SKEW_NS:
            raise _refusal(event, "it ends in the future; set the clock of whoever reports")
        if starts_ns(report) < now_ns - context.report_back_ns:
            days = context.report_back_ns // (86_400 * NS_PER_SECOND)
            why = f"it began more than {days} days ago (meter.report_days); import it from a file"
            raise _refusal(event, why)
        reports.append(report)
    customers = {report.customer for report in reports if report.customer}
    try:
        unknown = context.keyring.unknown(customers)
    except UserError as error:
        raise keys_unknown() from error
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        names = ", ".join(map(repr, unknown[:_NAMED]))
        raise CallError(400, f"There is no customer {names}{more}. Customers are made with: "
                        "inferworks customers create", code="unknown_customer")  # fmt: skip
    return reports


async def _take_back(
    decoded: Sequence[tuple[str, Event]], key: Key, context: AppContext
) -> Received:
    """Take back what was reported under the names of the events; `duplicate` what had been before."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for place, event in decoded:
        data = _data(event, place, _decode_retraction)
        reasons.setdefault(data.reason, []).append((event.source, event.id))
    journal = context.reports or context.journal
    found = await retract(journal, reasons, at_ns=context.clock.now_ns(), by=key.id)
    if found.unknown:
        names = ", ".join(repr(id_) for _, id_ in found.unknown[:_NAMED])
        more = f" and {len(found.unknown) - _NAMED} more" if len(found.unknown) > _NAMED else ""
        raise CallError(400, f"Nothing was reported as {names}{more}; nothing is retracted.",
                        code="unknown_report")  # fmt: skip
    taken = len(found.retracted)
    return Received(len(decoded), taken, len(decoded) - taken, 0)


def _decode(exchange: Exchange) -> list[tuple[str, Event]]:
    """The events of a request, each with its place in the body for what may be wrong with it."""
    body = exchange.body
    if len(body) > LARGE_BYTES and (too_much := excess(body)) is not None:
        raise CallError(400, f"Your request has {too_much}.", code="too_many_values")
    try:
        if _BINARY in exchange.headers:
            # the attributes stand in headers, percent-encoded (CloudEvents HTTP binding, 3.1)
            attributes: dict[str, Any] = {
                name: unquote(exchange.headers[header].decode("latin-1"))
                for name in ("specversion", "id", "source", "type")
                if (header := f"ce-{name}".encode()) in exchange.headers
            }
            event = msgspec.convert({**attributes, "data": msgspec.Raw(body)}, Event)
            return [("", event)]
        if body.lstrip()[:1] != b"[":
            return [(".data", _decode_one(body))]
        return [(f"[{n}].data", event) for n, event in enumerate(_decode_many(body))]
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json() from error


def _report(event: Event, place: str, key: Key) -> Reported:
    if event.specversion != "1.0" or event.type not in (ACTIVITY_TYPE, CALL_TYPE):
        known = f"{ACTIVITY_TYPE}, {CALL_TYPE} and {RETRACTION_TYPE}"
        raise _refusal(event, f"only specversion 1.0 and the types {known} are known")
    try:
        if event.type == ACTIVITY_TYPE:
            return activity_of(event.source, event.id, _data(event, place, _decode_activity))
        call = _data(event, place, _decode_call)
        call = msgspec.structs.replace(  # the key's own customer and purpose where it names none
            call, customer=call.customer or key.customer, purpose=call.purpose or key.purpose
        )
        return call_of(event.source, event.id, call)
    except ValueError as error:
        raise _refusal(event, str(error)) from error


def _data(event: Event, place: str, decode: Callable[[msgspec.Raw], Data]) -> Data:
    try:
        return decode(event.data)
    except msgspec.ValidationError as error:
        text = str(error)  # with the place as seen from the whole body
        if _WHERE.search(text):
            text = _WHERE.sub(f"`${place}", text, count=1)
        elif place:
            text = f"{text} - at `${place}`"
        raise invalid(text) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json() from error


def _check_right(event: Event, report: Reported, key: Key) -> None:
    machine_time = isinstance(report, Activity) and report.unit != Unit.BYTE_SECONDS
    serving_time = machine_time and report.purpose in SERVING
    if serving_time:
        remedy = ": machine time of serving is metered by the calls themselves"
    else:
        remedy = f"; one that may is made with: inferworks keys create --purpose {report.purpose}"
    if serving_time or not (key.reporter or report.purpose in key.allowed):
        raise _forbidden(f"Event {event.id!r}: this key may not report {report.purpose}{remedy}.",
                         "purpose_not_allowed")  # fmt: skip
    if report.customer is None and not (key.ours or key.reporter):
        raise _forbidden(f"Event {event.id!r}: it names no customer; a key that may report what was used "
                         "for none is made with: inferworks keys create --ours",
                         "customer_not_allowed")  # fmt: skip
    if not key.reporter and report.customer not in (key.customer, None):
        raise _forbidden(f"Event {event.id!r}: this key may report for its own customer only; one that "
                         "may for all is made with: inferworks keys create --reporter",
                         "customer_not_allowed")  # fmt: skip
    if (
        isinstance(report, Usage)
        and report.legs[0].told_cost_pico is not None
        and not key.tells_cost
    ):
        raise _forbidden(f"Event {event.id!r}: this key may not say what a call cost; one that may is "
                         "made with: inferworks keys create --tell-cost",
                         "cost_not_allowed")  # fmt: skip


def _refusal(event: Event, reason: str) -> CallError:
    return CallError(400, f"Event {event.id!r}: {reason}.")


def _forbidden(message: str, code: str) -> CallError:
    return CallError(403, message, kind="permission_error", code=code)


def _not_json() -> CallError:
    return CallError(400, "The body is no JSON of a CloudEvents 1.0 event or batch.")
