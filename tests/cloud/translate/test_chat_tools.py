"""The tools that a chat offers, as far as another dialect can have them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.catalog.facts import ANYTHING
from inferworks.cloud.translate.chat_tools import Offered, offered
from inferworks.cloud.translate.fields import Omissions
from inferworks.dialects.openai_chat import FullChatRequest
from inferworks.errors import CallError

F, G = ({"type": "function", "function": {"name": name}} for name in "fg")
SEARCH = {"type": "web_search"}


def found(tools: list[Any] | None, choice: Any = None) -> tuple[Offered, list[str]]:
    """Return the tools that are offered of a chat, and the names of what is left out."""
    request = {"model": "m", "messages": [], "tools": tools, "tool_choice": choice}
    omissions = Omissions()
    chat = msgspec.convert(request, FullChatRequest)
    return offered(chat, "the other API", ANYTHING, omissions), omissions.names


def names(given: Offered) -> list[str]:
    """The functions by name."""
    return [function.name for function, _ in given.tools]


def test_functions_are_offered_and_other_tools_named() -> None:
    """By their place and kind."""
    given, left = found([SEARCH, F, G])
    assert (names(given), left) == (["f", "g"], ["tools[0]:web_search"])
    assert (given.choice, given.forced) == (None, None)


def test_no_tools_is_no_tools() -> None:
    """A missing and an empty field are the same, with a choice that asks for nothing."""
    for tools in (None, []):
        assert names(found(tools, "auto")[0]) == []
        assert found(tools, "none")[0].choice == "none"


def test_a_function_can_be_forced() -> None:
    """By its name; then nothing else is chosen."""
    given, _ = found([F, G], G)
    assert (given.choice, given.forced) == (None, "g")


def test_allowed_tools_are_a_choice_among_functions() -> None:
    """The choice is made here: other tools are not offered, and the mode is the choice."""
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [G]}}
    given, _ = found([F, G], allowed)
    assert (names(given), given.choice) == (["g"], "required")


@pytest.mark.parametrize(
    ("tools", "choice"),
    [([F], "always"), ([], "required"), ([SEARCH], "required"), ([F, SEARCH], SEARCH)],
)
def test_a_choice_that_cannot_be_made_is_refused(tools: list[Any], choice: Any) -> None:
    """A word that is none, a call of nothing, and another kind of tool."""
    with pytest.raises(CallError, match="tool_choice") as refused:
        found(tools, choice)
    assert (refused.value.status, refused.value.param) == (400, "tool_choice")
