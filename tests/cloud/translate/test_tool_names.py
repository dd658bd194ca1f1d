"""Names of tools that are too long for an upstream are others there, and their own in answers."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.cloud.translate.tool_names import short_name, whole_name
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import NO_TOKENS

SCHEMA = {"type": "object", "properties": {}}
ALIKE = [f"mcp__{'a-long-server-name_' * 5}__tool_{n}" for n in range(2)]
"""Two names of more than a hundred characters that differ in the last."""
TAKEN = re.compile(r"[a-zA-Z0-9_-]{1,64}")
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=128)


def call_of(operation: Operation, body: dict[str, Any]) -> Call:
    """A call with this body."""
    data = msgspec.json.encode({"model": "m", **body})
    return Call(CallId("call_1"), operation, ModelId("m"), True, wants_usage=True, body=data)


MESSAGES = call_of(
    Operation.MESSAGES,
    {
        "max_tokens": 5,
        "tools": [{"name": name, "input_schema": SCHEMA} for name in [*ALIKE, "short"]],
        "tool_choice": {"type": "tool", "name": ALIKE[1]},
        "messages": [
            {"role": "user", "content": "Go on."},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": ALIKE[0], "input": {}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done"}],
            },
        ],
    },
)


def test_an_upstream_is_told_names_that_it_takes() -> None:
    """The same one for a tool in what is offered, ordered and was called, another one for another tool."""
    sent = msgspec.json.decode(MessagesToChat().ask(MESSAGES).body)
    first, second, short = [tool["function"]["name"] for tool in sent["tools"]]
    assert all(map(TAKEN.fullmatch, (first, second)))
    assert first != second
    assert short == "short"
    assert sent["tool_choice"]["function"]["name"] == second
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == first


@pytest.mark.parametrize("name", [*ALIKE, "short", "x" * 64])
def test_an_answer_calls_tools_by_the_names_that_came(name: str) -> None:
    """Whole or as a stream; a name that nobody offered stays as the model wrote it."""
    function = {"name": short_name(name), "arguments": "{}"}
    calls = [{"index": 0, "id": "c", "type": "function", "function": function}]
    whole = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    told = MessagesToChat().answer(MESSAGES, msgspec.json.encode(whole), ReportedUsage(NO_TOKENS))
    assert [block["name"] for block in msgspec.json.decode(told)["content"]] == [name]
    piece = {"choices": [{"delta": {"tool_calls": calls}, "finish_reason": None}]}
    event = b"data: %b\n\n" % msgspec.json.encode(piece)
    assert b'"name":"%b"' % name.encode() in MessagesToChat().stream(MESSAGES).event(event, None)


def test_a_response_calls_them_so_too() -> None:
    """Functions and custom tools, also those whose names a namespace has made long."""
    tools = [
        {"type": "function", "name": ALIKE[0], "parameters": SCHEMA},
        {"type": "custom", "name": ALIKE[1]},
        {"type": "namespace", "name": "n" * 60, "tools": [{"type": "function", "name": "inner"}]},
    ]
    call = call_of(Operation.RESPONSES, {"input": "Go on.", "tools": tools})
    sent = msgspec.json.decode(ResponsesToChat().ask(call).body)
    sent_names = [tool["function"]["name"] for tool in sent["tools"]]
    assert all(map(TAKEN.fullmatch, sent_names))
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for n, name in enumerate(sent_names)
    ]
    whole = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]}
    told = ResponsesToChat().answer(call, msgspec.json.encode(whole), ReportedUsage(NO_TOKENS))
    shown = [item["name"] for item in msgspec.json.decode(told)["output"]]
    assert shown == [*ALIKE, "inner"]


@given(st.lists(names, min_size=1, max_size=5, unique=True))
def test_every_name_comes_back(offered: list[str]) -> None:
    """Of 128 characters at most, as Anthropic takes them."""
    body = msgspec.json.encode({"tools": [{"name": name} for name in offered]})
    for name in offered:
        assert TAKEN.fullmatch(short_name(name))
        assert whole_name(short_name(name), body) == name
