"""What an able model makes of a question: calls of the tools it is offered, answers in the form asked for.

The suites that clients are tested with ask for tools and for JSON of a schema, and then look at what comes.
A fake upstream whose answer `is_able` gives them something to look at: values made from the schema, with
the numbers and the quoted words of the question where it has some. It calls a tool whenever it may and has
no result yet, so a conversation with tools comes to its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from inferworks.testing.upstreams.script import Body, Scripted

S = TypeVar("S", bound=Scripted)

_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r"'([^']+)'")
_PIECE = 12
"""Characters of JSON that make a token here."""


class Question(msgspec.Struct, frozen=True):
    """What a request asks, whatever its dialect."""

    text: str
    """The user's last words."""
    tools: Mapping[str, Body]
    """Name -> schema of its arguments; empty when none may be called."""
    schema: Body | None = None
    """Of the answer, when it is to be JSON."""


class Reaction(msgspec.Struct, frozen=True):
    """What is made of it; at most one of the two."""

    words: tuple[str, ...] | None = None
    tool: tuple[str, str] | None = None
    """The name and the arguments, as JSON."""


def react(question: Question) -> Reaction:
    """Call a tool if there is one, else answer in JSON if that is asked for, else as usual."""
    for name, schema in question.tools.items():
        return Reaction(tool=(name, _json(schema, question.text)))
    if question.schema is not None:
        text = _json(question.schema, question.text)
        starts = range(0, len(text), _PIECE)
        return Reaction(words=tuple(text[start : start + _PIECE] for start in starts))
    return Reaction()


def as_asked(answer: S, asked: Callable[[Body], Question], request: Body) -> S:
    """`answer` with what an able model says to `request`, whose question `asked` finds."""
    reaction = react(asked(request)) if answer.is_able else Reaction()
    if reaction.tool is not None:
        return msgspec.structs.replace(answer, words=(), tool=reaction.tool)
    return msgspec.structs.replace(answer, words=reaction.words or answer.words)


def asked_in_chat(request: Body) -> Question:
    """The question of a chat completion."""
    messages = request["messages"]
    functions = [tool["function"] for tool in request.get("tools") or ()]
    tools = {function["name"]: function.get("parameters", {}) for function in functions}
    choice = request.get("tool_choice") or "auto"
    named = choice["function"]["name"] if isinstance(choice, dict) else ""
    has_result = messages[-1]["role"] == "tool"
    text = _last_text(messages)
    return Question(
        text,
        _callable(tools, named or choice, has_result=has_result),
        _chat_schema(request.get("response_format") or {}, text),
    )


def asked_in_messages(request: Body) -> Question:
    """The question of one of Anthropic's messages."""
    messages = request["messages"]
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in request.get("tools") or ()}
    choice = request.get("tool_choice") or {"type": "auto"}
    word = {"any": "required"}.get(choice["type"], choice["type"])
    wanted = (request.get("output_config") or {}).get("format") or {}
    return Question(
        _last_text(messages),
        _callable(tools, choice.get("name") or word, has_result=_has_result(messages[-1])),
        wanted.get("schema"),
    )


def asked_in_converse(request: Body) -> Question:
    """The question of a Converse of Bedrock's."""
    messages = request["messages"]
    config = request.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools") or () if "toolSpec" in tool]
    tools = {spec["name"]: spec["inputSchema"]["json"] for spec in specs}
    ((kind, named),) = (config.get("toolChoice") or {"auto": {}}).items()
    wanted = (request.get("outputConfig") or {}).get("textFormat")
    schema = json.loads(wanted["structure"]["jsonSchema"]["schema"]) if wanted else None
    said = [part["text"] for part in messages[-1]["content"] if "text" in part]
    has_result = any("toolResult" in part for part in messages[-1]["content"])
    choice = named.get("name") or {"any": "required"}.get(kind, kind)
    return Question(" ".join(said), _callable(tools, choice, has_result=has_result), schema)


def asked_in_responses(request: Body) -> Question:
    """The question of a response, as far as a form of the answer goes."""
    wanted = (request.get("text") or {}).get("format") or {}
    given = request.get("input") or ""
    return Question(given if isinstance(given, str) else "", {}, wanted.get("schema"))


def _callable(tools: Mapping[str, Body], choice: str, *, has_result: bool) -> Mapping[str, Body]:
    """The tools of which one is to be called, the first of them."""
    if choice in tools:
        return {choice: tools[choice]}
    if choice == "none" or (choice == "auto" and has_result):
        return {}
    return tools


def _chat_schema(wanted: Body, text: str) -> Body | None:
    if wanted.get("type") == "json_schema":
        schema: Body = wanted["json_schema"].get("schema", {})
        return schema
    if wanted.get("type") == "json_object":
        return {"type": "object", "properties": {name: {} for name in _QUOTED.findall(text)}}
    return None


def _last_text(messages: Sequence[Body]) -> str:
    said = [message["content"] for message in messages if message["role"] == "user"]
    return " ".join(_texts(said[-1])) if said else ""


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "text":
            yield part["text"]


def _has_result(message: Body) -> bool:
    content = message["content"]
    return isinstance(content, list) and any(part["type"] == "tool_result" for part in content)


def _json(schema: Body, text: str) -> str:
    return json.dumps(value_of(schema, schema, text), ensure_ascii=False)


def value_of(schema: Body, root: Body, text: str) -> Any:
    """A value that keeps to `schema`, a part of `root`, with what `text` says in it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return value_of((root.get("$defs") or root["definitions"])[name], root, text)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return value_of(schema[several][0], root, text)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    return _plain(schema, root, text)


def _plain(schema: Body, root: Body, text: str) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            fields = schema.get("properties") or {}
            return {name: value_of(field, root, text) for name, field in fields.items()}
        case "array":
            return [value_of(schema.get("items") or {}, root, text)]
        case "integer" | "number":
            number = _NUMBER.search(text)
            return int(number.group()) if number else 1
        case "boolean":
            return True
        case "null":
            return None
    quoted = _QUOTED.search(text)
    return quoted.group(1) if quoted else "Hello"
