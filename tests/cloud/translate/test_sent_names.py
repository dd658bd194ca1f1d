"""Errors and notes name a field as the caller wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.base import Translation
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.cloud.translate.sent_names import error_in_sent_names, in_sent_names, sent_name
from inferworks.errors import CallError

from .asking import asked

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}
PICTURE = {"type": "input_image", "image_url": "https://example.com/a.png"}
CASES: list[tuple[Operation, Operation, dict[str, Any], str]] = [
    (Operation.RESPONSES, Operation.MESSAGES, {"top_logprobs": 3}, "include"),
    (Operation.RESPONSES, Operation.MESSAGES, {"text": {"format": {"type": "grammar"}}}, "text.format"),
    (Operation.RESPONSES, Operation.CONVERSE, {"input": [{"role": "user", "content": [PICTURE]}]}, "input"),
    (Operation.COMPLETIONS, Operation.MESSAGES, {"n": 2}, "n"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "fields", "param"), CASES)
def test_a_refusal_names_the_field_that_came(
    source: Operation, target: Operation, fields: dict[str, Any], param: str
) -> None:
    """The name is right also where a second translation finds that the field cannot be expressed."""
    with pytest.raises(CallError) as caught:
        asked(source, target, **fields)
    assert caught.value.param == param
    assert f"'{param}" in caught.value.message


def test_what_a_second_translation_leaves_out_has_the_name_that_came() -> None:
    """`verbosity` of a chat is `text.verbosity` of a response."""
    fields = {
        "text": {"verbosity": "low"},
        "client_metadata": {},
        "tools": [{"type": "web_search"}],
    }
    _, left_out = asked(Operation.RESPONSES, Operation.MESSAGES, **fields)
    assert set(left_out) == {"text.verbosity", "client_metadata", "tools[0]:web_search"}
    once = {"type": "auto", "disable_parallel_tool_use": True}
    _, left_out = asked(
        Operation.MESSAGES, Operation.CONVERSE, tools=[{"name": "f"}], tool_choice=once
    )
    assert left_out == ("tool_choice.disable_parallel_tool_use",)


NO_EFFORT = {"message": "Unsupported parameter: 'reasoning_effort'.", "param": "reasoning_effort"}
TOO_LONG = {
    "message": "Invalid 'messages[3].content[0]': string too long.",
    "param": "messages[3].content[0]",
}


@pytest.mark.parametrize(
    ("way", "error", "message", "param"),
    [
        (
            ResponsesToChat(),
            NO_EFFORT,
            "Unsupported parameter: 'reasoning.effort'.",
            "reasoning.effort",
        ),
        (ResponsesToChat(), TOO_LONG, "Invalid 'input': string too long.", "input"),
        (CompletionsToChat(), TOO_LONG, "Invalid 'prompt': string too long.", "prompt"),
        (MessagesToChat(), NO_EFFORT, "Unsupported parameter: 'output_config.effort'.", None),
        (ResponsesToChat(), {"message": "It's 'late'.", "code": 1}, "It's 'late'.", None),
    ],
)
def test_an_upstreams_refusal_names_the_field_that_came(
    way: Translation, error: dict[str, Any], message: str, param: str | None
) -> None:
    """An upstream's words stay, but for names that the caller never wrote."""
    told = json.loads(way.refusal(400, json.dumps({"error": error, "more": 1}).encode()))
    assert (told["error"]["message"], told["error"].get("param")) == (message, param)


@pytest.mark.slow
@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
    lambda value: json.dumps({"error": value}).encode()))  # fmt: skip
def test_a_body_that_is_no_error_stays_as_it_is(data: bytes) -> None:
    """A body that is no error stays as it is, whatever an upstream sends."""
    assert error_in_sent_names(data, {"messages": "input"}) == data


def test_names_and_places() -> None:
    """A place goes with the name that it is counted in, a kind of tool stays."""
    names = {"messages": "input", "tools": "tools"}
    for name, sent in (
        ("messages[2].content", "input"), ("tools[1]:custom", "tools:custom"), ("seed", "seed"), ("", ""),
    ):  # fmt: skip
        assert sent_name(name, names) == sent
    assert in_sent_names("'messages[0]' has a part", names) == "'input' has a part"
