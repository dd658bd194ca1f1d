"""OpenAI's responses, without a server around them."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.responses import INPUT_TOKENS, RESPONSES
from inferworks.testing.upstreams.script import Answer, Reports

ANSWER = Answer(words=("a", "b", "c"), input_tokens=7)
TOOL = ("find", '{"x": 1}')


def asked(**fields: object) -> dict[str, Any]:
    """A request with a model."""
    return {"model": "m", "input": "hi", **fields}


@pytest.mark.parametrize(
    ("limit", "text", "status", "details"),
    [
        (None, "abc", "completed", None),
        (3, "abc", "completed", None),
        (2, "ab", "incomplete", {"reason": "max_output_tokens"}),
    ],
)
def test_a_limit_makes_a_response_incomplete(
    limit: int | None, text: str, status: str, details: object
) -> None:
    """Whole or streamed, the status, its reason and the tokens agree with the text."""
    request = asked(max_output_tokens=limit, instructions="be kind")
    body = RESPONSES.whole(ANSWER, request)
    (message,) = body["output"]
    assert [part["text"] for part in message["content"]] == [text]
    assert (body["status"], body["incomplete_details"]) == (status, details)
    assert (body["model"], body["instructions"]) == ("m", "be kind")
    assert body["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(text),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7 + len(text),
    }
    events = list(RESPONSES.events(ANSWER, request))
    assert events[-1]["type"] == f"response.{status}"
    assert events[-1]["response"] == body


def test_a_message_comes_word_by_word() -> None:
    """Events are numbered from 0, and stand in the order that the reference has them in."""
    events = list(RESPONSES.events(ANSWER, asked(max_output_tokens=2)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done", "incomplete",
    ]  # fmt: skip
    assert [event["delta"] for event in events if "delta" in event] == ["a", "b"]
    assert events[2]["item"]["content"] == []
    assert events[2]["item"]["status"] == "in_progress"
    assert events[8]["item"] == events[9]["response"]["output"][0]
    for event in events[:2]:
        begun = event["response"]
        assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ((), ["function_call", "function_call"]),
        (("a",), ["message", "function_call", "function_call"]),
    ],
)
def test_functions_are_called_after_the_words(words: tuple[str, ...], kinds: list[str]) -> None:
    """Without words there is no message; ids go on from the calls before."""
    answer = Answer(words=words, tool=TOOL, more_tools=(("add", "{}"),), calls_before=1)
    output = RESPONSES.whole(answer, asked())["output"]
    assert [item["type"] for item in output] == kinds
    calls = output[len(words) :]
    assert [(call["name"], call["arguments"]) for call in calls] == [TOOL, ("add", "{}")]
    assert [call["call_id"] for call in calls] == ["call_12xyz_1", "call_12xyz_2"]
    assert len({item["id"] for item in output}) == len(output)


def test_the_arguments_of_a_call_come_in_two_halves() -> None:
    """Arguments are empty when a call begins, and whole when it is done."""
    events = list(RESPONSES.events(Answer(words=(), tool=TOOL), asked()))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert events[2]["item"]["arguments"] == ""
    assert [event["delta"] for event in events[3:5]] == ['{"x"', ": 1}"]
    assert (events[5]["name"], events[5]["arguments"]) == TOOL
    assert events[7]["response"]["usage"]["output_tokens"] == 1, "a call is a token"


@pytest.mark.parametrize(
    ("reports", "expected"),
    [(Reports.AS_ASKED, (7, 3, 10)), (Reports.ALWAYS, (7, 3, 10)), (Reports.ZERO, (0, 0, 0))],
)
def test_usage_of_a_response(reports: Reports, expected: tuple[int, int, int]) -> None:
    """Usage needs no asking; the script decides its details."""
    answer = Answer(
        words=("a", "b", "c"), input_tokens=7, reports=reports, cached_tokens=4, reasoning_tokens=1
    )
    usage = RESPONSES.whole(answer, asked())["usage"]
    names = ("input_tokens", "output_tokens", "total_tokens")
    assert tuple(usage[name] for name in names) == expected
    assert usage["input_tokens_details"] == {"cached_tokens": 4}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 1}


def test_usage_may_be_missing() -> None:
    """An upstream that reports never has null in its place."""
    answer = Answer(reports=Reports.NEVER)
    assert RESPONSES.whole(answer, asked())["usage"] is None
    assert all(
        event["response"]["usage"] is None
        for event in RESPONSES.events(answer, asked())
        if "response" in event
    )


def test_input_is_counted_alone() -> None:
    """The count of an input is no response, and never streamed."""
    assert INPUT_TOKENS.whole(ANSWER, asked()) == {
        "object": "response.input_tokens",
        "input_tokens": 7,
    }
    assert INPUT_TOKENS.events(ANSWER, asked()) is None
