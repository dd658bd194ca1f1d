"""Every operation that is charged for: one call, from its bytes to its one Usage.

    authenticate -> decode -> admit, perhaps wait -> opened -> serve -> deliver

Each step adds one thing. A request that is refused before `opened` leaves one refused Usage, one whose
client leaves while it waits a cancelled one. From `opened` on there is one way out, the recorder's block,
which writes exactly one Usage whatever happens inside.

The dialects differ in how a request is read and an error is written (their `EndpointSpec`), and in nothing
else.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from inferworks.accounts.key import Key
from inferworks.api.admission import PURPOSE, authenticate, check_scope, no_model, purpose_of
from inferworks.api.call_limits import NO_HOLD, AnyHold
from inferworks.api.coded import CODED, decode_body
from inferworks.api.concurrency import Permit
from inferworks.api.context import AppContext, Endpoint
from inferworks.api.cost_disclosure import INCLUDE, asks_for_cost
from inferworks.api.response_writer import ResponseWriter
from inferworks.api.wire.base import EndpointSpec, RequestInfo
from inferworks.cloud.bodies.aside import LARGE_BYTES, aside
from inferworks.cloud.bodies.rewrite import with_model, without_value
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.errors import CallError
from inferworks.http.multipart import is_form, with_field
from inferworks.http.server import Exchange
from inferworks.ids import CallId, ModelId, new_call_id
from inferworks.meter.call_recorder import CallRecorder
from inferworks.meter.usage import LONGEST_END_USER, Opened
from inferworks.purpose import Purpose
from inferworks.redact import redacted

_SESSION = b"x-inferworks-session"
"""Header with the session of a conversation, for dialects that have no field for it."""
CALL_ID: Final = b"x-inferworks-call-id"
"""Header with the id of a call's record, in every answer to a call."""
_NOT_READ = RequestInfo("")
"""Request information of a body that cannot be read."""
_JSON = b"application/json"


def inference_endpoint(form: EndpointSpec, model: str = "") -> Endpoint:
    """Return the endpoint of calls of `form`; of `model`, whatever the body says, if one is given."""

    async def endpoint(exchange: Exchange, context: AppContext) -> None:
        headers = exchange.headers
        key = authenticate(exchange, context.keyring, context.clock)
        clock = context.clock.carried()  # one for the whole call, so that no time of it is negative
        at_ns = clock.now_ns()
        exchange.is_call = True
        arrived = _Arrived(new_call_id(at_ns), at_ns, key, exchange)
        exchange.request_id, name = arrived.call_id, arrived.call_id.encode()
        exchange.extra_headers = (
            *exchange.extra_headers,
            (CALL_ID, name),
            (form.errors.id_header, name),
        )
        if context.traces is not None:
            context.traces.begin(arrived.call_id, headers.get(b"traceparent"))
        request, purpose = _NOT_READ, key.purpose
        hold: AnyHold = NO_HOLD
        # JSON, whatever the header says, where no form is accepted
        content_type = _JSON if form.fields is None else headers.get(b"content-type", _JSON)
        try:
            if CODED in headers:
                await decode_body(exchange)
            if model:
                await _set_model(exchange, content_type, model)
            body = exchange.body
            if len(body) > LARGE_BYTES:
                request = await aside(form.decode, body, content_type)
            else:
                request = form.decode(body, content_type)
            if PURPOSE in headers:
                purpose = purpose_of(headers, key)
            opened = arrived.opened(form, request, purpose)
            wants_cost = request.wants_cost or (
                INCLUDE in headers and asks_for_cost(headers[INCLUDE])
            )
            if request.wants_cost:  # which is for us alone
                is_large = len(body) > LARGE_BYTES
                body = (
                    await aside(without_value, body, "usage")
                    if is_large
                    else without_value(body, "usage")
                )
            forwarded: tuple[tuple[bytes, bytes], ...] = ()
            if not form.forwarded.isdisjoint(headers):
                forwarded = tuple([(n, headers[n]) for n in form.forwarded if n in headers])
            call = Call(
                id=opened.call_id,
                operation=form.operation,
                model=opened.model,
                stream=request.stream,
                wants_usage=request.wants_usage or wants_cost,
                body=body,
                wants_running_usage=request.wants_running_usage,
                wants_cost=wants_cost,
                content_type=content_type,
                headers=forwarded,
                session=headers.get(_SESSION) or request.session.encode(),
            )
            offers = _offers(context, call, key)
            hold, call = await context.limits.hold(key, opened, request, call, offers)
            permit, offers = await _admitted(context, call, key, opened, offers, hold)
        except CallError as error:
            hold.release()
            named = redacted(request.model)  # which may be a key that was put into the wrong field
            refused = arrived.opened(form, msgspec.structs.replace(request, model=named), purpose)
            await context.meter.refuse(refused, error.status, error.code)
            raise
        transcript = None
        recorder = context.meter.open(opened, clock)
        recorder.on_end = hold.end
        try:
            if key.log_content and context.transcripts is not None:
                transcript = context.transcripts.begin(opened, exchange.body)
            async with recorder:
                writer = ResponseWriter(form, exchange, context, call, recorder, transcript, hold)
                writer.queued_ns = permit.queued_ns
                await writer.run(offers)
        finally:
            permit.leave()
            _let_go(hold, recorder)
            if transcript is not None:
                transcript.end()

    return endpoint


def _let_go(hold: AnyHold, recorder: CallRecorder) -> None:
    """Give back what a call holds that was never opened; of any other its record says what it used."""
    if not recorder.is_closed:
        hold.release()


class _Arrived(NamedTuple):
    """Facts of a call that are known before its body is read."""

    call_id: CallId
    at_ns: int
    key: Key
    exchange: Exchange

    def opened(self, form: EndpointSpec, request: RequestInfo, purpose: Purpose) -> Opened:
        """Return the open call, with the facts that its body has given."""
        key = self.key
        return Opened(
            call_id=self.call_id,
            opened_ns=self.at_ns,
            customer=key.customer,
            project=key.project,
            key_id=key.id,
            purpose=purpose,
            endpoint=form.operation,
            model=ModelId(request.model),
            stream=request.stream,
            request_bytes=len(self.exchange.body),
            end_user=redacted(request.end_user[:LONGEST_END_USER]) if request.end_user else "",
        )


async def _set_model(exchange: Exchange, content_type: bytes, model: str) -> None:
    """Have the body of a request name `model`; one that cannot be read stays as it is, to be refused."""
    body = exchange.body
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        if len(body) > LARGE_BYTES:
            exchange.body = await aside(_with_model, body, content_type, model)
        else:
            exchange.body = _with_model(body, content_type, model)


def _with_model(body: bytes, content_type: bytes, model: str) -> bytes:
    if is_form(content_type):
        return with_field(body, content_type, "model", model)
    return with_model(body, model)


async def _admitted(
    context: AppContext, call: Call, key: Key, opened: Opened, offers: list[Offer], hold: AnyHold
) -> tuple[Permit, list[Offer]]:
    """Let `call` in, perhaps after a wait; its permit, and the offers that could serve it then.

    CallError when it cannot be let in. If its client leaves, that is recorded, and `hold` released.
    """
    slots = context.router.slots(call.model, offers, key.regions)
    try:
        permit = await context.limiter.admit(key, slots)
    except asyncio.CancelledError:
        hold.release()
        context.meter.left(opened)
        raise
    if permit.queued_ns:
        try:
            # a replica may have ended meanwhile, another begun
            offers = _offers(context, call, key)
        except CallError:
            permit.leave()
            raise
    return permit, offers


def _offers(context: AppContext, call: Call, key: Key) -> list[Offer]:
    """Return the offers that could serve `call` of `key` now; CallError when none ever could."""
    if key.operations or key.models:
        check_scope(key, call.operation, call.model)
    offers = context.catalogue.offers(call.model)
    able: list[Offer] = []
    for offer in offers:
        if call.operation in context.providers[offer.provider].operations:
            able.append(offer)  # noqa: PERF401 a comprehension costs a call of its own
    if able and key.regions:
        there = [offer for offer in able if offer.region.startswith(key.regions)]
        if not there:
            raise CallError(
                403,
                f"The model `{call.model}` is not served in a region where this key's calls may run "
                f"({', '.join(key.regions)}).",
                kind="permission_error",
                code="region_not_allowed",
                param="model",
            )
        return there
    if able:
        return able
    if call.model not in context.catalogue.models():
        raise no_model(call.model)
    if offers:
        raise CallError(
            400,
            f"The model `{call.model}` cannot be used for {call.operation}.",
            code="unsupported_operation",
            param="model",
        )
    return able
