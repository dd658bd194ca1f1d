"""OpenAI's rules on the order of messages and items: each call is answered, right behind it."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.openai_order import chat_order, misplaced_picture, responses_order
from inferworks.testing.upstreams.script import Body

HI: Body = {"role": "user", "content": "Hi"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def called(*ids: str, **more: Any) -> Body:
    """A message of the assistant that calls tools."""
    calls = [{"id": one, "type": "function"} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(call_id: str) -> Body:
    """The result of a call."""
    return {"role": "tool", "tool_call_id": call_id, "content": "1"}


@pytest.mark.parametrize(
    "messages",
    [
        [HI],
        [HI, called("a"), result("a")],
        [HI, called("a", "b"), result("b"), result("a"), HI],
        [HI, called("a"), result("a"), called("a"), result("a")],
        [{"role": "assistant", "content": ""}, HI],
        *([{"role": "assistant", name: "x"}] for name in ("refusal", "audio", "function_call")),
    ],
)
def test_a_chat_in_order_is_served(messages: list[Body]) -> None:
    """Results in any order behind their calls; a message without content says something else."""
    assert chat_order({"messages": messages}) is None


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([result("a")], 0, "must be a response to a preceeding message"),
        ([HI, called("a"), result("b")], 2, "must be a response to a preceeding message"),
        ([HI, called("a"), result("a"), result("a")], 3, "must be a response to a preceeding"),
        ([HI, called("a", "b"), result("a"), HI], 3, "did not have response messages: b"),
        ([HI, called("a", "b")], 2, "did not have response messages: a, b"),
        ([HI, called("a"), called("b"), result("b")], 2, "did not have response messages: a"),
    ],
)
def test_a_call_without_its_result_is_refused(messages: list[Body], param: int, words: str) -> None:
    """And a result without its call; the message is named in which it shows."""
    refusal = chat_order({"messages": messages})
    assert refusal is not None
    assert words in refusal.message
    assert refusal.param == f"messages.[{param}].role"


def test_an_assistant_says_something() -> None:
    """No content, and nothing in its place, is refused; an empty list of calls is nothing."""
    for more in ({}, {"tool_calls": []}, {"refusal": ""}):
        refusal = chat_order({"messages": [HI, {"role": "assistant", **more}]})
        assert refusal is not None
        assert refusal.param == "messages.[1].content"
        assert refusal.message == "Invalid value for 'content': expected a string, got null."


def test_a_picture_is_the_user_s() -> None:
    """In any other message it is refused by its place; what is no message is for other rules."""
    assert (
        misplaced_picture({"messages": [{"role": "user", "content": [PICTURE]}, "odd", {}]}) is None
    )
    assert misplaced_picture({}) is None
    refusal = misplaced_picture({"messages": [HI, {"role": "system", "content": [PICTURE]}]})
    assert refusal is not None
    assert (refusal.param, refusal.code) == ("messages[1]", "invalid_value")
    assert "role 'system' contains an image URL" in refusal.message


CALL = {"type": "function_call", "call_id": "a"}
OUTPUT = {"type": "function_call_output", "call_id": "a"}
CUSTOM = {"type": "custom_tool_call", "call_id": "b", "id": "ctc_1"}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"input": "text"}, None),
        ({}, None),
        ({"input": [CALL, OUTPUT]}, None),
        ({"input": [OUTPUT], "previous_response_id": "resp_1"}, None),
        ({"input": [OUTPUT]}, "No tool call found for function call output with call_id a."),
        ({"input": [CALL]}, "No tool output found for function call a."),
        ({"input": [CUSTOM]}, "No tool output found for custom tool call b."),
        ({"input": [{"id": "x", "role": "user"}]},
         "Invalid 'input[0].id': 'x'. Expected an ID that begins with 'msg'."),
        ({"input": [CALL | {"id": "call_1"}, OUTPUT]},
         "Invalid 'input[0].id': 'call_1'. Expected an ID that begins with 'fc'."),
        ({"input": [{"id": "msg_1"}, {"type": "reasoning", "id": "rs_1"}]}, None),
    ],
)  # fmt: skip
def test_items_are_calls_with_their_outputs(request_: Body, words: str | None) -> None:
    """Unless the conversation goes on from a stored one; ids begin as OpenAI makes them."""
    refusal = responses_order(request_)
    assert (None if refusal is None else refusal.message) == words
