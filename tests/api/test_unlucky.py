"""Answers in every unlucky form that a vendor was met with, through the whole gateway.

Whatever the form and whoever asks, in whichever dialect, what is said, called and counted is what it is
plainly: an answer is read for what it is needed for, and no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any, NamedTuple

import msgspec
import pytest

from inferworks.cloud.credentials.aws import key_credential
from inferworks.cloud.credentials.key import NoCredential
from inferworks.cloud.operation import Operation
from inferworks.cloud.providers.anthropic import ANTHROPIC
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.providers.bedrock import BEDROCK
from inferworks.cloud.providers.openai import openai_operations
from inferworks.cloud.providers.passthrough import OperationSpec, PassthroughProvider, Profile
from inferworks.cloud.serving.translating import TranslatingProvider
from inferworks.cloud.translate.table import TRANSLATIONS
from inferworks.http.client import HttpClient
from inferworks.meter.usage import Outcome, Tokens
from inferworks.testing.in_process_gateway import Answered, InProcessGateway, open_gateway_over
from inferworks.testing.providers import A_MODEL
from inferworks.testing.upstream import Answer, open_upstream
from inferworks.testing.upstreams.anthropic import MessageAnswer, open_anthropic
from inferworks.testing.upstreams.bedrock import KEY, REGION, ConverseAnswer, open_bedrock
from inferworks.testing.upstreams.script import Scripted
from inferworks.testing.upstreams.unlucky import FORMS, Luck, drawn

pytestmark = pytest.mark.slow

Run = Callable[[Coroutine[Any, Any, None]], None]
Body = dict[str, Any]

TOOLS = (("f", '{"city": "Bonn"}'), ("g", '{"n": 7}'))
SEEDS = range(12)


class Said(NamedTuple):
    """Text and calls of an answer, whatever its dialect."""

    text: str
    calls: tuple[tuple[str, Any], ...]


def _openai(operations: Mapping[Operation, OperationSpec]) -> Callable[[HttpClient], Provider]:
    return lambda client: _translating(client, Profile("cloud", operations), NoCredential())


def _translating(client: HttpClient, profile: Profile, credential: Any) -> Provider:
    return TranslatingProvider(PassthroughProvider(client, profile, credential), TRANSLATIONS)


_SPOKEN = openai_operations()
_AWS = key_credential(REGION, KEY.access_key_id, KEY.secret)
UPSTREAMS: dict[str, tuple[type[Scripted], Callable[..., Any], Callable[[HttpClient], Provider]]] = {
    "chat": (Answer, open_upstream, _openai({Operation.CHAT: _SPOKEN[Operation.CHAT]})),
    "responses": (
        Answer, open_upstream, _openai({Operation.RESPONSES: _SPOKEN[Operation.RESPONSES]})
    ),
    "messages": (
        MessageAnswer, open_anthropic,
        lambda client: _translating(client, ANTHROPIC, NoCredential()),
    ),
    "converse": (
        ConverseAnswer, open_bedrock,
        lambda client: _translating(client, Profile("cloud", BEDROCK.operations), _AWS),
    ),
}  # fmt: skip
"""Dialect -> its script, its fake and who asks it."""


@asynccontextmanager
async def before(dialect: str, answer: Scripted) -> AsyncIterator[InProcessGateway]:
    """A gateway before an upstream that speaks `dialect`."""
    _, opened, provider = UPSTREAMS[dialect]
    async with opened(answer) as upstream:
        with closing(HttpClient()) as client:
            async with open_gateway_over(provider(client), origin=upstream.origin) as gateway:
                yield gateway


SCHEMA = {"type": "object"}
QUESTION: dict[str, tuple[str, Body]] = {
    "chat": ("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in "fg"],
    }),
    "responses": ("/v1/responses", {
        "input": "Hi", "store": False,
        "tools": [{"type": "function", "name": n, "parameters": SCHEMA, "strict": False} for n in "fg"],
    }),
    "messages": ("/v1/messages", {
        "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100,
        "tools": [{"name": n, "input_schema": SCHEMA} for n in "fg"],
    }),
}  # fmt: skip
"""The caller's dialect -> where and how it asks."""


def of_chat(answer: Answered, *, stream: bool) -> Said:
    """Text and calls that a client of chats gets."""
    if not stream:
        message = answer.json["choices"][0]["message"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return _said(message["content"], [(call["name"], call["arguments"]) for call in calls])
    assert answer.whole
    text, made, open_calls = "", list[list[str]](), dict[Any, int]()
    for event in _data(answer):
        for choice in event.get("choices") or ():
            delta = choice["delta"] or {}
            text += _text_of(delta.get("content"))
            for piece in delta.get("tool_calls") or ():
                if piece.get("id") and piece["id"] not in [call[0] for call in made]:
                    open_calls[piece.get("index")] = len(made)
                    made.append([piece["id"], piece["function"]["name"], ""])
                made[open_calls[piece.get("index")]][2] += piece["function"]["arguments"]
    return _said(text, [(name, arguments) for _, name, arguments in made])


def of_responses(answer: Answered, *, stream: bool) -> Said:
    """Text and calls that a client of responses gets."""
    ends = [one["response"] for one in _data(answer) if one["type"] == "response.completed"]
    (response,) = ends if stream else [answer.json]
    text, calls = "", []
    for item in response["output"]:
        if item["type"] == "message":
            text += "".join(part["text"] for part in item["content"])
        elif item["type"] == "function_call":
            calls.append((item["name"], item["arguments"]))
    return _said(text, calls)


def of_messages(answer: Answered, *, stream: bool) -> Said:
    """Text and calls that a client of messages gets."""
    if not stream:
        blocks = answer.json["content"]
    else:
        blocks = []
        for event in _data(answer):
            if event["type"] == "content_block_start":
                blocks.append({**event["content_block"], "partial": ""})
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                blocks[event["index"]]["text"] = blocks[event["index"]].get("text", "") + delta.get(
                    "text", ""
                )
                blocks[event["index"]]["partial"] += delta.get("partial_json", "")
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    uses = [block for block in blocks if block["type"] == "tool_use"]
    return _said(
        text,
        [(use["name"], use.get("partial") or msgspec.json.encode(use["input"])) for use in uses],
    )


def _said(text: Any, calls: list[tuple[str, Any]]) -> Said:
    read = [
        (name, given if isinstance(given, dict) else msgspec.json.decode(given))
        for name, given in calls
    ]
    return Said(_text_of(text), tuple(read))


def _text_of(content: Any) -> str:
    """A caller in the upstream's own dialect gets what the upstream has sent."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _data(answer: Answered) -> list[Body]:
    """The data of the events of a stream, however they are framed."""
    lines = answer.body.replace(b"\r\n", b"\n").split(b"\n")
    data = [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]
    return [msgspec.json.decode(one) for one in data if one != b"[DONE]"]


READ = {"chat": of_chat, "responses": of_responses, "messages": of_messages}
END = {
    "chat": b'"finish_reason":"tool_calls"',
    "messages": b'"stop_reason":"tool_use"',
    "responses": b'"status":"completed"',
}
"""Finish reason of an answer with calls, in each dialect, where the upstream's own bytes do not pass."""
PLAIN = Said("Hello there.", (("f", {"city": "Bonn"}), ("g", {"n": 7})))


def asked_by(upstream: str) -> list[str]:
    """The dialects of the callers that an upstream of a dialect can answer."""
    return {"responses": ["responses"], "messages": ["messages", "chat", "responses"]}.get(
        upstream, ["chat", "messages", "responses"]
    )


async def check(upstream: str, luck: Luck) -> None:
    """Ask in each dialect, whole and as a stream; all get the same, and all of it is counted."""
    script = UPSTREAMS[upstream][0]
    answer = script(tool=TOOLS[0], more_tools=TOOLS[1:], luck=luck)
    async with before(upstream, answer) as gateway:
        plain = await tokens_of(upstream)
        for caller in asked_by(upstream):
            path, question = QUESTION[caller]
            for stream in (False, True):
                body = {"model": A_MODEL, "stream": stream, **question}
                got = await gateway.ask("POST", path, msgspec.json.encode(body))
                assert got.status == 200, (caller, stream, got.body)
                assert READ[caller](got, stream=stream) == PLAIN, (caller, stream)
                assert caller == upstream or END[caller] in got.body, (caller, stream)
                usage = (await gateway.usages())[-1]
                expected = (Outcome.ANSWERED, plain[stream])
                assert (usage.outcome, usage.tokens) == expected, (caller, stream)


async def tokens_of(upstream: str) -> dict[bool, Tokens]:
    """Tokens counted of the answer in its plain form: as a stream, and as a whole."""
    answer = UPSTREAMS[upstream][0](tool=TOOLS[0], more_tools=TOOLS[1:])
    caller = asked_by(upstream)[0]
    path, question = QUESTION[caller]
    counted = {}
    async with before(upstream, answer) as gateway:
        for stream in (False, True):
            body = {"model": A_MODEL, "stream": stream, **question}
            await gateway.ask("POST", path, msgspec.json.encode(body))
            counted[stream] = (await gateway.usages())[-1].tokens
    return counted


CASES = [
    (dialect, name)
    for dialect in UPSTREAMS
    for name, form in FORMS.items()
    if dialect in form.dialects
]


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_the_plain_form(run: Run, upstream: str) -> None:
    """Two calls beside a text, as the vendor's documentation has them."""
    run(check(upstream, Luck()))


@pytest.mark.parametrize(("upstream", "name"), CASES, ids=map(" - ".join, CASES))
def test_each_form(run: Run, upstream: str, name: str) -> None:
    """The sources are in the table of forms."""
    run(check(upstream, Luck((name,))))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_forms_together(run: Run, upstream: str, seed: int) -> None:
    """Up to three at once, the same ones for the same seed."""
    luck = drawn(seed, upstream)
    assert drawn(seed, upstream) == luck
    run(check(upstream, luck))
