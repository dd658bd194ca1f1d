"""HTTP API of an engine: the three paths that make it a replica any gateway can call."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from inferworks.clock import Clock
from inferworks.errors import CallError
from inferworks.hardware.engines.base import Engine
from inferworks.hardware.engines.openai import (
    ChunkEncoder,
    Tally,
    decode_request,
    encode_answer,
    encode_error,
    encode_models,
    to_ask,
)
from inferworks.http.server import Admission, Exchange, Refused, RequestHead
from inferworks.ids import CallId, new_call_id
from inferworks.units import NS_PER_SECOND

_STRANGER = CallError(401, "this replica answers only to its gateway", code="invalid_api_key")
CALL_ID_HEADER = b"x-inferworks-call-id"
_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


class EngineApi:
    """Answers the exchanges of one engine's server."""

    def __init__(
        self, engine: Engine, clock: Clock, healthy: Callable[[], bool], token: str = ""
    ) -> None:
        """`healthy` says whether new calls are welcome; GET /health repeats it.

        With a `token`, callers must send it as a bearer token, as with vLLM's `--api-key`.
        """
        self._credential = f"Bearer {token}".encode() if token else b""
        self._engine = engine
        self._clock = clock
        self._healthy = healthy
        self._created_s = clock.now_ns() // NS_PER_SECOND

    def admit(self, head: RequestHead) -> Admission | Refused:
        """Admit requests with the token; refuse others before their body is read."""
        if not self._credential:
            return Admission()
        if self._is_known(head.headers):
            return Admission(owner=self._credential)
        return Refused(_STRANGER.status, b"application/json", encode_error(_STRANGER))

    def _is_known(self, headers: Mapping[bytes, bytes]) -> bool:
        given = headers.get(b"authorization", b"")
        return not self._credential or hmac.compare_digest(given, self._credential)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one exchange; a CallError becomes an error body, or breaks off a stream."""
        try:
            if not self._is_known(exchange.headers):
                raise CallError(_STRANGER.status, _STRANGER.message, code=_STRANGER.code)
            match exchange.method, exchange.path:
                case "POST", "/v1/chat/completions":
                    await self._chat(exchange)
                case "GET", "/v1/models":
                    await exchange.respond(200, encode_models(self._engine.model, self._created_s))
                case "GET", "/health":
                    status = 200 if self._healthy() else 503
                    await exchange.respond(status, b"", content_type=b"text/plain")
                case method, path:
                    raise CallError(404, f"there is no {method} {path}", code="not_found")
        except CallError as error:
            if exchange.started:
                await exchange.end(b"data: " + encode_error(error) + b"\n\n")
            else:
                await exchange.respond(error.status, encode_error(error))

    async def _chat(self, exchange: Exchange) -> None:
        request = decode_request(exchange.body)
        if request.model != self._engine.model:
            message = f"the model {request.model!r} does not exist"
            raise CallError(404, message, code="model_not_found", param="model")
        given = exchange.headers.get(CALL_ID_HEADER)
        ask = to_ask(request, CallId(given.decode("latin-1")) if given else new_call_id())
        async with self._engine.generate(ask) as answer:
            tally = Tally(answer.prompt_tokens, ask.choices)
            if not request.stream:
                while pieces := await answer.next():
                    for piece in pieces:
                        tally.add(piece, keep_text=True)
                body = encode_answer(ask.call, request.model, self._now_s(), tally)
                await exchange.respond(200, body)
                return
            encoder = ChunkEncoder(
                ask.call, request.model, self._now_s(), tally, request.stream_options
            )
            pieces = await answer.next()  # a refusal comes here, while a status can be chosen
            await exchange.start(200, _STREAM_HEADERS)
            while pieces:
                await exchange.send(encoder.events(pieces))
                pieces = await answer.next()
            await exchange.end(encoder.last())

    def _now_s(self) -> int:
        return self._clock.now_ns() // NS_PER_SECOND
