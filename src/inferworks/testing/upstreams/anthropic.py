"""An upstream that speaks Anthropic's messages over real HTTP, and misbehaves on request.

Each request gets the next `MessageAnswer`, the last one is repeated; memory and faults are those of
`upstreams.scripted_server`. Requests that Anthropic refuses (`anthropic_rules`) are refused, whatever the
script says; a request with a header for betas may have their fields.

Sources: https://platform.claude.com/docs/en/api/messages, /build-with-claude/streaming, /api/errors
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager

from inferworks.http.server import Exchange
from inferworks.testing.upstreams.anthropic_rules import flaw_in
from inferworks.testing.upstreams.blocks import SIGNATURE, BlocksAnswer, halves_of
from inferworks.testing.upstreams.script import Body, event_of, json_of, nth, read_json
from inferworks.testing.upstreams.scripted_server import (
    Breakage,
    ScriptedUpstream,
    opened,
    write_events,
    write_whole,
)
from inferworks.testing.upstreams.tool_calling import as_asked, asked_in_messages
from inferworks.testing.upstreams.unlucky import MESSAGES

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


class MessageAnswer(BlocksAnswer, frozen=True):
    """Scripted answer of the upstream to one request."""

    thinking_tokens: int | None = None
    searches: int | None = None
    service_tier: str | None = "standard"
    says_usage: bool = True
    line_end: bytes = b"\n"

    @property
    def output_tokens(self) -> int:
        """One for each word, thought and call, and the thoughts that are not shown."""
        return super().output_tokens + (self.thinking_tokens or 0)


class FakeAnthropic(ScriptedUpstream[MessageAnswer]):
    """The handler and its memory; `open_anthropic` gives it a port."""

    base_path = "/v1"

    async def answer(self, exchange: Exchange, scripted: MessageAnswer) -> None:
        """Answer one request as `scripted` says, if its required headers are there."""
        request = read_json(exchange)
        if request is None:
            await exchange.respond(400, _error(400, "The request body is not valid JSON"))
            return
        counts = exchange.path.endswith("/count_tokens")
        if b"anthropic-version" not in exchange.headers:
            await exchange.respond(400, _error(400, "anthropic-version: header is required"))
        elif flaw := flaw_in(request, counts=counts, is_beta=b"anthropic-beta" in exchange.headers):
            await exchange.respond(400, _error(400, flaw))
        elif request.get("thread") is not None:
            await exchange.respond(400, _NO_THREAD)
        elif scripted.status >= 400:
            await exchange.respond(scripted.status, error_of(scripted.status))
        elif counts:
            await exchange.respond(200, json_of({"input_tokens": scripted.input_tokens}))
        else:
            await _say(exchange, as_asked(scripted, asked_in_messages, request), request)


def open_anthropic(*messages: MessageAnswer) -> AbstractAsyncContextManager[FakeAnthropic]:
    """A `FakeAnthropic` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeAnthropic(messages or (MessageAnswer(),)))


async def _say(exchange: Exchange, answer: MessageAnswer, request: Body) -> None:
    overloaded = error_of(answer.fault_status or 529)
    garbage = event_of(b'{"type": "conte', name="content_block_delta")
    breakage = Breakage(
        garbage + _framed({"type": "message_stop"}, answer),
        event_of(overloaded, name="error"),
        overloaded,
    )
    if request.get("stream"):
        events = answer.luck.events(MESSAGES, events_of(answer, request))
        framed = (_framed(event, answer) for event in events)
        await write_events(exchange, answer, answer.luck.framed(MESSAGES, framed), breakage)
    else:
        body = answer.luck.body(MESSAGES, message_of(answer, request))
        await write_whole(exchange, answer, json_of(body), breakage)


def _framed(event: Body, answer: MessageAnswer) -> bytes:
    """`event` as it stands on the wire."""
    return event_of(json_of(event), name=event["type"], line_end=answer.line_end)


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
        deltas: list[Body]
        match block["type"]:
            case "thinking":
                first = {**block, "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": text} for text in answer.thoughts]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "tool_use":
                first = {**block, "input": {}}
                pieces = ("", *halves_of(block["input"]))
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            case _:
                first = {**block, "text": ""}
                words = answer.words_of(block["text"])
                deltas = [{"type": "text_delta", "text": word} for word in words]
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


def message_of(answer: MessageAnswer, request: Body) -> Body:
    """A whole message."""
    words = answer.words[: request["max_tokens"]]
    content: list[Body] = []
    if answer.thoughts:
        thinking = "".join(answer.thoughts)
        content.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
    if words:
        content.append({"type": "text", "text": "".join(words)})
    for number, (name, arguments) in enumerate(answer.tools, answer.calls_before):
        call = {"id": nth("toolu_01", number), "name": name, "input": json.loads(arguments)}
        content.append({"type": "tool_use", **call})
    message: Body = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": answer.why_it_ends(words),
        "stop_sequence": None,
    }
    if answer.says_usage:
        usage: Body = {
            "input_tokens": answer.input_tokens,
            "cache_creation_input_tokens": answer.cache_write_5m + answer.cache_write_1h,
            "cache_read_input_tokens": answer.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": answer.cache_write_5m,
                "ephemeral_1h_input_tokens": answer.cache_write_1h,
            },
            "output_tokens": answer.output_tokens - (len(answer.words) - len(words)),
            "service_tier": answer.service_tier,
        }
        if answer.thinking_tokens is not None:
            usage["output_tokens_details"] = {"thinking_tokens": answer.thinking_tokens}
        if answer.searches is not None:
            usage["server_tool_use"] = {"web_search_requests": answer.searches}
        message["usage"] = usage
    return message


def error_of(status: int) -> bytes:
    """Anthropic's error body for `status`."""
    return _error(status, _ERRORS.get(status, ("api_error", f"status {status}"))[1])


def _error(status: int, message: str) -> bytes:
    kind = _ERRORS.get(status, ("api_error", ""))[0]
    error = {"type": kind, "message": message}
    return json_of({"type": "error", "error": error, "request_id": "req_011CS"})


_NO_THREAD = json_of(
    {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "thread: threads are not available to your organization",
            "details": {"error_code": "thread_unsupported_request", "unsupported": ["hipaa"]},
        },
        "request_id": "req_011CS",
    }
)
"""Answer for organizations without data retention; the fake retains nothing, too."""
