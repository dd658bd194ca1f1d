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

from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile
from typing import TypeAlias

from inferworks.cloud.translate.fields import Fields

Turn: TypeAlias = tuple[str, list[Fields]]
"""A role (user, assistant, tool or system) and the blocks of its content."""


def placed(said: Iterable[Turn], *, amid: bool) -> tuple[list[Fields], list[Turn]]:
    """The instructions at the head, and the turns behind them; `amid`: whether the system has turns there.

    What says nothing is left out.
    """
    turns = [turn for turn in said if turn[1]]
    head = list(takewhile(_instructs, turns))
    put: list[Turn] = []
    for speaks, group in groupby(turns[len(head) :], lambda turn: turn[0] == "assistant"):
        run = list(group)
        put += run if speaks else _heard(run, amid=amid)
    return _joined(head), put


def _instructs(turn: Turn) -> bool:
    return turn[0] == "system"


def _joined(turns: Iterable[Turn]) -> list[Fields]:
    return [block for _, blocks in turns for block in blocks]


def _heard(run: Sequence[Turn], *, amid: bool) -> list[Turn]:
    """Return the turns between two turns of the assistant."""
    results = _joined(turn for turn in run if turn[0] == "tool")
    turns: list[Turn] = [("user", results)] if results else []
    turns += [turn for turn in run if turn[0] != "tool"]
    behind = sum(1 for _ in takewhile(_instructs, reversed(turns))) if amid else 0
    cut = len(turns) - behind or len(
        turns
    )  # an instruction that follows no user has no turn of its own
    heard, told = turns[:cut], turns[cut:]
    if any(map(_instructs, heard)):
        heard = [("user", _joined(map(_as_user, heard)))]
    return [*heard, ("system", _joined(told))] if told else heard


def _as_user(turn: Turn) -> Turn:
    """A turn in the user's; an instruction is marked."""
    role, blocks = turn
    if role != "system":
        return "user", blocks
    return "user", [
        {**block, "text": f"<system>{block['text']}</system>"} if "text" in block else block
        for block in blocks
    ]
