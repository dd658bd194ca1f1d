"""The objects of a response: ids made from the call's, and the parameters that it repeats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.responses_response import (
    Echo,
    ending,
    message_of,
    part_of,
    thought_of,
)
from inferworks.dialects.openai_chat import Completion
from inferworks.errors import CallError
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


def echo_of(call_id: str = "call_1", **fields: Any) -> Echo:
    """The echo of a request with `fields`."""
    body = json.dumps({"model": "asked", "input": "Hi", **fields}).encode()
    return Echo(Call(CallId(call_id), Operation.RESPONSES, ModelId("ours"), False, True, body))


def repeated(**fields: Any) -> dict[str, Any]:
    """A response to a request with `fields`, by what it repeats of it."""
    return echo_of(**fields).response(Completion(), [], "in_progress")


def test_ids_are_made_of_the_calls() -> None:
    """An answer is found by the id of its call, and the other way round."""
    echo = echo_of("call_abc")
    assert (echo.id_of("resp"), echo.id_of("fc", 0)) == ("resp_abc", "fc_abc_0")
    assert echo_of("abc").id_of("msg", 2) == "msg_abc_2"


def test_a_response_in_progress_has_used_nothing() -> None:
    """Usage is null until it is told, and so is why a response is incomplete."""
    response = echo_of().response(Completion(), [], "in_progress")
    assert (response["usage"], response["incomplete_details"], response["error"]) == (None,) * 3
    assert (response["model"], response["created_at"]) == ("ours", 0)


def test_a_response_that_ended() -> None:
    """Model and time are the upstream's where it names them."""
    completion = Completion(created=7.9, model="theirs")
    reported = ReportedUsage(Tokens(7, 3))
    response = echo_of().response(
        completion, [{"id": "x"}], "incomplete", "content_filter", reported
    )
    assert (response["model"], response["created_at"]) == ("theirs", 7)
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert response["output"] == [{"id": "x"}]
    assert response["usage"]["total_tokens"] == 10


def test_defaults_are_openais() -> None:
    """A parameter that was not given is repeated as the default that is in force."""
    response = repeated()
    assert (response["temperature"], response["top_p"], response["top_logprobs"]) == (1.0, 1.0, 0)
    assert (response["tool_choice"], response["tools"]) == ("auto", [])
    assert response["text"] == {"format": {"type": "text"}}
    assert response["reasoning"] == {"effort": None, "summary": None}
    assert (response["parallel_tool_calls"], response["service_tier"]) == (True, "default")
    assert (response["store"], response["background"]) == (False, False)


def test_what_was_asked_is_repeated() -> None:
    """Zero and false are given values and no defaults."""
    response = repeated(
        temperature=0, top_p=0, parallel_tool_calls=False, metadata={"a": "b"}, user="u"
    )
    assert (response["temperature"], response["top_p"]) == (0, 0)
    assert response["parallel_tool_calls"] is False
    assert (response["metadata"], response["user"]) == ({"a": "b"}, "u")
    assert repeated(text={"verbosity": "low"})["text"] == {
        "format": {"type": "text"},
        "verbosity": "low",
    }


def test_a_function_has_all_its_fields_and_another_tool_those_that_it_had() -> None:
    """A function is written out, any other tool is repeated as it came."""
    search = {"type": "web_search", "x": [1]}
    function = {"type": "function", "name": "f"}
    assert repeated(tools=[function, search])["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None},
        search,
    ]


def test_an_unreadable_request_is_refused() -> None:
    """A request that is none is its caller's fault."""
    with pytest.raises(CallError):
        echo_of(input=7)


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (None, "completed", None),
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("MAX_TOKENS", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("safety", "incomplete", "content_filter"),
        ("newer than this", "completed", None),
    ],
)
def test_the_end_of_a_response(finish: str | None, status: str, reason: str | None) -> None:
    """An answer that was cut or filtered is incomplete, in any vendor's words."""
    assert ending(finish) == (status, reason)


def test_parts_and_items() -> None:
    """A refusal has a field of its own, a text its annotations, a thought neither."""
    assert part_of("refusal", "no") == {"type": "refusal", "refusal": "no"}
    assert part_of("reasoning_text", "t") == {"type": "reasoning_text", "text": "t"}
    text = part_of("output_text", "a", [{"token": "a"}])
    assert text == {
        "type": "output_text",
        "text": "a",
        "annotations": [],
        "logprobs": [{"token": "a"}],
    }
    message = message_of("msg_1", [text], "completed")
    assert (message["type"], message["role"], message["content"]) == (
        "message",
        "assistant",
        [text],
    )
    thought = thought_of("rs_1", [], "in_progress")
    assert (thought["type"], thought["summary"], thought["content"]) == ("reasoning", [], [])
