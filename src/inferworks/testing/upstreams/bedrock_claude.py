"""Anthropic's models on Bedrock over real HTTP: InvokeModel, as strict about who asks as Converse's fake.

What is answered is what `testing.upstreams.anthropic` would write, one event in each binary message.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from inferworks.http.client import Origin
from inferworks.http.eventstream import CONTENT_TYPE
from inferworks.http.server import Exchange
from inferworks.testing.upstream import Body, FakeUpstream, Fault, Received
from inferworks.testing.upstreams.anthropic import MessageAnswer, events_of, message_of
from inferworks.testing.upstreams.bedrock import KEY, denied, go_wrong, message, refuse

VERSIONS = ("bedrock-2023-05-31", "2026-10-21")
"""The versions of Anthropic's API, by the names that Bedrock has for them."""
_PATH = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")


class FakeBedrockClaude(FakeUpstream):
    """The handler and its memory; `open_bedrock_claude` gives it a port."""

    def __init__(self, messages: Sequence[MessageAnswer]) -> None:
        super().__init__(())
        self.bodies: list[Body] = []
        """The requests, as Anthropic's model gets them."""
        self._messages = list(messages)

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request as the script says."""
        self._connections |= self.server.connections
        self.received.append(Received(exchange.path, dict(exchange.headers), exchange.body))
        answer = self._messages.pop(0) if len(self._messages) > 1 else self._messages[0]
        try:
            await self._answer(exchange, answer)
        except asyncio.CancelledError:
            self.left_early += 1
            raise

    async def _answer(self, exchange: Exchange, answer: MessageAnswer) -> None:
        if answer.fault is Fault.HANG_BEFORE_HEADERS:
            await asyncio.Event().wait()
        found, denial = _PATH.fullmatch(exchange.path), denied(exchange, KEY)
        if denial is not None:
            await refuse(exchange, 403, denial)
            return
        if found is None:
            await refuse(exchange, 404, "UnknownOperationException")
            return
        body = _body(exchange, is_count=found[2] == "count-tokens")
        self.bodies.append(body)
        flaw = _flaw(body)
        if flaw is not None:
            await refuse(exchange, 400, flaw)
        elif answer.status >= 400:
            await refuse(exchange, answer.status)
        else:
            await _respond(exchange, answer, found[2], {**body, "model": found[1]})


@asynccontextmanager
async def open_bedrock_claude(*messages: MessageAnswer) -> AsyncIterator[FakeBedrockClaude]:
    """A `FakeBedrockClaude` on a free port while the block runs; with no answers it answers well."""
    upstream = FakeBedrockClaude(messages or (MessageAnswer(),))
    port = await upstream.server.start("127.0.0.1", 0)
    upstream.origin = Origin("127.0.0.1", port, tls=False, base_path="")
    try:
        yield upstream
    finally:
        await upstream.stop()


def _body(exchange: Exchange, *, is_count: bool) -> Body:
    """What the model gets: of a count it is wrapped."""
    body: Body = json.loads(exchange.body)
    if is_count:
        body = json.loads(b64decode(body["input"]["invokeModel"]["body"], validate=True))
    return body


def _flaw(body: Body) -> str | None:
    """What Bedrock finds wrong with a request."""
    if body.get("anthropic_version") not in VERSIONS:
        return "Malformed input request: anthropic_version: required"
    if "model" in body or "stream" in body:
        return "Malformed input request: extraneous key is not permitted"
    if "max_tokens" not in body:
        return "Malformed input request: max_tokens: required"
    return None


async def _respond(exchange: Exchange, answer: MessageAnswer, how: str, request: Body) -> None:
    if how == "count-tokens":
        await exchange.respond(200, json.dumps({"inputTokens": answer.input_tokens}).encode())
    elif how == "invoke":
        await _whole(exchange, answer, request)
    else:
        await _stream(exchange, answer, request)


async def _whole(exchange: Exchange, answer: MessageAnswer, request: Body) -> None:
    await asyncio.sleep(answer.event_s)
    body = json.dumps(message_of(answer, request), separators=(",", ":")).encode()
    if answer.fault is Fault.NONE:
        await exchange.respond(200, body)
        return
    await exchange.start(200, [(b"content-type", b"application/json")])
    await go_wrong(exchange, answer.fault, body, "")


async def _stream(exchange: Exchange, answer: MessageAnswer, request: Body) -> None:
    await exchange.start(200, [(b"content-type", CONTENT_TYPE)])
    for number, event in enumerate(events_of(answer, request)):
        wrapped = message("chunk", {"bytes": b64encode(json.dumps(event).encode()).decode()})
        if answer.fault is not Fault.NONE and number == answer.fault_after:
            await go_wrong(exchange, answer.fault, wrapped, "modelStreamErrorException")
            return
        await asyncio.sleep(answer.event_s)
        size = answer.piece_bytes or len(wrapped)
        for start in range(0, len(wrapped), size):
            await exchange.send(wrapped[start : start + size])
    await exchange.end()
