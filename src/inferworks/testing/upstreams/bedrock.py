"""An upstream that speaks Bedrock's Converse over real HTTP, and misbehaves on request.

Like `testing.upstream`, whose faults and memory it shares: each request is answered as the next
`ConverseAnswer` says, the last one is repeated. It is as strict as the real one about the proof of who
asks: a signature is recomputed from what arrived (`bedrock_signature`), a bearer token compared.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
/API_runtime_ConverseStream.html, /CommonErrors.html
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from inferworks.http.client import Origin
from inferworks.http.eventstream import CONTENT_TYPE, written
from inferworks.http.server import Exchange
from inferworks.testing.upstream import Body, Broken, FakeUpstream, Fault, Received
from inferworks.testing.upstreams.able import Reaction, asked_in_converse, react
from inferworks.testing.upstreams.bedrock_signature import Key, Request, signature_flaw

REGION = "eu-central-1"
KEY = Key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = "bedrock-api-key-EXAMPLE"  # noqa: S105 it opens nothing

_PATH = re.compile(r"/model/([^/]+)/converse(-stream)?")
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("ValidationException", "The model returned the following errors: messages: required"),
    403: ("AccessDeniedException", "You don't have access to the model with the specified ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request."),
    424: ("ModelErrorException", "The request failed due to an error while processing the model."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The system encountered an unexpected error."),
    503: ("ServiceUnavailableException", "The service is currently unavailable."),
}
"""Status -> the exception's name and message."""


class ConverseAnswer(msgspec.Struct, frozen=True):
    """What the upstream does with one request."""

    words: tuple[str, ...] = ("Hello", " there", ".")
    """The text, one token each; `maxTokens` of the request cuts it. None of them: no text block."""
    thoughts: tuple[str, ...] = ()
    """What is thought before, in a signed block."""
    tool: tuple[str, str] | None = None
    """A tool that is called after the text: its name and its input, as JSON."""
    is_able: bool = False
    """It calls the tools of its request instead, and answers in the form that it asks for."""
    input_tokens: int = 5
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    service_tier: str = "default"
    stop_reason: str = ""
    """Empty: as the answer ends."""
    status: int = 200
    """A status of 400 or more is answered with an exception as its body."""
    fault: Fault = Fault.NONE
    fault_after: int = 0
    """Events before the fault; of a whole body, any number above zero means half of it."""
    exception: str = "modelStreamErrorException"
    """What `ERROR_EVENT` is."""
    piece_bytes: int | None = None
    """The stream is written in pieces of this size, each by itself; None: message by message."""
    event_s: float = 0.0
    """Seconds before each event."""

    @property
    def output_tokens(self) -> int:
        """One for each word, thought and call."""
        return len(self.words) + len(self.thoughts) + (self.tool is not None)


class FakeBedrock(FakeUpstream):
    """The handler and its memory; `open_bedrock` gives it a port."""

    def __init__(self, answers: Sequence[ConverseAnswer], key: Key) -> None:
        super().__init__(())
        self.key = key
        """The key that is good; it may be changed while it runs."""
        self._converses = list(answers)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says."""
        self._connections |= self.server.connections
        self.received.append(Received(exchange.path, dict(exchange.headers), exchange.body))
        scripted = self._converses
        answer = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        try:
            await _answer(exchange, answer, self.key)
        except asyncio.CancelledError:
            self.left_early += 1
            raise


@asynccontextmanager
async def open_bedrock(*answers: ConverseAnswer, key: Key = KEY) -> AsyncIterator[FakeBedrock]:
    """A `FakeBedrock` on a free port while the block runs; with no answers it answers well."""
    upstream = FakeBedrock(answers or (ConverseAnswer(),), key)
    port = await upstream.server.start("127.0.0.1", 0)
    upstream.origin = Origin("127.0.0.1", port, tls=False, base_path="")
    try:
        yield upstream
    finally:
        await upstream.stop()


async def _answer(exchange: Exchange, answer: ConverseAnswer, key: Key) -> None:
    if answer.fault is Fault.HANG_BEFORE_HEADERS:
        await asyncio.Event().wait()
    found = _PATH.fullmatch(exchange.path)
    flaw = denied(exchange, key)
    if flaw is not None:
        await refuse(exchange, 403, flaw)
    elif found is None:
        await refuse(exchange, 404, "UnknownOperationException")
    elif answer.status >= 400:
        await refuse(exchange, answer.status)
    else:
        request = json.loads(exchange.body)
        send = _stream if found[2] else _whole
        await send(exchange, _as_asked(answer, request), request)


def _as_asked(answer: ConverseAnswer, request: Body) -> ConverseAnswer:
    """`answer` with what an able model says to the request."""
    reaction = react(asked_in_converse(request)) if answer.is_able else Reaction()
    if reaction.tool is not None:
        return msgspec.structs.replace(answer, words=(), tool=reaction.tool)
    return msgspec.structs.replace(answer, words=reaction.words or answer.words)


def denied(exchange: Exchange, key: Key) -> str | None:
    """Why who asks is not let in."""
    shown = exchange.headers.get(b"authorization", b"")
    if shown.startswith(b"Bearer "):
        good = shown == b"Bearer " + TOKEN.encode()
        return None if good else "Authentication failed: Please make sure your API Key is valid."
    request = Request(
        exchange.method, exchange.path, exchange.query, exchange.headers, exchange.body
    )
    return signature_flaw(request, key, REGION, dt.datetime.now(dt.UTC))


async def refuse(exchange: Exchange, status: int, why: str = "") -> None:
    """Answer with an exception, in its usual words unless others are given."""
    name, usual = _ERRORS.get(status, ("UnknownException", f"status {status}"))
    headers = [(b"x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/".encode())]
    body = _json({"message": why or usual})
    await exchange.respond(status, body, b"application/json", headers)


async def _whole(exchange: Exchange, answer: ConverseAnswer, request: Body) -> None:
    await asyncio.sleep(answer.event_s)
    body = _json(converse_of(answer, request))
    if answer.fault is Fault.NONE:
        await exchange.respond(answer.status, body)
        return
    await exchange.start(answer.status, [(b"content-type", b"application/json")])
    if answer.fault_after:
        await exchange.send(body[: len(body) // 2])
    if answer.fault is Fault.RESET:
        raise Broken
    await exchange.end()


async def _stream(exchange: Exchange, answer: ConverseAnswer, request: Body) -> None:
    await exchange.start(200, [(b"content-type", CONTENT_TYPE)])
    for number, (name, payload) in enumerate(events_of(answer, request)):
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            sound = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}})
            await go_wrong(exchange, answer.fault, sound, answer.exception)
            return
        await asyncio.sleep(answer.event_s)
        await _write(exchange, answer, message(name, payload))
    await exchange.end()


async def go_wrong(exchange: Exchange, fault: Fault, sound: bytes, exception: str) -> None:
    """Break a stream of binary messages here as `fault` says; `sound` is one that might follow."""
    match fault:
        case Fault.HANG:
            await exchange.send(sound[:8])  # so that the head leaves
            await asyncio.Event().wait()
        case Fault.RESET:
            raise Broken
        case Fault.GARBAGE:
            await exchange.send(sound[:-5] + b"?" + sound[-4:])  # which its checksum tells
        case Fault.ERROR_EVENT:
            await exchange.send(_exception(exception))
    await exchange.end()


async def _write(exchange: Exchange, answer: ConverseAnswer, data: bytes) -> None:
    size = answer.piece_bytes or len(data)
    for start in range(0, len(data), size):
        await exchange.send(data[start : start + size])
        if answer.piece_bytes:
            await asyncio.sleep(0)


def message(name: str, payload: Body) -> bytes:
    """An event as a binary message, padded as Amazon pads it."""
    headers = {
        ":event-type": name, ":content-type": "application/json", ":message-type": "event",
    }  # fmt: skip
    return written(headers, _json({**payload, "p": "abcdefghij"}))


def _exception(name: str) -> bytes:
    headers = {
        ":exception-type": name, ":content-type": "application/json", ":message-type": "exception",
    }  # fmt: skip
    return written(headers, _json({"message": "The model broke off."}))


def events_of(answer: ConverseAnswer, request: Body) -> Iterator[tuple[str, Body]]:
    """The events of a stream: name and payload."""
    whole = converse_of(answer, request)
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(whole["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            begun = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {**place, "start": {"toolUse": begun}}
        for delta in _deltas(block, answer):
            yield "contentBlockDelta", {**place, "delta": delta}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": whole["stopReason"]}
    told = {name: whole[name] for name in ("usage", "metrics", "serviceTier")}
    yield "metadata", told


def _deltas(block: Body, answer: ConverseAnswer) -> Iterator[Body]:
    if "toolUse" in block:
        given = answer.tool[1] if answer.tool else ""
        half = len(given) // 2
        if block["toolUse"]["input"]:
            yield {"toolUse": {"input": given[:half]}}
            yield {"toolUse": {"input": given[half:]}}
    elif "reasoningContent" in block:
        for thought in answer.thoughts:
            yield {"reasoningContent": {"text": thought}}
        yield {"reasoningContent": {"signature": "c2lnbmVk"}}
    else:
        left = len(block["text"])
        for word in answer.words:
            if left > 0:
                yield {"text": word}
            left -= len(word)


def converse_of(answer: ConverseAnswer, request: Body) -> Body:
    """A whole answer."""
    limit = request.get("inferenceConfig", {}).get("maxTokens", len(answer.words))
    words = answer.words[:limit]
    content: list[Body] = []
    if answer.thoughts:
        text = {"text": "".join(answer.thoughts), "signature": "c2lnbmVk"}
        content.append({"reasoningContent": {"reasoningText": text}})
    if words:
        content.append({"text": "".join(words)})
    if answer.tool:
        name, given = answer.tool
        call = {"toolUseId": "tooluse_01", "name": name, "input": json.loads(given)}
        content.append({"toolUse": call})
    reason = "max_tokens" if words != answer.words else "tool_use" if answer.tool else "end_turn"
    return {
        "metrics": {"latencyMs": 275},
        "output": {"message": {"content": content, "role": "assistant"}},
        "serviceTier": {"type": answer.service_tier},
        "stopReason": answer.stop_reason or reason,
        "usage": _usage(answer, len(answer.words) - len(words)),
    }


def _usage(answer: ConverseAnswer, cut: int) -> Body:
    written_tokens = answer.cache_write_5m + answer.cache_write_1h
    output = answer.output_tokens - cut
    usage: Body = {
        "inputTokens": answer.input_tokens,
        "outputTokens": output,
        "totalTokens": answer.input_tokens + output + answer.cache_read + written_tokens,
        "cacheReadInputTokens": answer.cache_read,
        "cacheWriteInputTokens": written_tokens,
    }
    kinds = {"5m": answer.cache_write_5m, "1h": answer.cache_write_1h}
    details = [{"ttl": ttl, "inputTokens": count} for ttl, count in kinds.items() if count]
    return {**usage, "cacheDetails": details} if details else usage


def _json(value: Body) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
