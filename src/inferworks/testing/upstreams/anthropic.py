"""An upstream that speaks Anthropic's messages over real HTTP, and misbehaves on request.

Like `testing.upstream`, whose faults and memory it shares: each request is answered as the next
`MessageAnswer` says, the last one is repeated. It is as strict as the real one about the version header
and the required fields.

Sources: https://platform.claude.com/docs/en/api/messages, /build-with-claude/streaming, /api/errors
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from inferworks.http.client import Origin
from inferworks.http.server import Exchange
from inferworks.testing.upstream import Body, Broken, FakeUpstream, Fault, Received
from inferworks.testing.upstreams.able import Reaction, asked_in_messages, react

_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "max_tokens: Field required"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the resource."),
    404: ("not_found_error", "model: claude-nothing"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
"""Status -> type and message of Anthropic's error body."""

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "/v1/messages": ("model", "messages", "max_tokens"),
    "/v1/messages/count_tokens": ("model", "messages"),
}


class MessageAnswer(msgspec.Struct, frozen=True):
    """What the upstream does with one request."""

    words: tuple[str, ...] = ("Hello", " there", ".")
    """The text, one token each; `max_tokens` of the request cuts it. None of them: no text block."""
    thoughts: tuple[str, ...] = ()
    """What is thought before, in a signed block."""
    tool: tuple[str, str] | None = None
    """A tool that is called after the text: its name and its arguments, as JSON."""
    is_able: bool = False
    """It calls the tools of its request instead, and answers in the form that it asks for."""
    input_tokens: int = 5
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    thinking_tokens: int | None = None
    searches: int | None = None
    service_tier: str | None = "standard"
    says_usage: bool = True
    status: int = 200
    """A status of 400 or more is answered with Anthropic's error body."""
    fault: Fault = Fault.NONE
    fault_after: int = 0
    """Events before the fault; of a whole body, any number above zero means half of it."""
    line_end: bytes = b"\n"
    piece_bytes: int | None = None
    """The stream is written in pieces of this size, each by itself; None: event by event."""
    event_s: float = 0.0
    """Seconds before each event."""

    @property
    def output_tokens(self) -> int:
        """One for each word, thought and call, and the thoughts that are not shown."""
        shown = len(self.words) + len(self.thoughts) + (self.tool is not None)
        return shown + (self.thinking_tokens or 0)


class FakeAnthropic(FakeUpstream):
    """The handler and its memory; `open_anthropic` gives it a port."""

    def __init__(self, messages: Sequence[MessageAnswer]) -> None:
        super().__init__(())
        self._messages = list(messages)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says."""
        self._connections |= self.server.connections
        self.received.append(Received(exchange.path, dict(exchange.headers), exchange.body))
        answer = self._messages.pop(0) if len(self._messages) > 1 else self._messages[0]
        try:
            await _answer(exchange, answer)
        except asyncio.CancelledError:
            self.left_early += 1
            raise


@asynccontextmanager
async def open_anthropic(*messages: MessageAnswer) -> AsyncIterator[FakeAnthropic]:
    """A `FakeAnthropic` on a free port while the block runs; with no answers it answers well."""
    upstream = FakeAnthropic(messages or (MessageAnswer(),))
    port = await upstream.server.start("127.0.0.1", 0)
    upstream.origin = Origin("127.0.0.1", port, tls=False, base_path="/v1")
    try:
        yield upstream
    finally:
        await upstream.stop()


async def _answer(exchange: Exchange, answer: MessageAnswer) -> None:
    if answer.fault is Fault.HANG_BEFORE_HEADERS:
        await asyncio.Event().wait()
    request = json.loads(exchange.body)
    flaw = _flaw(exchange, request)
    if flaw is not None:
        await exchange.respond(400, _error(400, flaw))
    elif answer.status >= 400:
        await exchange.respond(answer.status, error_of(answer.status))
    elif exchange.path.endswith("/count_tokens"):
        await exchange.respond(200, _json({"input_tokens": answer.input_tokens}))
    elif request.get("stream"):
        await _stream(exchange, _as_asked(answer, request), request)
    else:
        await _whole(exchange, _as_asked(answer, request), request)


def _as_asked(answer: MessageAnswer, request: Body) -> MessageAnswer:
    """`answer` with what an able model says to the request."""
    reaction = react(asked_in_messages(request)) if answer.is_able else Reaction()
    if reaction.tool is not None:
        return msgspec.structs.replace(answer, words=(), tool=reaction.tool)
    return msgspec.structs.replace(answer, words=reaction.words or answer.words)


def _flaw(exchange: Exchange, request: Body) -> str | None:
    """What the real one would refuse a request for, however it is scripted."""
    if b"anthropic-version" not in exchange.headers:
        return "anthropic-version: header is required"
    missing = [name for name in _REQUIRED[exchange.path] if name not in request]
    return f"{missing[0]}: Field required" if missing else None


async def _whole(exchange: Exchange, answer: MessageAnswer, request: Body) -> None:
    await asyncio.sleep(answer.event_s)
    body = _json(message_of(answer, request))
    if answer.fault is Fault.NONE:
        await exchange.respond(answer.status, body)
        return
    await exchange.start(answer.status, [(b"content-type", b"application/json")])
    if answer.fault_after:
        await exchange.send(body[: len(body) // 2])
    if answer.fault is Fault.ERROR_EVENT:
        await exchange.end(error_of(529))
    else:
        await _go_wrong(exchange, answer)


async def _stream(exchange: Exchange, answer: MessageAnswer, request: Body) -> None:
    await exchange.start(200, [(b"content-type", b"text/event-stream; charset=utf-8")])
    for number, event in enumerate(events_of(answer, request)):
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            await _go_wrong(exchange, answer)
            return
        await asyncio.sleep(answer.event_s)
        await _write(exchange, answer, _framed(event, answer))
    await exchange.end()


async def _go_wrong(exchange: Exchange, answer: MessageAnswer) -> None:
    """Break the answer here, as `answer.fault` says."""
    match answer.fault:
        case Fault.HANG:
            await exchange.send(b": \n\n")  # so that the head leaves
            await asyncio.Event().wait()
        case Fault.RESET:
            raise Broken
        case Fault.GARBAGE:
            await exchange.send(b'event: content_block_delta\ndata: {"type": "conte\n\n')
            await exchange.send(_framed({"type": "message_stop"}, answer))
        case Fault.ERROR_EVENT:
            await exchange.send(b"event: error\ndata: " + error_of(529) + b"\n\n")
    await exchange.end()


async def _write(exchange: Exchange, answer: MessageAnswer, data: bytes) -> None:
    size = answer.piece_bytes or len(data)
    for start in range(0, len(data), size):
        await exchange.send(data[start : start + size])
        if answer.piece_bytes:
            await asyncio.sleep(0)


def _framed(event: Body, answer: MessageAnswer) -> bytes:
    """`event` as it stands on the wire."""
    end = answer.line_end
    return b"event: %b%bdata: %b%b" % (event["type"].encode(), end, _json(event), end * 2)


def events_of(answer: MessageAnswer, request: Body) -> Iterator[Body]:
    """The events of a stream, the ping where the documentation has it."""
    message = message_of(answer, request)
    blocks, usage = message["content"], message.pop("usage", None)
    start = {**message, "content": [], "stop_reason": None}
    if usage is not None:
        start["usage"] = {**usage, "output_tokens": 1}
        start["usage"].pop("output_tokens_details", None)
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(blocks):
        first, deltas = _in_deltas(block, answer)
        yield {"type": "content_block_start", "index": index, "content_block": first}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end: Body = {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
    }
    if usage is not None:
        kept = ("output_tokens", "output_tokens_details", "server_tool_use")
        end["usage"] = {name: usage[name] for name in kept if name in usage}
    yield end
    yield {"type": "message_stop"}


def _in_deltas(block: Body, answer: MessageAnswer) -> tuple[Body, list[Body]]:
    """`block` as it begins, and what is added to it."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": text} for text in answer.thoughts]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "tool_use":
            given = answer.tool[1] if answer.tool else ""
            half = len(given) // 2
            pieces = ("", given[:half], given[half:]) if block["input"] else ("",)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            return {**block, "input": {}}, deltas
    count = len(block["text"])
    words = []
    for word in answer.words:
        if count > 0:
            words.append({"type": "text_delta", "text": word})
        count -= len(word)
    return {**block, "text": ""}, words


def message_of(answer: MessageAnswer, request: Body) -> Body:
    """A whole message."""
    limit = request["max_tokens"]
    words = answer.words[:limit]
    content: list[Body] = []
    if answer.thoughts:
        thinking = "".join(answer.thoughts)
        content.append({"type": "thinking", "thinking": thinking, "signature": "c2lnbmVk"})
    if words:
        content.append({"type": "text", "text": "".join(words)})
    if answer.tool:
        name, arguments = answer.tool
        given = json.loads(arguments)
        content.append({"type": "tool_use", "id": "toolu_01", "name": name, "input": given})
    reason = "max_tokens" if words != answer.words else "tool_use" if answer.tool else "end_turn"
    message: Body = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
    }
    if answer.says_usage:
        message["usage"] = _usage(answer, len(answer.words) - len(words))
    return message


def _usage(answer: MessageAnswer, cut: int) -> Body:
    usage: Body = {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": answer.cache_write_5m + answer.cache_write_1h,
        "cache_read_input_tokens": answer.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": answer.cache_write_5m,
            "ephemeral_1h_input_tokens": answer.cache_write_1h,
        },
        "output_tokens": answer.output_tokens - cut,
        "service_tier": answer.service_tier,
    }
    if answer.thinking_tokens is not None:
        usage["output_tokens_details"] = {"thinking_tokens": answer.thinking_tokens}
    if answer.searches is not None:
        usage["server_tool_use"] = {"web_search_requests": answer.searches}
    return usage


def error_of(status: int) -> bytes:
    """Anthropic's error body for `status`."""
    return _error(status, _ERRORS.get(status, ("api_error", f"status {status}"))[1])


def _error(status: int, message: str) -> bytes:
    kind = _ERRORS.get(status, ("api_error", ""))[0]
    error = {"type": kind, "message": message}
    return _json({"type": "error", "error": error, "request_id": "req_011CS"})


def _json(value: Body) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
