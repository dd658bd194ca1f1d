"""The tools that a chat offers, as far as another dialect can have them.

A tool that is no function was offered and not ordered: it is left out and named, unless the choice forces
it. `allowed_tools` is a choice among functions and is made here.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from inferworks.catalog.facts import ModelFacts
from inferworks.cloud.translate.fields import Fields, Omissions, cannot, is_object
from inferworks.dialects.openai_chat import (
    AllowedTools,
    FullChatRequest,
    Tool,
    ToolCall,
    ToolFunction,
)


class Offered(NamedTuple):
    """Functions, and which of them is to be called."""

    tools: list[tuple[ToolFunction, Tool]]
    choice: str | None
    """`auto`, `none` or `required`; None where nothing is said, or where one is forced."""
    forced: str | None
    """The function that must be called."""


def offered(
    request: FullChatRequest, serves: str, facts: ModelFacts, omissions: Omissions
) -> Offered:
    """Return the tools of `request` for an API that has functions alone.

    CallError 400 where `tool_choice` demands another kind of tool, or any of a model that takes no demand.
    """
    tools: list[tuple[ToolFunction, Tool]] = []
    for number, tool in enumerate(request.tools or ()):
        if tool.type == "function" and tool.function is not None:
            tools.append((tool.function, tool))
        else:
            omissions.leave_out(f"tools[{number}]:{tool.type}")
    choice, forced = request.tool_choice, None
    match choice:
        case Tool(type="function", function=ToolFunction(name=name)):
            choice, forced = None, name
        case Tool(type="allowed_tools", allowed_tools=AllowedTools() as allowed):
            names = {tool.function.name for tool in allowed.tools if tool.function}
            tools = [pair for pair in tools if pair[0].name in names]
            choice = allowed.mode
    known = (None, "auto", "none", "required") if tools else (None, "auto", "none")
    if isinstance(choice, Tool) or choice not in known:
        why = f"must be 'auto', 'none', 'required' or a function that is given, for {serves}"
        raise cannot("tool_choice", why, "tool_choice")
    if not facts.forced_tools and (forced is not None or choice == "required"):
        why = "cannot demand a tool: that is not taken by the model that serves this"
        omissions.refuse("tool_choice", why, "tool_choice")
        choice, forced = "auto", None
    return Offered(tools, choice, forced)


def function_call(call_id: str, name: str, arguments: str) -> Fields:
    """A call of a function as a chat writes it."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def past_call(call: ToolCall, where: str, serves: str) -> tuple[str, msgspec.Raw]:
    """Return the function that was called, and its arguments as the object that they are.

    CallError 400 for the call of another kind of tool, or other arguments.
    """
    if call.function is None:
        raise cannot(where, f"must be functions for {serves}", where)
    arguments = call.function.arguments or "{}"
    if not is_object(arguments):
        raise cannot(where, f"has arguments that are no JSON object: {arguments[:60]!r}", where)
    return call.function.name, msgspec.Raw(arguments.encode())
