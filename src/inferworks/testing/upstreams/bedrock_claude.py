"""Anthropic's models on Bedrock over real HTTP: InvokeModel, with the authentication of Converse's fake.

Answers are those of `testing.upstreams.anthropic`, one event in each binary message.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from inferworks.http.eventstream import CONTENT_TYPE
from inferworks.http.server import Exchange
from inferworks.testing.upstreams.anthropic import MessageAnswer, events_of, message_of
from inferworks.testing.upstreams.anthropic_rules import flaw_in
from inferworks.testing.upstreams.bedrock import KEY, breakage_of, denied, message, refuse
from inferworks.testing.upstreams.script import Body, json_of
from inferworks.testing.upstreams.scripted_server import (
    ScriptedUpstream,
    opened,
    write_events,
    write_whole,
)
from inferworks.testing.upstreams.tool_calling import as_asked, asked_in_messages

VERSIONS = ("bedrock-2023-05-31", "2026-10-21")
"""The versions of Anthropic's API, by the names that Bedrock has for them."""
_PATH = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")


class FakeBedrockClaude(ScriptedUpstream[MessageAnswer]):
    """The handler and its memory; `open_bedrock_claude` gives it a port."""

    def __init__(self, messages: Sequence[MessageAnswer]) -> None:
        super().__init__(messages)
        self.bodies: list[Body] = []
        """The requests, as Anthropic's model gets them."""

    async def answer(self, exchange: Exchange, scripted: MessageAnswer) -> None:
        """Answer one request as `scripted` says, if it is authenticated."""
        found, denial = _PATH.fullmatch(exchange.path), denied(exchange, KEY)
        if denial is not None:
            await refuse(exchange, 403, denial)
            return
        if found is None:
            await refuse(exchange, 404, "UnknownOperationException")
            return
        is_count = found[2] == "count-tokens"
        # the model's own request; a request to count wraps it
        body: Body = json.loads(exchange.body)
        if is_count:
            body = json.loads(b64decode(body["input"]["invokeModel"]["body"], validate=True))
        self.bodies.append(body)
        flaw = _flaw(body, found[1])
        if flaw is not None:
            await refuse(exchange, 400, flaw)
        elif scripted.status >= 400:
            await refuse(exchange, scripted.status)
        elif is_count:
            await exchange.respond(200, json_of({"inputTokens": scripted.input_tokens}))
        else:
            answer = as_asked(scripted, asked_in_messages, body)
            request = {**body, "model": found[1]}
            if found[2] == "invoke":
                await write_whole(exchange, answer, json_of(message_of(answer, request)), _BREAKAGE)
                return
            chunks = (_chunk(event) for event in events_of(answer, request))
            headers = ((b"content-type", CONTENT_TYPE),)
            await write_events(exchange, answer, chunks, _BREAKAGE, headers=headers)


def open_bedrock_claude(
    *messages: MessageAnswer,
) -> AbstractAsyncContextManager[FakeBedrockClaude]:
    """A `FakeBedrockClaude` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeBedrockClaude(messages or (MessageAnswer(),)))


def _flaw(body: Body, model: str) -> str | None:
    """Return Bedrock's reason to refuse the request, or None."""
    if body.get("anthropic_version") not in VERSIONS:
        return "Malformed input request: anthropic_version: required"
    if "model" in body or "stream" in body:
        return "Malformed input request: extraneous key is not permitted"
    own = ("anthropic_version", "anthropic_beta")
    request = {name: value for name, value in body.items() if name not in own}
    return flaw_in({**request, "model": model}, counts=False, is_beta="anthropic_beta" in body)


def _chunk(event: Body) -> bytes:
    return message("chunk", {"bytes": b64encode(json_of(event)).decode()})


_BREAKAGE = breakage_of(_chunk({"type": "ping"}), "modelStreamErrorException")
