"""The tools that a chat offers, as far as another dialect can have them.

A tool that is no function was offered and not ordered: it is left out and named, unless the choice forces
it. `allowed_tools` is a choice among functions and is made here.
"""

from __future__ import annotations

from typing import NamedTuple

from inferworks.cloud.translate.fields import Omissions, cannot
from inferworks.dialects.openai_chat import AllowedTools, FullChatRequest, Tool, ToolFunction


class Offered(NamedTuple):
    """Functions, and which of them is to be called."""

    tools: list[tuple[ToolFunction, Tool]]
    choice: str | None
    """`auto`, `none` or `required`; None where nothing is said, or where one is forced."""
    forced: str | None
    """The function that must be called."""


def offered(request: FullChatRequest, serves: str, omissions: Omissions) -> Offered:
    """Return the tools of `request` for an API that has functions alone.

    CallError 400 where `tool_choice` demands another kind of tool.
    """
    tools: list[tuple[ToolFunction, Tool]] = []
    for number, tool in enumerate(request.tools or ()):
        if tool.type == "function" and tool.function is not None:
            tools.append((tool.function, tool))
        else:
            omissions.leave_out(f"tools[{number}]:{tool.type}")
    match request.tool_choice:
        case Tool(type="function", function=ToolFunction(name=name)):
            return Offered(tools, None, name)
        case Tool(type="allowed_tools", allowed_tools=AllowedTools() as allowed):
            names = {tool.function.name for tool in allowed.tools if tool.function}
            tools = [pair for pair in tools if pair[0].name in names]
            choice: object = allowed.mode
        case given:
            choice = given
    match choice:
        case None | "auto" | "none":
            return Offered(tools, choice, None)
        case "required" if tools:
            return Offered(tools, "required", None)
    why = f"must be 'auto', 'none', 'required' or a function that is given, for {serves}"
    raise cannot("tool_choice", why, "tool_choice")
