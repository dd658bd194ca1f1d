"""An able model does as it is told, once each, and tells what its tool said, in every dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.testing.upstreams.tool_calling import (
    Question,
    Reaction,
    asked_in_chat,
    asked_in_converse,
    asked_in_messages,
    asked_in_responses,
    react,
)

SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}}
TOLD = 'Call. CALL look {"place": "Rome"}\nCALL tell {"n": 1}'
LOOK = ("look", '{"place": "Rome"}')


def chat(*more: Any, **fields: Any) -> Question:
    """A chat with two tools."""
    tools = [
        {"type": "function", "function": {"name": n, "parameters": SCHEMA}}
        for n in ("look", "tell")
    ]
    return asked_in_chat(
        {"messages": [{"role": "user", "content": TOLD}, *more], "tools": tools, **fields}
    )


def responses(*more: Any) -> Question:
    """The same as a response."""
    tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("look", "tell")]
    content = [{"type": "input_text", "text": TOLD}]
    return asked_in_responses(
        {"input": [{"role": "user", "content": content}, *more], "tools": tools}
    )


def messages(*more: Any) -> Question:
    """The same in Anthropic's dialect."""
    tools = [{"name": name, "input_schema": SCHEMA} for name in ("look", "tell")]
    return asked_in_messages(
        {"messages": [{"role": "user", "content": TOLD}, *more], "tools": tools}
    )


def converse(*more: Any) -> Question:
    """The same for Bedrock."""
    specs = [{"toolSpec": {"name": n, "inputSchema": {"json": SCHEMA}}} for n in ("look", "tell")]
    said = {"role": "user", "content": [{"text": TOLD}]}
    return asked_in_converse({"messages": [said, *more], "toolConfig": {"tools": specs}})


def in_chat(number: int) -> list[Any]:
    """A call and its result."""
    return [
        {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{number}"}]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": f"result {number}"},
    ]


def in_responses(number: int) -> list[Any]:
    """The same as items of a response."""
    return [
        {"type": "function_call", "call_id": f"c{number}"},
        {"type": "function_call_output", "call_id": f"c{number}", "output": f"result {number}"},
    ]


def in_messages(number: int) -> list[Any]:
    """The same as blocks, with a reminder beside it as coding agents have it."""
    result = {"type": "tool_result", "tool_use_id": f"c{number}", "content": f"result {number}"}
    return [
        {"role": "assistant", "content": [{"type": "tool_use", "id": f"c{number}"}]},
        {"role": "user", "content": [result, {"type": "text", "text": "Keep at it."}]},
    ]


def in_converse(number: int) -> list[Any]:
    """The same for Bedrock."""
    result = {"toolUseId": f"c{number}", "content": [{"text": f"result {number}"}]}
    return [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": f"c{number}"}}]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]


@pytest.mark.parametrize(
    ("asked", "call"),
    [(chat, in_chat), (responses, in_responses), (messages, in_messages), (converse, in_converse)],
)
def test_the_calls_of_a_question_are_made_in_turn(asked: Any, call: Any) -> None:
    """One call after the other, and then the last result is told."""
    assert react(asked()).tool == LOOK
    assert react(asked(*call(1))).tool == ("tell", '{"n": 1}')
    done = react(asked(*call(1), *call(2)))
    assert "".join(done.words or ()) == "The tool says: result 2"


def test_what_is_to_be_said_is_said() -> None:
    """Words are said whatever tools are offered, JSON of any form as told; a schema is kept to even so."""
    tools = {"look": SCHEMA}
    said = 'SAY "{\\"place\\": \\"Bern\\"}"'
    assert "".join(react(Question("x", tools, said=said)).words or ()) == '{"place": "Bern"}'
    assert react(Question("x", tools, "none", said=said)).tool is None
    any_object = Question("x", {"json": {"type": "object"}}, "json", said=said)
    assert react(any_object).tool == ("json", '{"place": "Bern"}')
    quoted = json.dumps(f"Please {said}")
    assert "".join(react(Question("x", tools, said=quoted)).words or ()) == '{"place": "Bern"}'
    more = {"type": "object", "properties": {"place": {}, "degrees": {"type": "integer"}}}
    strict = Question("'Rome' 21", schema=more, said=said)
    assert "".join(react(strict).words or ()) == '{"place": "Rome", "degrees": 21}'


def test_a_forced_call_is_made() -> None:
    """A tool that the request forces is called, with what it was told for that tool if it was."""
    assert react(chat(tool_choice="required")).tool == LOOK
    named = {"type": "function", "function": {"name": "tell"}}
    assert react(chat(tool_choice=named)).tool == ("tell", '{"place": "Hello"}')
    done = [*in_chat(1), *in_chat(2)]
    assert react(chat(*done, tool_choice="required")).tool == ("tell", '{"place": "Hello"}')
    assert react(chat(*done, tool_choice="none")).words is not None


def test_a_question_that_says_nothing_of_it_has_the_first_tool_called_once() -> None:
    """The first tool is called once, as the suites of vendors' clients expect it."""
    tools = {"look": SCHEMA}
    assert react(Question("'Rome'", tools)).tool == LOOK
    assert react(Question("'Rome'", tools, result="sunny")) == Reaction()
    assert react(Question("CALL look {broken", tools, said="CALL look {broken")).tool is not None
