"""Tool calls and structured answers of a capable model, made from the question.

The test suites of clients ask for tools and for JSON of a schema, and then check the answer. A fake
upstream whose answer `is_able` gives them something to check: values made from the schema, with the numbers
and the quoted words of the question where it has some. It calls a tool whenever it may and has no result
yet, so a conversation with tools comes to its end.

Agents offer many tools with every question, and look at what is done with one of them. A question can
therefore give commands, and then nothing else is done:

    CALL name {"argument": 1}     one call after the other, each once; then it tells the last result
    SAY "words"                   the words, a string of JSON

so that an agent's own loop is seen to run, and the result of its tool to have come back to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from inferworks.testing.upstreams.script import Body, Scripted

S = TypeVar("S", bound=Scripted)

_NUMBER = re.compile(r"-?\d+")
_QUOTED = re.compile(r"'([^']+)'")
_CALL = re.compile(r"\bCALL ([\w.-]+) (?=\{)")
_SAY = re.compile(r'\bSAY (?=\\?")')
_ESCAPED = re.compile(r"\\(.)")
_THOUGHTS = ("Let me", " see.")
_PIECE = 12
"""Characters that make a token here, where the words are not scripted."""


class Question(msgspec.Struct, frozen=True):
    """Question in a request, whatever its dialect."""

    text: str
    """The user's last words."""
    tools: Mapping[str, Body] = {}
    """Name -> schema of its arguments, of all that are offered."""
    choice: str = "auto"
    """Tools that may be called: `auto`, `none`, `required` or a name."""
    schema: Body | None = None
    """Schema of the answer, when it is to be JSON."""
    said: str = ""
    """All that the user has said in this conversation."""
    calls: int = 0
    """Number of calls made before in the conversation."""
    result: str | None = None
    """Result of the last tool, when the model is to go on with it."""
    thinks: bool = False
    """Thoughts are to come before anything else."""


class Reaction(msgspec.Struct, frozen=True):
    """Reaction to a question: words or a tool call, at most one of the two."""

    words: tuple[str, ...] | None = None
    tool: tuple[str, str] | None = None
    """The name and the arguments, as JSON."""


def react(question: Question) -> Reaction:
    """Call a tool if there is one to call, else answer in the form that is asked for, else as usual."""
    told = [
        (found[1], json.dumps(arguments, ensure_ascii=False))
        for found in _CALL.finditer(question.said)
        if (arguments := _value_at(question.said, found.end())) is not None
        and found[1] in question.tools
    ]
    words = _words(question.said)
    tool = _tool(question, told, is_told=bool(told) or words is not None)
    if tool is not None:
        return Reaction(tool=tool)
    if question.schema is not None:
        return Reaction(words=_pieces(_arguments(question.schema, question)))
    if told and question.result is not None:
        return Reaction(words=_pieces(f"The tool says: {question.result}"))
    return Reaction() if words is None else Reaction(words=_pieces(words))


def _tool(
    question: Question, told: Sequence[tuple[str, str]], *, is_told: bool
) -> tuple[str, str] | None:
    """The tool to call next, and its arguments."""
    tools, choice = question.tools, question.choice
    due = told[question.calls :]
    if choice == "none" or not tools:
        return None
    if due and choice in {"auto", "required", due[0][0]}:
        return due[0]
    if choice in tools:
        name = choice
    elif choice == "required":
        # What ends a conversation is offered last.
        name = list(tools)[-1 if is_told or question.calls else 0]
    elif is_told or question.result is not None:
        return None
    else:
        name = next(iter(tools))
    return name, _arguments(tools[name], question)


def _arguments(schema: Body, question: Question) -> str:
    """Return arguments that fit `schema`: the object after the last SAY if there is one and it fits."""
    words = _words(question.said)
    said = None if words is None else _value_at(words, 0)
    if words and isinstance(said, dict) and said.keys() >= (schema.get("properties") or {}).keys():
        return words
    return json.dumps(value_of(schema, schema, question.text), ensure_ascii=False)


def _words(said: str) -> str | None:
    """Return the words of the last SAY, or None."""
    values = [_value_at(said, found.end()) for found in _SAY.finditer(said)]
    return values[-1] if values else None


def _value_at(text: str, start: int) -> Any:
    """The JSON value that begins there, None where there is none."""
    for rest in (text[start:], _ESCAPED.sub(r"\1", text[start:])):  # some agents quote the question
        with suppress(ValueError):
            return json.JSONDecoder().raw_decode(rest)[0]
    return None


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def as_asked(answer: S, asked: Callable[[Body], Question], request: Body) -> S:
    """Return `answer` with a capable model's reaction to `request`, whose question `asked` finds."""
    if not answer.is_able:
        return answer
    question = asked(request)
    reaction = react(question)
    thoughts: Mapping[str, Any] = {"thoughts": _THOUGHTS} if question.thinks else {}
    if reaction.tool is not None:
        return msgspec.structs.replace(
            answer, words=(), tool=reaction.tool, calls_before=question.calls, **thoughts
        )
    return msgspec.structs.replace(answer, words=reaction.words or answer.words, **thoughts)


def asked_in_chat(request: Body) -> Question:
    """The question of a chat completion."""
    messages = request["messages"]
    functions = [tool["function"] for tool in request.get("tools") or () if "function" in tool]
    choice = request.get("tool_choice") or "auto"
    said = _said(messages)
    return Question(
        said[-1] if said else "",
        {function["name"]: function.get("parameters", {}) for function in functions},
        choice["function"]["name"] if isinstance(choice, dict) else choice,
        _chat_schema(request.get("response_format") or {}, messages, said),
        "\n".join(said),
        sum(len(message.get("tool_calls") or ()) for message in messages),
        _last(
            " ".join(_texts(message["content"]))
            for message in _after(messages, lambda message: message["role"] == "assistant")
            if message["role"] == "tool"
        ),
    )


def asked_in_messages(request: Body) -> Question:
    """The question of one of Anthropic's messages."""
    messages = request["messages"]
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in request.get("tools") or ()}
    choice = request.get("tool_choice") or {"type": "auto"}
    config = request.get("output_config") or {}
    wanted = config.get("format") or request.get("output_format") or {}  # the latter as a beta
    said = _said(messages)
    return Question(
        said[-1] if said else "",
        tools,
        choice.get("name") or {"any": "required"}.get(choice["type"], choice["type"]),
        wanted.get("schema"),
        "\n".join(said),
        sum(part.get("type") == "tool_use" for part in _parts(messages)),
        _last(
            " ".join(_texts(part.get("content")))
            for part in _parts(messages[-1:])
            if part.get("type") == "tool_result"
        ),
        (request.get("thinking") or {}).get("type") in {"enabled", "adaptive"},
    )


def asked_in_converse(request: Body) -> Question:
    """The question of a Converse of Bedrock's."""
    messages = request["messages"]
    config = request.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools") or () if "toolSpec" in tool]
    ((kind, named),) = (config.get("toolChoice") or {"auto": {}}).items()
    wanted = (request.get("outputConfig") or {}).get("textFormat")
    said = _said(messages)
    return Question(
        said[-1] if said else "",
        {spec["name"]: spec["inputSchema"]["json"] for spec in specs},
        named.get("name") or {"any": "required"}.get(kind, kind),
        json.loads(wanted["structure"]["jsonSchema"]["schema"]) if wanted else None,
        "\n".join(said),
        sum("toolUse" in part for part in _parts(messages)),
        _last(
            " ".join(piece.get("text") or json.dumps(piece.get("json")) for piece in result)
            for part in _parts(messages[-1:])
            if (result := part.get("toolResult", {}).get("content")) is not None
        ),
    )


def asked_in_responses(request: Body) -> Question:
    """The question of a response."""
    given = request.get("input") or ""
    items: list[Body] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    choice = request.get("tool_choice") or "auto"
    wanted = (request.get("text") or {}).get("format") or {}
    said = _said(items)
    return Question(
        said[-1] if said else "",
        {
            tool["name"]: tool.get("parameters") or {}
            for tool in request.get("tools") or ()
            if tool["type"] == "function"
        },
        choice.get("name", "auto") if isinstance(choice, dict) else choice,
        _chat_schema({"type": wanted.get("type"), "json_schema": wanted}, items, said),
        "\n".join(said),
        sum(item.get("type") == "function_call" for item in items),
        _last(
            " ".join(_texts(item["output"]))
            for item in _after(items, lambda item: item.get("type") == "function_call")
            if item.get("type") == "function_call_output"
        ),
    )


def _chat_schema(wanted: Body, messages: Sequence[Body], said: Sequence[str]) -> Body | None:
    """The schema of the answer; of any object, the one that is told, or one with the quoted words."""
    if wanted.get("type") == "json_schema":
        schema: Body = wanted["json_schema"].get("schema", {})
        return schema
    if wanted.get("type") != "json_object" or _words("\n".join(said)) is not None:
        return None
    for message in messages:
        for text in _texts(message.get("content") if message.get("role") == "system" else None):
            told = _value_at(text, text.find("{")) if "{" in text else None
            if isinstance(told, dict) and "properties" in told:
                return told
    names = _QUOTED.findall(said[-1]) if said else ()
    return {"type": "object", "properties": {name: {} for name in names}}


def _after(messages: Sequence[Body], is_models: Callable[[Body], bool]) -> Sequence[Body]:
    """Return the messages after the model's last one."""
    last = max((at for at, message in enumerate(messages) if is_models(message)), default=-1)
    return messages[last + 1 :]


def _last(results: Iterator[str]) -> str | None:
    return next(iter([*results][::-1]), None)


def _said(messages: Sequence[Body]) -> list[str]:
    """The user's texts, one for each message that has some."""
    users = [message.get("content") for message in messages if message.get("role") == "user"]
    return [text for content in users if (text := " ".join(_texts(content)))]


def _parts(messages: Sequence[Body]) -> Iterator[Body]:
    for message in messages:
        if isinstance(message["content"], list):
            yield from message["content"]


def _texts(content: object) -> Iterator[str]:
    """The texts of a content of any dialect."""
    if isinstance(content, str):
        yield content
        return
    for part in content if isinstance(content, list) else ():
        if part.get("type", "text") in {"text", "input_text"} and "text" in part:
            yield part["text"]


def value_of(schema: Body, root: Body, text: str) -> Any:
    """Make a value that fits `schema`, a part of `root`, with the numbers and words of `text`."""
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
