"""Anthropic's rules on the order of messages and blocks, one fault at a time."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.anthropic_order import messages_order
from inferworks.testing.upstreams.blocks import SIGNATURE

HI = {"role": "user", "content": "hi"}
MODEL = "claude-sonnet-4-5"
NEW_MODEL = "claude-opus-4-8"


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A user's message of blocks."""
    return {"role": "user", "content": list(blocks)}


def says(*blocks: dict[str, Any]) -> dict[str, Any]:
    """An assistant's message of blocks."""
    return {"role": "assistant", "content": list(blocks)}


def text(of: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": of}


def call(name: str) -> dict[str, Any]:
    """A call of a tool."""
    return {"type": "tool_use", "id": name, "name": "find", "input": {}}


def result(name: str) -> dict[str, Any]:
    """The result of a call."""
    return {"type": "tool_result", "tool_use_id": name, "content": "4"}


def thought(signature: str = SIGNATURE) -> dict[str, Any]:
    """A block of thoughts."""
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def faults(*messages: dict[str, Any], **fields: Any) -> list[str]:
    """The faults of a request with such messages."""
    return list(messages_order({"model": MODEL, "messages": messages, **fields}))


GOOD: dict[str, list[dict[str, Any]]] = {
    "one question": [HI],
    "users in a row": [HI, HI],
    "an answer and a question": [HI, says(text("ho")), HI],
    "the beginning of an answer": [HI, says(text("ho"))],
    "an empty end": [HI, {"role": "assistant", "content": ""}],
    "a call and its result": [HI, says(call("a")), user(result("a"))],
    "results of one turn in two messages": [
        HI, says(call("a"), call("b")), user(result("b")), user(result("a")),
    ],
    "a text behind the results": [HI, says(call("a")), user(result("a"), text("and?"))],
    "a call after a call": [
        HI, says(call("a")), user(result("a")), says(call("b")), user(result("b")),
    ],
    "signed thoughts": [HI, says(thought(), text("ho")), HI],
}  # fmt: skip


@pytest.mark.parametrize("messages", GOOD.values(), ids=GOOD.keys())
def test_messages_in_order_have_no_fault(messages: list[dict[str, Any]]) -> None:
    """Messages of the same role that follow each other count as one turn."""
    assert faults(*messages) == []


EMPTY = (
    "messages.{}: all messages must have non-empty content except for the optional final "
    "assistant message"
)
TEXTS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([says(text("ho")), HI], ['messages: first message must use the "user" role']),
    ([user()], [EMPTY.format(0)]),
    ([{"role": "user", "content": ""}], [EMPTY.format(0)]),
    ([HI, says(), HI], [EMPTY.format(1)]),
    (
        [user(text(""), text("hi"))],
        ["messages: text content blocks must be non-empty"],
    ),
    (
        [{"role": "user", "content": " \n"}],
        ["messages: text content blocks must contain non-whitespace text"],
    ),
    (
        [HI, says(text("ho "))],
        ["messages: final assistant content cannot end with trailing whitespace"],
    ),
]


@pytest.mark.parametrize(("messages", "expected"), TEXTS)
def test_texts_may_not_be_empty(messages: list[dict[str, Any]], expected: list[str]) -> None:
    """A text has a letter in it, and the last word of an assistant no space behind it."""
    assert faults(*messages) == expected


def test_space_behind_an_earlier_answer_is_none_of_its_faults() -> None:
    """Only an answer that is to be continued may not end in space."""
    assert faults(HI, says(text("ho ")), HI) == []


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("", []),
        ([text("be kind")], []),
        ([text("be kind"), text("")], ["system: text content blocks must be non-empty"]),
    ],
)
def test_blocks_of_the_system_have_text(system: object, expected: list[str]) -> None:
    """A system prompt that is one string may be empty."""
    assert faults(HI, system=system) == expected


@pytest.mark.parametrize("number", [0, 1])
def test_thoughts_of_others_are_not_signed(number: int) -> None:
    """The fault names the message and the block."""
    blocks = [text("ho"), text("ho")]
    blocks[number] = thought("forged")
    assert faults(HI, says(*blocks), HI) == [
        f"messages.1.content.{number}: Invalid `signature` in `thinking` block"
    ]


NO_RESULT = (
    "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each "
    "`tool_use` block must have a corresponding `tool_result` block in the next message."
)
UNEXPECTED = (
    "messages.{}.content.{}: unexpected `tool_use_id` found in `tool_result` blocks: {}. Each "
    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
)
TOOLS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "no result at the end": ([HI, says(call("a"))], [NO_RESULT.format(1, "a")]),
    "no result at all": (
        [HI, says(call("a"), call("b")), HI],
        [NO_RESULT.format(1, "a, b")],
    ),
    "one of two": (
        [HI, says(call("a"), call("b")), user(result("a"))],
        [NO_RESULT.format(1, "b")],
    ),
    "a result behind a text": (
        [HI, says(call("a")), user(text("so"), result("a"))],
        [NO_RESULT.format(1, "a")],
    ),
    "a result of no call": ([user(result("a"))], [UNEXPECTED.format(0, 0, "a")]),
    "a result that is late": (
        [HI, says(call("a")), user(result("a")), says(text("so")), user(result("a"))],
        [UNEXPECTED.format(4, 0, "a")],
    ),
    "a result of another call": (
        [HI, says(call("a")), user(result("a"), result("b"))],
        [UNEXPECTED.format(2, 1, "b")],
    ),
    "two results of a call": (
        [HI, says(call("a")), user(result("a"), result("a"))],
        [
            (
                "messages.2.content.1: each tool_use must have a single result. Found multiple "
                "`tool_result` blocks with id: a"
            )
        ],
    ),
    "two calls of a name in a turn": (
        [HI, says(call("a"), call("a")), user(result("a"))],
        ["messages: `tool_use` ids must be unique", NO_RESULT.format(1, "a")],
    ),
    "a name used again": (
        [HI, says(call("a")), user(result("a")), says(call("a")), user(result("a"))],
        ["messages: `tool_use` ids must be unique"],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), TOOLS.values(), ids=TOOLS.keys())
def test_each_call_has_its_result_at_once(
    messages: list[dict[str, Any]], expected: list[str]
) -> None:
    """Results stand first in the turn behind the call, one for each, and none for anything else."""
    assert faults(*messages) == expected


MISPLACED = (
    "messages.{}: role 'system' must follow a 'user' message and must be last or precede an 'assistant' "
    "message"
)
TURN = {"role": "system", "content": "be kind"}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([HI, TURN], []),
        ([HI, TURN, says(text("ho")), HI], []),
        ([HI, TURN, HI], [MISPLACED.format(1)]),
        ([HI, says(text("ho")), TURN], [MISPLACED.format(2)]),
        ([HI, TURN, TURN], [MISPLACED.format(1), MISPLACED.format(2)]),
    ],
)
def test_a_turn_of_the_system_has_its_place(
    messages: list[dict[str, Any]], expected: list[str]
) -> None:
    """A turn of the system stands behind a user's, at the end or before an answer."""
    assert faults(*messages, model=NEW_MODEL) == expected


@pytest.mark.parametrize(
    ("model", "is_new"),
    [
        ("claude-opus-4-7", False),
        ("claude-opus-4-8", True),
        ("claude-opus-4-9", True),
        ("claude-opus-5", True),
        ("claude-sonnet-4-8", False),
    ],
)
def test_older_models_have_no_turns_of_the_system(model: str, is_new: bool) -> None:
    """The newest models alone take one."""
    expected = [] if is_new else ["role 'system' is not supported on this model"]
    assert faults(HI, TURN, model=model) == expected


THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize("first", ["text", "tool_use"])
def test_thoughts_come_back_within_a_loop_of_tools(first: str) -> None:
    """An answer that called a tool begins with its thoughts where thinking is enabled."""
    blocks = [call("a")] if first == "tool_use" else [text("so"), call("a")]
    loop = [HI, says(*blocks), user(result("a"))]
    assert faults(*loop) == faults(*loop, thinking={"type": "disabled"}) == []
    (fault,) = faults(*loop, thinking=THINKING)
    assert fault.startswith(
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but "
        f"found `{first}`."
    )
    thoughtful = [HI, says(thought(), *blocks), user(result("a"))]
    assert faults(*thoughtful, thinking=THINKING) == []


def test_thoughts_may_be_left_out_behind_a_loop() -> None:
    """An answer that a new question follows needs none, nor does a redacted one."""
    ended = [HI, says(call("a")), user(result("a")), says(text("so")), HI]
    assert faults(*ended, thinking=THINKING) == []
    hidden = {"type": "redacted_thinking", "data": "x"}
    loop = [HI, says(hidden, call("a")), user(result("a"))]
    assert faults(*loop, thinking=THINKING) == []
