"""An upstream that misbehaves on request: OpenAI's API over real HTTP, on a loopback port.

Each request is answered as the next `Answer` says (the last one is repeated): what to answer, how to
write it to the wire, and where to break. What arrived is kept in `received`, and `left_early` counts the
clients that were gone before their answer was complete.

Source of the format: https://platform.openai.com/docs/api-reference/chat, streaming and error codes
included; `continuous_usage_stats` is vLLM's extension of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from inferworks.http.client import Origin
from inferworks.http.server import Connection, Exchange, HttpServer
from inferworks.testing.upstreams.audio import SPEECH, TRANSCRIPTIONS
from inferworks.testing.upstreams.chat import CHAT
from inferworks.testing.upstreams.completions import COMPLETIONS
from inferworks.testing.upstreams.images import IMAGE_EDITS, IMAGES
from inferworks.testing.upstreams.responses import RESPONSES
from inferworks.testing.upstreams.script import Answer, Body, Fault, Reports, Wire, Written
from inferworks.testing.upstreams.stability import STABLE_IMAGE
from inferworks.testing.upstreams.wholes import EMBEDDINGS, MODERATIONS, RERANK

__all__ = ["Answer", "Body", "FakeUpstream", "Fault", "Reports", "error_of", "open_upstream"]

_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "Invalid value for 'temperature'."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-***."),
    404: ("invalid_request_error", "model_not_found", "The model `x` does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
"""Status -> type, code and message of OpenAI's error body."""


class Received(msgspec.Struct, frozen=True):
    """A request as it came; header names in lower case."""

    path: str
    headers: dict[bytes, bytes]
    body: bytes


class Broken(Exception):
    """Raised in the handler to make the server cut its connection."""


class FakeUpstream:
    """The handler and its memory; `open_upstream` gives it a port."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.received: list[Received] = []
        self.left_early = 0
        self.server = HttpServer(self.handle, on_error=self._escaped)
        self.origin = Origin("127.0.0.1", 9, tls=False, base_path="/v1")
        self._answers = list(answers)
        self._connections: set[Connection] = set()
        self._bugs: list[BaseException] = []

    @property
    def connections(self) -> int:
        """How many connections have ever asked something: fewer than requests when they are kept."""
        return len(self._connections)

    def script(self, *answers: Answer) -> None:
        """What to do with the requests from now on."""
        self._answers = list(answers)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says."""
        self._connections |= self.server.connections
        self.received.append(Received(exchange.path, dict(exchange.headers), exchange.body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        try:
            await _answer(exchange, answer, self.wire(exchange.path))
        except asyncio.CancelledError:
            self.left_early += 1
            raise

    def wire(self, path: str) -> Wire:
        """How `path` is answered."""
        return _WIRES.get(path.removeprefix("/v1"), CHAT)

    def _escaped(self, error: BaseException) -> None:
        if not isinstance(error, Broken):
            self._bugs.append(error)

    async def stop(self) -> None:
        """Drop every client; AssertionError when the fake itself had failed."""
        await self.server.stop(drain_s=0.0)
        assert not self._bugs, f"the fake upstream itself failed: {self._bugs}"


@asynccontextmanager
async def open_upstream(*answers: Answer) -> AsyncIterator[FakeUpstream]:
    """A `FakeUpstream` on a free port while the block runs; with no answers it answers well."""
    upstream = FakeUpstream(answers or (Answer(),))
    port = await upstream.server.start("127.0.0.1", 0)
    upstream.origin = Origin("127.0.0.1", port, tls=False, base_path="/v1")
    try:
        yield upstream
    finally:
        await upstream.stop()


async def _answer(exchange: Exchange, answer: Answer, wire: Wire) -> None:
    if answer.fault is Fault.HANG_BEFORE_HEADERS:
        await _hang()
    request = wire.read(exchange)
    error = wire.error_of or error_of
    if request is None:
        await exchange.respond(400, error(400))
    elif answer.status >= 400:
        await exchange.respond(answer.status, error(answer.status), _JSON, list(answer.headers))
    elif request.get("stream") and not answer.never_streams and wire.events:
        await _stream(exchange, answer, wire, wire.events(answer, request))
    else:
        await _whole(exchange, answer, _written(answer, wire, request))


def _written(answer: Answer, wire: Wire, request: Body) -> Written:
    """The whole answer to a request, whatever it is."""
    written = wire.written(answer, request) if wire.written else None
    return written or Written(_JSON, (_json(wire.whole(answer, request), answer),))


async def _whole(exchange: Exchange, answer: Answer, written: Written) -> None:
    if len(written.pieces) > 1:
        await _pieces(exchange, answer, written)
        return
    await asyncio.sleep(answer.event_s)
    body = b"".join(written.pieces)
    if answer.fault is Fault.NONE:
        await exchange.respond(answer.status, body, written.content_type, list(written.headers))
        return
    await exchange.start(answer.status, [(b"content-type", b"application/json")])
    if answer.fault_after:
        await exchange.send(body[: len(body) // 2])
    if answer.fault is Fault.ERROR_EVENT:
        await exchange.end(error_of(500))
    else:
        await _go_wrong(exchange, answer)


async def _pieces(exchange: Exchange, answer: Answer, written: Written) -> None:
    """An answer without events that is sent as it is made, and can only break off or stop."""
    if answer.fault is Fault.ERROR_EVENT:
        await exchange.respond(answer.status, error_of(500))
        return
    headers = [(b"content-type", written.content_type), *written.headers]
    await exchange.start(answer.status, headers)
    for number, piece in enumerate(written.pieces):
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            if answer.fault is Fault.HANG:
                await _hang()
            raise Broken
        await asyncio.sleep(answer.event_s)
        await exchange.send(piece)
    await exchange.end()


async def _stream(exchange: Exchange, answer: Answer, wire: Wire, events: Iterator[Body]) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await exchange.start(answer.status, headers)
    for number, event in enumerate(events):
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            await _go_wrong(exchange, answer)
            return
        await asyncio.sleep(answer.event_s)
        name = event["type"] if wire.named else ""
        await _write(exchange, answer, _framed(_json(event, answer), answer, name))
    if not wire.named:
        await _write(exchange, answer, _framed(b"[DONE]", answer))
    if answer.end_apart:
        await asyncio.sleep(0.02)
    await exchange.end()


async def _go_wrong(exchange: Exchange, answer: Answer) -> None:
    """Break the answer here, as `answer.fault` says."""
    match answer.fault:
        case Fault.HANG:
            await exchange.send(b": \n\n")  # so that the head leaves
            await _hang()
        case Fault.RESET:
            raise Broken
        case Fault.GARBAGE:
            await exchange.send(_framed(b'{"id": "chatcmpl-1", "choices": [{"ind', answer))
            await exchange.send(_framed(b"[DONE]", answer))
        case Fault.ERROR_EVENT:
            await exchange.send(_framed(error_of(500), answer))
    await exchange.end()


async def _hang() -> None:
    await asyncio.Event().wait()


async def _write(exchange: Exchange, answer: Answer, data: bytes) -> None:
    size = answer.piece_bytes or len(data)
    for start in range(0, len(data), size):
        await exchange.send(data[start : start + size])
        if answer.piece_bytes:
            await asyncio.sleep(0)


def _framed(data: bytes, answer: Answer, name: str = "") -> bytes:
    """`data` as an event, with its comment, its name and line ends."""
    comment = answer.comment_before_each
    before = b"" if comment is None else b": " + comment.encode() + answer.line_end * 2
    if name:
        before += b"event: " + name.encode() + answer.line_end
    return before + b"data: " + data + answer.line_end * 2


def error_of(status: int) -> bytes:
    """OpenAI's error body for `status`."""
    kind, code, message = _ERRORS.get(status, ("server_error", None, f"status {status}"))
    return json.dumps(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}
    ).encode()


def _json(value: Body, answer: Answer) -> bytes:
    separators = (", ", ": ") if answer.spaced else (",", ":")
    return json.dumps(value, separators=separators, ensure_ascii=False).encode()


_JSON = b"application/json"
_WIRES: Mapping[str, Wire] = {
    "/completions": COMPLETIONS,
    "/responses": RESPONSES,
    "/embeddings": EMBEDDINGS,
    "/moderations": MODERATIONS,
    "/rerank": RERANK,
    "/images/generations": IMAGES,
    "/images/edits": IMAGE_EDITS,
    "/audio/speech": SPEECH,
    "/audio/transcriptions": TRANSCRIPTIONS,
    "/stable-image/generate/core": STABLE_IMAGE,
    "/stable-image/generate/ultra": STABLE_IMAGE,
    "/stable-image/generate/sd3": STABLE_IMAGE,
}
"""Path -> how it is answered; any other path is a chat."""
