"""Place of the instructions in a conversation for Anthropic and Bedrock.

A chat may have instructions anywhere. Anthropic takes those at its head as `system`. Amid the messages only
its newest models take a system turn, only after a user's turn, and only before an assistant's turn or at
the end; Bedrock and Vertex take none. Moving all of them to the head was rejected: they would refer to
messages that have not come yet, and each would invalidate the upstream's prompt cache. So an instruction
that cannot have its own turn is put into the user's turn that it stands in, in order and marked.

Results of tools come first in the turn after their calls, whatever stood between.

Sources: https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages,
simonw/llm-anthropic#73, anthropics/anthropic-sdk-csharp#207
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, takewhile
from typing import Final, TypeAlias

from inferworks.cloud.translate.fields import Fields, cannot
from inferworks.dialects.openai_chat import FullMessage

Turn: TypeAlias = tuple[str, list[Fields]]
"""A role (user, assistant, tool or system) and the blocks of its content."""
_ROLES: Final = {
    "assistant": "assistant",
    "developer": "system",
    "system": "system",
    "tool": "tool",
    "user": "user",
}


def role_of(message: FullMessage, where: str) -> str:
    """Return the role of the turn that `message` is. CallError 400 for a role that is unknown."""
    role = _ROLES.get(message.role)
    if role is None:
        raise cannot(f"{where}.role", f"cannot be {message.role[:60]!r}", where)
    return role


def placed(said: Iterable[Turn], *, amid: bool) -> tuple[list[Fields], list[Turn]]:
    """The instructions at the head, and the turns behind them; `amid`: whether the system has turns there.

    What says nothing is left out.
    """
    turns = [turn for turn in said if turn[1]]
    head = list(takewhile(_instructs, turns))
    put: list[Turn] = []
    for speaks, group in groupby(turns[len(head) :], lambda turn: turn[0] == "assistant"):
        run = list(group)
        if speaks:
            put += run
            continue
        results = _joined(turn for turn in run if turn[0] == "tool")
        heard: list[Turn] = [("user", results)] if results else []
        heard += [turn for turn in run if turn[0] != "tool"]
        behind = sum(1 for _ in takewhile(_instructs, reversed(heard))) if amid else 0
        # an instruction that follows no user has no turn of its own
        cut = len(heard) - behind or len(heard)
        heard, told = heard[:cut], _joined(heard[cut:])
        if any(map(_instructs, heard)):
            blocks = [
                {**block, "text": f"<system>{block['text']}</system>"}
                if role == "system" and "text" in block
                else block
                for role, blocks in heard
                for block in blocks
            ]
            heard = [("user", blocks)]
        put += [*heard, ("system", told)] if told else heard
    return _joined(head), put


def _instructs(turn: Turn) -> bool:
    return turn[0] == "system"


def _joined(turns: Iterable[Turn]) -> list[Fields]:
    return [block for _, blocks in turns for block in blocks]
