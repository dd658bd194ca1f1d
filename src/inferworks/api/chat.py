"""`POST /v1/chat/completions`: one call, from its bytes to its one Usage.

    chat -> authenticate -> decode -> admit -> opened -> serve -> deliver

Each step adds one thing. What is turned away before `opened` leaves one refused Usage; from `opened` on
there is one way out, the tally's block, which writes exactly one Usage whatever happens inside. The
last bytes of an answer (its body, or `[DONE]`) are held until that Usage is durable: whoever has a whole
answer has been counted.
"""

from __future__ import annotations

import asyncio

import msgspec

from inferworks.api.auth import authenticate, purpose_of
from inferworks.api.door import Door
from inferworks.api.wire.openai import ChatRequest, decode_chat, error_event
from inferworks.cloud.call import Call, Chunk, Reply
from inferworks.cloud.route import least_loaded
from inferworks.cloud.serve import serve
from inferworks.errors import CallError, UpstreamError
from inferworks.http.server import ClientGone, Exchange
from inferworks.ids import ModelId, new_call_id
from inferworks.meter.tally import OpenCall
from inferworks.meter.usage import NO_TOKENS, Confidence, Opened, Outcome, Tokens

OPERATION = "chat.completions"
_BYTES_PER_TOKEN = 4
"""For estimates of silent upstreams only: what a token of English text weighs, by rule of thumb."""

_BROKE_OFF = CallError(
    502, "The model's server broke off its answer.", kind="server_error", code="upstream_failed"
)


async def chat(exchange: Exchange, door: Door) -> None:
    """Answer one chat completion."""
    key = authenticate(exchange.headers, door.keyring)
    opened = Opened(
        call_id=new_call_id(),
        opened_ns=door.clock.now_ns(),
        customer=key.customer,
        project=key.project,
        key_id=key.id,
        purpose=key.purpose,
        endpoint=OPERATION,
        model=ModelId(""),
        stream=False,
        request_bytes=len(exchange.body),
    )
    try:
        request = decode_chat(exchange.body)
        opened = msgspec.structs.replace(
            opened, model=ModelId(request.model), stream=bool(request.stream)
        )
        opened = msgspec.structs.replace(opened, purpose=purpose_of(exchange.headers, key))
        _require_model(door, opened.model)
        place = door.gate.admit()
    except CallError as error:
        await door.meter.refuse(opened, error.status, error.code)
        raise
    with place:
        async with door.meter.open(opened) as tally:
            await _serve(exchange, door, _call(opened, request, exchange.body), tally)


async def _serve(exchange: Exchange, door: Door, call: Call, tally: OpenCall) -> None:
    route = least_loaded(door.catalogue.offers(call.model), door.load.at)
    try:
        async with serve(call, route, door.providers, door.load, tally) as reply:
            await _deliver(exchange, call, reply, tally)
    except CallError as error:
        await tally.close(Outcome.FAILED, error.status, error.code)
        raise
    except ClientGone:
        raise asyncio.CancelledError from None  # however we hear of it, the call is cancelled


async def _deliver(exchange: Exchange, call: Call, reply: Reply, tally: OpenCall) -> None:
    headers = [(b"x-inferworks-call-id", call.id.encode())]
    if reply.status >= 400:
        tally.leg_ended(Outcome.REFUSED, reply.status, NO_TOKENS, Confidence.COUNTED)
        await tally.close(Outcome.REFUSED, reply.status, "upstream_refused")
        await exchange.respond(reply.status, reply.first.data, reply.content_type, headers)
    elif call.stream and not reply.first.last:
        await _deliver_stream(exchange, call, reply, tally, headers)
    else:
        await _deliver_body(exchange, call, reply, tally, headers)


async def _deliver_body(
    exchange: Exchange,
    call: Call,
    reply: Reply,
    tally: OpenCall,
    headers: list[tuple[bytes, bytes]],
) -> None:
    body = reply.first.data
    told = reply.first.tokens
    tokens = _estimate(call, len(body) // _BYTES_PER_TOKEN) if told is None else told
    confidence = Confidence.ESTIMATED if told is None else Confidence.REPORTED
    tally.first_token()
    tally.leg_ended(Outcome.ANSWERED, reply.status, tokens, confidence)
    tally.first_byte()
    tally.sent(len(body))
    await tally.close(Outcome.ANSWERED, reply.status)
    await exchange.respond(reply.status, body, reply.content_type, headers)


async def _deliver_stream(
    exchange: Exchange,
    call: Call,
    reply: Reply,
    tally: OpenCall,
    headers: list[tuple[bytes, bytes]],
) -> None:
    fields = [(b"content-type", reply.content_type), (b"cache-control", b"no-cache"), *headers]
    await exchange.start(reply.status, fields)
    counted = _StreamCount(call, tally)
    try:
        chunk = reply.first
        while not chunk.last:
            counted.see(chunk)
            if chunk.data:
                tally.first_byte()
                tally.sent(len(chunk.data))
                await exchange.send(chunk.data)
            chunk = await anext(reply.rest)
    except UpstreamError:
        tally.leg_ended(
            Outcome.FAILED, reply.status, counted.tokens, counted.confidence(whole=False)
        )
        await tally.close(Outcome.FAILED, reply.status, _BROKE_OFF.code)
        await exchange.end(error_event(_BROKE_OFF))
        return
    tally.sent(len(chunk.data))
    tally.leg_ended(Outcome.ANSWERED, reply.status, counted.tokens, counted.confidence(whole=True))
    await tally.close(Outcome.ANSWERED, reply.status)
    await exchange.end(chunk.data)


class _StreamCount:
    """The running token count of a stream: what the upstream says, or an estimate if it says nothing."""

    def __init__(self, call: Call, tally: OpenCall) -> None:
        self.tokens = NO_TOKENS
        self._call = call
        self._tally = tally
        self._events = 0
        self._told = False

    def see(self, chunk: Chunk) -> None:
        """Take in one chunk."""
        self._events += chunk.data.startswith(b"data")  # comments are no tokens
        if chunk.tokens is not None:
            self._told = True
            self.tokens = chunk.tokens
        elif not self._told:
            self.tokens = _estimate(self._call, self._events)
        if self.tokens.output:
            self._tally.first_token()
        self._tally.progress(self.tokens, self.confidence(whole=False))

    def confidence(self, *, whole: bool) -> Confidence:
        """How far the count may be trusted; `whole` when the stream has come to its end."""
        if not self._told:
            return Confidence.ESTIMATED
        return Confidence.REPORTED if whole else Confidence.COUNTED


def _call(opened: Opened, request: ChatRequest, body: bytes) -> Call:
    options = request.stream_options
    wants_usage = bool(options and options.include_usage)
    return Call(
        id=opened.call_id,
        operation=OPERATION,
        model=opened.model,
        stream=opened.stream,
        wants_usage=wants_usage,
        body=body,
        wants_running_usage=wants_usage and bool(options and options.continuous_usage_stats),
    )


def _require_model(door: Door, model: ModelId) -> None:
    if model not in door.catalogue.models():
        raise CallError(
            404,
            f"The model `{model}` does not exist or you do not have access to it.",
            code="model_not_found",
            param="model",
        )


def _estimate(call: Call, output: int) -> Tokens:
    """A guess for an upstream that tells nothing."""
    return Tokens(input=len(call.body) // _BYTES_PER_TOKEN, output=output)
