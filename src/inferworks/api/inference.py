"""Every operation that is charged for: one call, from its bytes to its one Usage.

    authenticate -> decode -> admit -> opened -> serve -> deliver

Each step adds one thing. A request that is refused before `opened` leaves one refused Usage; from `opened`
on there is one way out, the recorder's block, which writes exactly one Usage whatever happens inside.

The dialects differ in how a request is read and an error is written (their `Form`) and in nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from inferworks.accounts.key import Key
from inferworks.api.auth import authenticate, purpose_of
from inferworks.api.coded import CODED, decode_body
from inferworks.api.context import AppContext, Endpoint
from inferworks.api.cost_disclosure import INCLUDE, asks_for_cost
from inferworks.api.response_writer import ResponseWriter
from inferworks.api.wire.base import Asked, Form
from inferworks.cloud.bodies.aside import LARGE_BYTES, aside
from inferworks.cloud.bodies.rewrite import with_model, without_value
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.errors import CallError
from inferworks.http.multipart import is_form, with_field
from inferworks.http.server import Exchange
from inferworks.ids import CallId, ModelId, new_call_id
from inferworks.meter.usage import LONGEST_END_USER, Opened
from inferworks.observe.transcripts import Transcript
from inferworks.purpose import Purpose
from inferworks.redact import redacted

_SESSION = b"x-inferworks-session"
"""Header with the session of a conversation, for dialects that have no field for it."""
CALL_ID: Final = b"x-inferworks-call-id"
"""Header with the id of a call's record, in every answer to a call."""
_NOTHING_ASKED = Asked("")
"""Request information of a body that cannot be read."""
_JSON = b"application/json"


def inference_endpoint(form: Form, model: str = "") -> Endpoint:
    """Return the endpoint of calls of `form`; of `model`, whatever the body says, if one is given."""

    async def endpoint(exchange: Exchange, context: AppContext) -> None:
        key = authenticate(exchange.headers, context.keyring)
        clock = context.clock.carried()  # one for the whole call, so that no time of it is negative
        at_ns = clock.now_ns()
        exchange.is_call = True
        arrived = _Arrived(new_call_id(at_ns), at_ns, key, exchange)
        exchange.request_id, name = arrived.call_id, arrived.call_id.encode()
        exchange.beside = (*exchange.beside, (CALL_ID, name), (form.errors.id_header, name))
        if context.traces is not None:
            context.traces.begin(arrived.call_id, exchange.headers.get(b"traceparent"))
        asked, purpose = _NOTHING_ASKED, key.purpose
        try:
            if CODED in exchange.headers:
                await decode_body(exchange)
            if model:
                await _name(exchange, _content_type(form, exchange), model)
            body, content_type = exchange.body, _content_type(form, exchange)
            if len(body) > LARGE_BYTES:
                asked = await aside(form.decode, body, content_type)
            else:
                asked = form.decode(body, content_type)
            purpose = purpose_of(exchange.headers, key)
            opened = arrived.opened(form, asked, purpose)
            wants_cost = asked.wants_cost or asks_for_cost(exchange.headers.get(INCLUDE))
            call = _call(form, opened, asked, exchange, wants_cost)
            if asked.wants_cost:  # which is for us alone
                call = msgspec.structs.replace(call, body=await _without_wish(body))
            offers = _offers(context, call)
            place = context.limiter.admit(key.id)
        except CallError as error:
            named = redacted(asked.model)  # which may be a key that was put into the wrong field
            refused = arrived.opened(form, msgspec.structs.replace(asked, model=named), purpose)
            await context.meter.refuse(refused, error.status, error.code)
            raise
        transcript = _transcript(context, key, opened, exchange)
        with place:
            try:
                async with context.meter.open(opened, clock) as recorder:
                    delivery = ResponseWriter(
                        form, exchange, context, call, recorder, wants_cost, transcript
                    )
                    await delivery.run(offers)
            finally:
                if transcript is not None:
                    transcript.end()

    return endpoint


class _Arrived(NamedTuple):
    """Facts of a call that are known before its body is read."""

    call_id: CallId
    at_ns: int
    key: Key
    exchange: Exchange

    def opened(self, form: Form, asked: Asked, purpose: Purpose) -> Opened:
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
            model=ModelId(asked.model),
            stream=asked.stream,
            request_bytes=len(self.exchange.body),
            end_user=redacted(asked.end_user[:LONGEST_END_USER]) if asked.end_user else "",
        )


def _transcript(
    context: AppContext, key: Key, opened: Opened, exchange: Exchange
) -> Transcript | None:
    """Return the transcript of the call, if its key was made to have transcripts kept; else None."""
    if not key.log_content or context.transcripts is None:
        return None
    return context.transcripts.begin(opened, exchange.body)


async def _name(exchange: Exchange, content_type: bytes, model: str) -> None:
    """Have the body of a request name `model`; one that cannot be read stays as it is, to be refused."""
    body = exchange.body
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        if len(body) > LARGE_BYTES:
            exchange.body = await aside(_named, body, content_type, model)
        else:
            exchange.body = _named(body, content_type, model)


def _named(body: bytes, content_type: bytes, model: str) -> bytes:
    if is_form(content_type):
        return with_field(body, content_type, "model", model)
    return with_model(body, model)


async def _without_wish(body: bytes) -> bytes:
    """The request `body` less the wish for its cost."""
    if len(body) > LARGE_BYTES:
        return await aside(without_value, body, "usage")
    return without_value(body, "usage")


def _call(form: Form, opened: Opened, asked: Asked, exchange: Exchange, wants_cost: bool) -> Call:
    headers = exchange.headers
    return Call(
        id=opened.call_id,
        operation=form.operation,
        model=opened.model,
        stream=asked.stream,
        wants_usage=asked.wants_usage or wants_cost,
        body=exchange.body,
        wants_running_usage=asked.wants_running_usage,
        content_type=_content_type(form, exchange),
        headers=tuple([(name, headers[name]) for name in form.forwarded if name in headers]),
        session=headers.get(_SESSION) or asked.session.encode(),
    )


def _content_type(form: Form, exchange: Exchange) -> bytes:
    """Return the content type of the body; JSON, whatever the header says, where no form is accepted."""
    if form.fields is None:
        return _JSON
    return exchange.headers.get(b"content-type", _JSON)


def _offers(context: AppContext, call: Call) -> list[Offer]:
    """Return the offers that could serve `call` now; CallError when none ever could."""
    offers = context.catalogue.offers(call.model)
    able = [o for o in offers if call.operation in context.providers[o.provider].operations]
    if able:
        return able
    if call.model not in context.catalogue.models():
        raise CallError(
            404,
            f"The model `{call.model}` does not exist or you do not have access to it.",
            code="model_not_found",
            param="model",
        )
    if offers:
        raise CallError(
            400,
            f"The model `{call.model}` cannot be used for {call.operation}.",
            code="unsupported_operation",
            param="model",
        )
    return able
