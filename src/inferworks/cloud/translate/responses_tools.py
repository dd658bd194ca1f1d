"""The tools of OpenAI's responses as functions of a chat, and their calls put back.

A chat has functions only. A `custom` tool is called with a text that is no JSON, so it becomes a function
with one string, `input`, and its call becomes a `custom_tool_call` again. A `namespace` holds functions
and custom tools whose names are its own; they become functions called `namespace__name`. Codex sends both
with every request (HarnessRouter/harnessrouter#202). A tool that OpenAI runs itself, or whose calls only
its models know how to write, has no such form: it was offered and not ordered, so it is left out and named.

Nothing is kept between a request and its answer: the answer's reader makes the same names from the same
request.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from inferworks.cloud.translate.fields import Fields, set_if
from inferworks.cloud.translate.tool_names import short_name
from inferworks.cloud.translate.tool_results import fit_id
from inferworks.dialects.openai_responses import NULL, FullResponsesRequest, InputItem, Tool

_FUNCTION: Final = "function"
_CUSTOM: Final = "custom"
_WITH_TOOLS: Final = frozenset({"additional_tools", "tool_search_output"})
"""Items of the input that offer tools, as if they stood in `tools`."""


class Offered(NamedTuple):
    """A tool that the model can be told of, and where it stands."""

    function: str
    """Name of the tool in the chat."""
    tool: Tool
    namespace: str | None = None

    @property
    def is_custom(self) -> bool:
        """True when the tool is called with a text and not with arguments."""
        return self.tool.type == _CUSTOM


class _Input(msgspec.Struct):
    input: str


_read_input = msgspec.json.Decoder(_Input).decode


def function_name(name: str, namespace: str | None) -> str:
    """Return the name of a tool in a chat."""
    return short_name(name) if namespace is None else fit_id(f"{namespace}__{name}")


def offered(request: FullResponsesRequest) -> tuple[list[Offered], list[str]]:
    """The tools that a chat can have, and the names of those that it cannot."""
    tools: list[Offered] = []
    left_out: list[str] = []
    every = [(f"tools[{number}]", tool) for number, tool in enumerate(request.tools or ())]
    for number, item in enumerate(request.input if isinstance(request.input, list) else ()):
        if item.type in _WITH_TOOLS:
            every += ((f"input[{number}]", tool) for tool in item.tools or ())
    for where, tool in every:
        inner = (tool.tools or []) if tool.type == "namespace" else [tool]
        namespace = tool.name if tool.type == "namespace" else None
        for one in inner:
            if one.type in {_FUNCTION, _CUSTOM}:
                tools.append(Offered(function_name(one.name, namespace), one, namespace))
            else:
                left_out.append(f"{where}:{one.type}")
    return tools, left_out


def functions(tools: Iterable[Offered]) -> list[Fields]:
    """`tools` as a chat's."""
    shown: list[Fields] = []
    for one in tools:
        tool = one.tool
        function: Fields = {"name": one.function}
        shown.append({"type": "function", "function": function})
        if not one.is_custom:
            set_if(function, "description", tool.description)
            set_if(function, "parameters", None if tool.parameters == NULL else tool.parameters)
            set_if(function, "strict", tool.strict)
            continue
        words = [tool.description] if tool.description else []
        if tool.format is not None and tool.format.type == "grammar":  # nobody else can enforce it
            syntax, definition = tool.format.syntax, tool.format.definition
            words.append(f"`input` follows this {syntax} grammar:\n{definition}")
        set_if(function, "description", "\n\n".join(words) or None)
        function["parameters"] = {
            "type": "object",
            "properties": {
                "input": {"type": "string", "description": "The whole input, as it is."}
            },
            "required": ["input"],
            "additionalProperties": False,
        }
    return shown


def past_call(item: InputItem) -> Fields:
    """The function that an item says was called."""
    arguments = item.arguments
    if item.type == "custom_tool_call":
        arguments = bytes(b'{"input":%b}' % bytes(item.input)).decode()
    return {"name": function_name(item.name, item.namespace), "arguments": arguments}


class CallsBack:
    """Calls of a chat's functions as items of a response."""

    def __init__(self, request: FullResponsesRequest) -> None:
        self._tools = {tool.function: tool for tool in offered(request)[0]}

    def is_custom(self, function: str) -> bool:
        """Return True when `function` stands for a custom tool."""
        tool = self._tools.get(function)
        return tool is not None and tool.is_custom

    def item(
        self, item_id: str, call_id: str, function: str, arguments: str, status: str
    ) -> Fields:
        """The item of one call, `arguments` as far as they came."""
        tool = self._tools.get(function)
        name = function if tool is None else tool.tool.name
        is_custom = tool is not None and tool.is_custom
        fields: Fields = {
            "id": item_id,
            "type": "custom_tool_call" if is_custom else "function_call",
            "status": status,
            "call_id": call_id,
            "name": name,
        }
        if tool is not None and tool.namespace is not None:
            fields["namespace"] = tool.namespace
        if is_custom:
            return {**fields, "input": input_of(arguments)}
        return {**fields, "arguments": arguments}


def input_of(arguments: str) -> str:
    """The text that a custom tool is called with; arguments of another form are that text themselves."""
    try:
        return _read_input(arguments.encode()).input
    except (msgspec.DecodeError, UnicodeEncodeError):
        return arguments
