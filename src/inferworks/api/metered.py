"""Every operation that is charged for: one call, from its bytes to its one Usage.

    authenticate -> decode -> admit -> opened -> serve -> deliver

Each step adds one thing. What is turned away before `opened` leaves one refused Usage; from `opened` on
there is one way out, the tally's block, which writes exactly one Usage whatever happens inside.

The dialects differ in how a request is read and an error is written (their `Form`) and in nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from inferworks.accounts.key import Key
from inferworks.api.auth import authenticate, purpose_of
from inferworks.api.delivery import Delivery
from inferworks.api.door import Door, Endpoint
from inferworks.api.telling import INCLUDE, asks_for_cost
from inferworks.api.wire.base import Asked, Form
from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer
from inferworks.cloud.rewrite import read_fields, without_value
from inferworks.errors import CallError
from inferworks.http.server import Exchange
from inferworks.ids import CallId, ModelId, new_call_id
from inferworks.meter.usage import LONGEST_END_USER, Opened
from inferworks.observe.transcripts import Transcript
from inferworks.purpose import Purpose

_SESSION = b"x-inferworks-session"
"""What calls of one conversation share, in a dialect that has no word for it."""
_NOTHING_ASKED = Asked("")
"""What a body says that cannot be read."""
_JSON = b"application/json"


def metered(form: Form) -> Endpoint:
    """The endpoint that serves calls of `form`."""

    async def endpoint(exchange: Exchange, door: Door) -> None:
        key = authenticate(exchange.headers, door.keyring)
        arrived = _Arrived(new_call_id(), door.clock.now_ns(), key, exchange)
        if door.traces is not None:
            door.traces.begin(arrived.call_id, exchange.headers.get(b"traceparent"))
        asked, purpose = _NOTHING_ASKED, key.purpose
        try:
            asked = form.decode(exchange.body, _content_type(form, exchange))
            purpose = purpose_of(exchange.headers, key)
            opened = arrived.opened(form, asked, purpose)
            wants_cost = asked.wants_cost or asks_for_cost(exchange.headers.get(INCLUDE))
            call = _call(form, opened, asked, exchange, wants_cost)
            offers = _offers(door, call)
            place = door.gate.admit(key.id)
        except CallError as error:
            refused = arrived.opened(form, asked, purpose)
            await door.meter.refuse(refused, error.status, error.code)
            raise
        transcript = _transcript(door, key, opened, exchange)
        with place:
            try:
                async with door.meter.open(opened) as tally:
                    delivery = Delivery(form, exchange, door, call, tally, wants_cost, transcript)
                    await delivery.run(offers)
            finally:
                if transcript is not None:
                    transcript.end()

    return endpoint


class _Arrived(NamedTuple):
    """What is known of a call before its body is read."""

    call_id: CallId
    at_ns: int
    key: Key
    exchange: Exchange

    def opened(self, form: Form, asked: Asked, purpose: Purpose) -> Opened:
        """The call, as far as its body has told what was `asked`."""
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
            end_user=asked.end_user[:LONGEST_END_USER],
        )


def _transcript(door: Door, key: Key, opened: Opened, exchange: Exchange) -> Transcript | None:
    """What keeps the prompt and the answer, if the key was made to have them kept."""
    if not key.log_content or door.transcripts is None:
        return None
    return door.transcripts.begin(opened, exchange.body)


def _body(asked: Asked, exchange: Exchange) -> bytes:
    """The request as the client sent it, less what is for us alone."""
    body = exchange.body
    return without_value(body, read_fields(body), "usage") if asked.wants_cost else body


def _call(form: Form, opened: Opened, asked: Asked, exchange: Exchange, wants_cost: bool) -> Call:
    headers = exchange.headers
    return Call(
        id=opened.call_id,
        operation=form.operation,
        model=opened.model,
        stream=asked.stream,
        wants_usage=asked.wants_usage or wants_cost,
        body=_body(asked, exchange),
        wants_running_usage=asked.wants_running_usage,
        content_type=_content_type(form, exchange),
        headers=tuple([(name, headers[name]) for name in form.forwarded if name in headers]),
        session=headers.get(_SESSION) or asked.session.encode(),
    )


def _content_type(form: Form, exchange: Exchange) -> bytes:
    """What the body is; where it can only be JSON it is read as that, whatever its header says."""
    if form.fields is None:
        return _JSON
    return exchange.headers.get(b"content-type", _JSON)


def _offers(door: Door, call: Call) -> list[Offer]:
    """Who could serve `call` now; CallError when nobody ever could."""
    offers = door.catalogue.offers(call.model)
    able = [o for o in offers if call.operation in door.providers[o.provider].operations]
    if able:
        return able
    if call.model not in door.catalogue.models():
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
