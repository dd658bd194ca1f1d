"""Anthropic's rules on the order of messages and blocks, and on empty texts.

Messages of the same role that follow each other count as one.

Sources: https://platform.claude.com/docs/en/api/messages, /en/agents-and-tools/tool-use/implement-tool-use,
/en/build-with-claude/extended-thinking#preserving-thinking-blocks; anthropics/claude-code#12526,
tghamm/Anthropic.SDK#184, LibreChat-AI/agents#124, tailcallhq/forgecode#1872; turns of the system:
/en/build-with-claude/mid-conversation-system-messages, anthropics/claude-code#61412.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile

from inferworks.testing.upstreams.blocks import SIGNATURE
from inferworks.testing.upstreams.script import Body


def messages_order(request: Body) -> Iterator[str]:
    """Yield the faults of messages and blocks that may not stand where they stand."""
    yield from _texts(request)
    yield from _systems(request)
    messages = request["messages"]
    for number, message in enumerate(messages):
        for place, block in enumerate(_blocks(message)):
            # only Anthropic can sign thoughts, which come back as they were
            if block["type"] == "thinking" and block["signature"] != SIGNATURE:
                yield f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block"
    yield from _turns(messages)
    yield from _thoughts(request)


def _blocks(message: Body) -> Sequence[Body]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _texts(request: Body) -> Iterator[str]:
    messages = request["messages"]
    if messages[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    for number, message in enumerate(messages):
        is_last_word = number == len(messages) - 1 and message["role"] == "assistant"
        if not message["content"] and not is_last_word:
            yield (
                f"messages.{number}: all messages must have non-empty content except for the optional "
                "final assistant message"
            )
        texts = [block["text"] for block in _blocks(message) if block["type"] == "text"]
        if "" in texts and message["content"]:
            yield "messages: text content blocks must be non-empty"
        if texts and message["content"] and not any(text.strip() for text in texts):
            yield "messages: text content blocks must contain non-whitespace text"
        if is_last_word and texts and texts[-1] != texts[-1].rstrip():
            yield "messages: final assistant content cannot end with trailing whitespace"
    system = request.get("system")
    if isinstance(system, list) and any(block["text"] == "" for block in system):
        yield "system: text content blocks must be non-empty"


_HAS_SYSTEM_TURNS = re.compile(r"claude-opus-(4-[89]|[5-9])")


def _systems(request: Body) -> Iterator[str]:
    """Turns of the system: the newest models', behind a user's, at the end or before the assistant's."""
    roles = [str(message["role"]) for message in request["messages"]]
    if "system" in roles and not _HAS_SYSTEM_TURNS.match(str(request["model"])):
        yield "role 'system' is not supported on this model"
    for number, (before, role, behind) in enumerate(
        zip(["", *roles], roles, [*roles[1:], "assistant"], strict=False)
    ):
        if role == "system" and (before != "user" or behind != "assistant"):
            yield (
                f"messages.{number}: role 'system' must follow a 'user' message and must be last or "
                "precede an 'assistant' message"
            )


def _turns(messages: Sequence[Body]) -> Iterator[str]:
    called: list[str] = []
    before = 0
    seen: set[str] = set()
    for role, numbered in groupby(enumerate(messages), lambda pair: str(pair[1]["role"])):
        turn = list(numbered)
        blocks = [
            (number, place, block)
            for number, message in turn
            for place, block in enumerate(_blocks(message))
        ]
        if role == "user":
            yield from _results(blocks, called, before)
            called = []
        elif role == "assistant":
            called = [str(block["id"]) for _, _, block in blocks if block["type"] == "tool_use"]
            before = turn[-1][0]
            if len(set(called)) < len(called) or seen & set(called):
                yield "messages: `tool_use` ids must be unique"
            seen.update(called)
    if called:
        yield _without_result(before, called)


def _results(
    blocks: Sequence[tuple[int, int, Body]], called: Sequence[str], before: int
) -> Iterator[str]:
    """Yield faults in the results of a user's turn that follows an assistant's at `before`."""
    open_calls = list(called)
    is_first = True
    answered: set[str] = set()
    for number, place, block in blocks:
        if block["type"] != "tool_result":
            is_first = False
            continue
        asked = block["tool_use_id"]
        if asked in answered:
            yield (
                f"messages.{number}.content.{place}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {asked}"
            )
        elif asked not in called:
            yield (
                f"messages.{number}.content.{place}: unexpected `tool_use_id` found in `tool_result` "
                f"blocks: {asked}. Each `tool_result` block must have a corresponding `tool_use` block "
                "in the previous message."
            )
        elif is_first:
            open_calls.remove(asked)
        answered.add(asked)
    if open_calls:
        yield _without_result(before, open_calls)


def _without_result(number: int, ids: Sequence[str]) -> str:
    return (
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
        "next message."
    )


def _thoughts(request: Body) -> Iterator[str]:
    """Check that within a loop of tools, thoughts before a call are sent back with it."""
    messages = request["messages"]
    kind = (request.get("thinking") or {}).get("type")
    heard = takewhile(lambda message: message["role"] != "assistant", reversed(messages))
    is_loop = any(block["type"] == "tool_result" for one in heard for block in _blocks(one))
    answers = [number for number, one in enumerate(messages) if one["role"] == "assistant"]
    if kind != "enabled" or not is_loop or not answers:
        return
    first = _blocks(messages[answers[-1]])[0]["type"]
    if first not in ("thinking", "redacted_thinking"):
        yield (
            f"messages.{answers[-1]}.content.0.type: Expected `thinking` or `redacted_thinking`, but "
            f"found `{first}`. When `thinking` is enabled, a final `assistant` message must start with "
            "a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        )
