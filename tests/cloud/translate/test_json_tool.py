"""JSON from models that have no mode for it: asked for by a tool, and given as words."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.translations import PutBack, put_back

from inferworks.catalog.facts import ModelFacts
from inferworks.cloud.call import Call
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.chat_to_converse.translation import ChatToConverse
from inferworks.cloud.translate.chat_to_messages.translation import ChatToMessages
from inferworks.cloud.translate.json_tool import JSON_TOOL, is_mode
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.dialects.openai_chat import JsonSchema, ResponseFormat
from inferworks.http.sse import DONE, EventSplitter, event_data
from inferworks.ids import CallId, ModelId

CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {"n": {"type": "integer"}}}
FUNCTION = {"type": "function", "function": {"name": "look"}}
HELLO = [{"role": "user", "content": "Hi"}]
OBJECT = {"type": "json_object"}
NO_MODES = ModelFacts(json_modes=())


def form(schema: object) -> dict[str, Any]:
    """A `response_format` with a schema."""
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


def call_of(way: Translation, facts: ModelFacts | None = None, **fields: Any) -> Call:
    """A chat, to a model of which so much is known."""
    body = json.dumps({"model": "m", "messages": HELLO, **fields}).encode()
    call = Call(CallId("c"), way.source, ModelId("m"), False, True, body=body)
    return call if facts is None else msgspec.structs.replace(call, facts=facts)


def asked(way: Translation, facts: ModelFacts | None = None, **fields: Any) -> Any:
    """Request that the upstream is sent."""
    return json.loads(way.ask(call_of(way, facts, **fields)).body)


def test_a_schema_that_the_mode_knows_is_asked_for_by_the_mode() -> None:
    """Anthropic's and Bedrock's own means come first."""
    body = asked(ChatToMessages(), response_format=form(CLOSED), reasoning_effort="low")
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": CLOSED}
    assert body["output_config"]["effort"] == "low"
    assert "tools" not in body
    said = asked(ChatToConverse(), response_format=form(CLOSED))["outputConfig"]["textFormat"]
    assert json.loads(said["structure"]["jsonSchema"]["schema"]) == CLOSED


@pytest.mark.parametrize(
    ("wanted", "facts"),
    [(OBJECT, None), (form(OPEN), None), (form(CLOSED), NO_MODES), (OBJECT, NO_MODES)],
)
def test_all_else_is_asked_for_by_a_tool(wanted: Any, facts: ModelFacts | None) -> None:
    """One that must be called once, with the schema that was given; thinking gives way to it."""
    body = asked(
        ChatToMessages(), facts, response_format=wanted, reasoning_effort="high", tools=None
    )
    schema = wanted.get("json_schema", {}).get("schema")
    (tool,) = body["tools"]
    assert tool["input_schema"]["type"] == "object"
    assert tool["input_schema"] == (schema or tool["input_schema"])
    assert body["tool_choice"] == {
        "type": "tool", "name": JSON_TOOL, "disable_parallel_tool_use": True
    }  # fmt: skip
    assert not {"thinking", "output_config"} & body.keys()
    config = asked(ChatToConverse(), facts, response_format=wanted)["toolConfig"]
    assert config["toolChoice"] == {"any": {}}
    assert config["tools"][0]["toolSpec"]["name"] == JSON_TOOL


def test_tools_of_the_caller_stand_beside_it() -> None:
    """The model calls one of them or answers; who orders a tool of its own gets no answer yet."""
    body = asked(ChatToMessages(), response_format=OBJECT, tools=[FUNCTION])
    assert [tool["name"] for tool in body["tools"]] == ["look", JSON_TOOL]
    assert body["tool_choice"] == {"type": "any"}
    for choice in ("required", FUNCTION):
        body = asked(ChatToMessages(), response_format=OBJECT, tools=[FUNCTION], tool_choice=choice)
        assert [tool["name"] for tool in body["tools"]] == ["look"]
        config = asked(
            ChatToConverse(), response_format=OBJECT, tools=[FUNCTION], tool_choice=choice
        )
        assert len(config["toolConfig"]["tools"]) == 1
    body = asked(ChatToMessages(), response_format=OBJECT, tools=[FUNCTION], tool_choice="none")
    assert body["tool_choice"]["name"] == JSON_TOOL


UNKNOWN_WORDS = [
    {"type": "integer", "minimum": 1}, {"type": "string", "maxLength": 3}, {"oneOf": []},
    {"type": "array", "items": OPEN}, {"type": "array", "minItems": 2}, {"not": {}}, OPEN,
    {"$ref": "#"}, {"$ref": "#/$defs/tree"}, {"anyOf": [{"type": ["object", "null"]}]},
]  # fmt: skip
KNOWN_WORDS = [
    {"type": "string", "enum": [{"minimum": 1}]}, {"type": "array", "minItems": 1}, CLOSED,
    {"$ref": "#/$defs/leaf"}, {"type": "string", "format": "date", "pattern": "a"}, {"const": 1},
]  # fmt: skip
TREE = {**CLOSED, "properties": {"leaves": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}


@pytest.mark.parametrize("inner", [*UNKNOWN_WORDS, *KNOWN_WORDS])
def test_which_schemas_the_mode_knows(inner: dict[str, Any]) -> None:
    """Closed objects, no bounds, nothing that leads back to itself; fields may have any names."""
    defs = {"leaf": CLOSED, **({"tree": TREE} if "tree" in json.dumps(inner) else {})}
    schema = {**CLOSED, "properties": {"minimum": {"type": "integer"}, "a": inner}, "$defs": defs}
    raw = JsonSchema(msgspec.Raw(json.dumps(schema).encode()))
    assert is_mode(ResponseFormat("json_schema", raw)) == (inner in KNOWN_WORDS)


# --- answers

ANSWERS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)


def streamed(way: Translation, events: list[bytes]) -> tuple[str, list[Any], str]:
    """Words and calls of a stream, and its finish reason."""
    stream = PutBack(way, call_of(way, response_format=OBJECT))
    out = b"".join(map(stream.event, events))
    told = [event_data(event) for event in EventSplitter().feed(out)]
    choices = [c for data in told if data != DONE for c in json.loads(data)["choices"]]
    words = "".join(choice["delta"].get("content") or "" for choice in choices)
    calls = [piece for choice in choices for piece in choice["delta"].get("tool_calls", ())]
    return words, calls, choices[-1]["finish_reason"]


def as_events(*items: dict[str, Any]) -> list[bytes]:
    """Events of Anthropic's or of Converse's."""
    return [b"data: %b\n\n" % json.dumps(item).encode() for item in items]


@given(ANSWERS, st.booleans())
def test_the_call_of_the_tool_is_the_answer_of_anthropic(
    answer: dict[str, Any], calls: bool
) -> None:
    """Whole and streamed: its input is the words, and a call of the caller's own stays one."""
    way = ChatToMessages()
    use = {"type": "tool_use", "id": "t", "name": JSON_TOOL, "input": answer}
    own = {"type": "tool_use", "id": "o", "name": "look", "input": {}}
    content = [use, own] if calls else [use]
    message = {"id": "m", "content": content, "stop_reason": "tool_use"}
    choice = json.loads(put_back(way, call_of(way), json.dumps(message).encode()))["choices"][0]
    assert json.loads(choice["message"]["content"]) == answer
    assert len(choice["message"].get("tool_calls", [])) == calls
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")

    text, events = json.dumps(answer), []
    for index, block in enumerate(content):
        events.append(
            {"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}}
        )
        pieces = [text[:3], text[3:]] if block is use and answer else []
        events += [
            {"type": "content_block_delta", "index": index,
             "delta": {"type": "input_json_delta", "partial_json": piece}} for piece in pieces
        ]  # fmt: skip
        events.append({"type": "content_block_stop", "index": index})
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    events.insert(0, {"type": "message_start", "message": {}})
    words, own_calls, reason = streamed(way, as_events(*events, end, {"type": "message_stop"}))
    assert json.loads(words) == answer
    assert {call["index"] for call in own_calls} == ({0} if calls else set())
    assert reason == choice["finish_reason"]


@pytest.mark.slow
@given(ANSWERS)
def test_the_call_of_the_tool_is_the_answer_of_converse(answer: dict[str, Any]) -> None:
    """The same on Bedrock."""
    way = ChatToConverse()
    use = {"toolUse": {"toolUseId": "t", "name": JSON_TOOL, "input": answer}}
    whole = {
        "output": {"message": {"role": "assistant", "content": [use]}},
        "stopReason": "tool_use",
    }
    choice = json.loads(put_back(way, call_of(way), json.dumps(whole).encode()))["choices"][0]
    assert json.loads(choice["message"]["content"]) == answer
    assert (choice["finish_reason"], "tool_calls" in choice["message"]) == ("stop", False)
    start = {"start": {"toolUse": {"toolUseId": "t", "name": JSON_TOOL}}}
    pieces = [{"delta": {"toolUse": {"input": letter}}} for letter in json.dumps(answer)]
    events = [{"contentBlockStart": start}, *({"contentBlockDelta": piece} for piece in pieces),
              {"contentBlockStop": {}}, {"messageStop": {"stopReason": "tool_use"}}]  # fmt: skip
    words, calls, reason = streamed(way, as_events(*events))
    assert (json.loads(words), calls, reason) == (answer, [], "stop")


# --- chats that know one mode alone


def test_a_schema_for_a_chat_that_knows_objects_alone() -> None:
    """The schema is told behind the instructions; the other way round any object is a schema."""
    output = {"format": {"type": "json_schema", "schema": CLOSED}}
    fields = {"max_tokens": 9, "system": "Be brief.", "output_config": output}
    body = asked(MessagesToChat(), ModelFacts(json_modes=("json_object",)), **fields)
    assert body["response_format"] == OBJECT
    _, told, _ = body["messages"]
    assert (told["role"], json.dumps(CLOSED) in told["content"]) == ("system", True)
