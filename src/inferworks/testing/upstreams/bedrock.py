"""An upstream that speaks Bedrock's Converse over real HTTP, and misbehaves on request.

Each request gets the next `ConverseAnswer`, the last one is repeated; memory and faults are those of
`upstreams.scripted_server`. Authentication is as strict as the real one: a signature is recomputed from the
request as it arrived (`bedrock_signature`), a bearer token compared. So are the rules of requests
(`bedrock_rules`), whatever the script says.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
/API_runtime_ConverseStream.html, /CommonErrors.html
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from inferworks.http.eventstream import CONTENT_TYPE, written
from inferworks.http.server import Exchange
from inferworks.testing.upstreams.bedrock_rules import converse_flaw
from inferworks.testing.upstreams.bedrock_signature import Key, Request, signature_flaw
from inferworks.testing.upstreams.blocks import SIGNATURE, BlocksAnswer, halves_of
from inferworks.testing.upstreams.script import Body, json_of, nth
from inferworks.testing.upstreams.scripted_server import (
    Breakage,
    ScriptedUpstream,
    opened,
    write_events,
    write_whole,
)
from inferworks.testing.upstreams.tool_calling import as_asked, asked_in_converse
from inferworks.testing.upstreams.unlucky import CONVERSE

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


class ConverseAnswer(BlocksAnswer, frozen=True):
    """Scripted answer of the upstream to one request."""

    service_tier: str = "default"
    stop_reason: str = ""
    """Empty: as the answer ends."""
    exception: str = "modelStreamErrorException"
    """Exception sent for `ERROR_EVENT`."""


class FakeBedrock(ScriptedUpstream[ConverseAnswer]):
    """The handler and its memory; `open_bedrock` gives it a port."""

    def __init__(self, answers: Sequence[ConverseAnswer], key: Key) -> None:
        super().__init__(answers)
        self.key = key
        """The key that is good; it may be changed while it runs."""

    async def answer(self, exchange: Exchange, scripted: ConverseAnswer) -> None:
        """Answer one request as `scripted` says, if it is authenticated."""
        found, denial = _PATH.fullmatch(exchange.path), denied(exchange, self.key)
        if denial is not None:
            await refuse(exchange, 403, denial)
        elif found is None:
            await refuse(exchange, 404, "UnknownOperationException")
        elif (flaw := converse_flaw(request := json.loads(exchange.body), found[1])) is not None:
            await refuse(exchange, 400, flaw)
        elif scripted.status >= 400:
            await refuse(exchange, scripted.status)
        else:
            answer = as_asked(scripted, asked_in_converse, request)
            breakage = breakage_of(_DELTA, answer.exception)
            if found[2] is None:
                body = json_of(answer.luck.body(CONVERSE, converse_of(answer, request)))
                await write_whole(exchange, answer, body, breakage)
                return
            told = ({"name": name, "payload": one} for name, one in events_of(answer, request))
            events = answer.luck.events(CONVERSE, told)
            framed = (message(event["name"], event["payload"]) for event in events)
            messages = answer.luck.framed(CONVERSE, framed)
            headers = ((b"content-type", CONTENT_TYPE),)
            await write_events(exchange, answer, messages, breakage, headers=headers)


def open_bedrock(
    *answers: ConverseAnswer, key: Key = KEY
) -> AbstractAsyncContextManager[FakeBedrock]:
    """A `FakeBedrock` on a free port while the block runs; with no answers it answers well."""
    return opened(FakeBedrock(answers or (ConverseAnswer(),), key))


def denied(exchange: Exchange, key: Key) -> str | None:
    """Return the authentication error, or None."""
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
    body = json_of({"message": why or usual})
    await exchange.respond(status, body, b"application/json", headers)


def breakage_of(sound: bytes, exception: str) -> Breakage:
    """Return the ways a stream of binary messages can break; `sound` is a message that might follow."""
    garbage = sound[:-5] + b"?" + sound[-4:]  # which its checksum tells
    headers = {
        ":exception-type": exception, ":content-type": "application/json", ":message-type": "exception",
    }  # fmt: skip
    return Breakage(
        garbage, written(headers, json_of(_BROKE_OFF)), json_of(_BROKE_OFF), nothing=sound[:8]
    )


def message(name: str, payload: Body) -> bytes:
    """An event as a binary message, padded as Amazon pads it."""
    headers = {
        ":event-type": name, ":content-type": "application/json", ":message-type": "event",
    }  # fmt: skip
    return written(headers, json_of({**payload, "p": "abcdefghij"}))


def events_of(answer: ConverseAnswer, request: Body) -> Iterator[tuple[str, Body]]:
    """The events of a stream: name and payload."""
    whole = converse_of(answer, request)
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(whole["output"]["message"]["content"]):
        place = {"contentBlockIndex": index}
        deltas: list[Body]
        if "toolUse" in block:
            begun = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {**place, "start": {"toolUse": begun}}
            deltas = [{"toolUse": {"input": half}} for half in halves_of(block["toolUse"]["input"])]
        elif "reasoningContent" in block:
            thoughts = [("text", thought) for thought in answer.thoughts]
            told = [*thoughts, ("signature", SIGNATURE)]
            deltas = [{"reasoningContent": {name: said}} for name, said in told]
        else:
            deltas = [{"text": word} for word in answer.words_of(block["text"])]
        for delta in deltas:
            yield "contentBlockDelta", {**place, "delta": delta}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": whole["stopReason"]}
    yield "metadata", {name: whole[name] for name in ("usage", "metrics", "serviceTier")}


def converse_of(answer: ConverseAnswer, request: Body) -> Body:
    """A whole answer."""
    limit = request.get("inferenceConfig", {}).get("maxTokens", len(answer.words))
    words = answer.words[:limit]
    content: list[Body] = []
    if answer.thoughts:
        text = {"text": "".join(answer.thoughts), "signature": SIGNATURE}
        content.append({"reasoningContent": {"reasoningText": text}})
    if words:
        content.append({"text": "".join(words)})
    for number, (name, arguments) in enumerate(answer.tools, answer.calls_before):
        call = {
            "toolUseId": nth("tooluse_01", number),
            "name": name,
            "input": json.loads(arguments),
        }
        content.append({"toolUse": call})
    cut = len(answer.words) - len(words)
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
    return {
        "metrics": {"latencyMs": 275},
        "output": {"message": {"content": content, "role": "assistant"}},
        "serviceTier": {"type": answer.service_tier},
        "stopReason": answer.stop_reason or answer.why_it_ends(words),
        "usage": {**usage, "cacheDetails": details} if details else usage,
    }


_BROKE_OFF: Body = {"message": "The model broke off."}
_DELTA = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}})
