"""A chat's stream as a response's: items that are announced, filled and finished, in numbered events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.responses_response import Echo
from inferworks.cloud.translate.responses_to_chat.stream import ResponsesStream
from inferworks.http.sse import EventSplitter, event_data
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

CUSTOM = {"type": "custom", "name": "sh"}


def new_stream(**fields: Any) -> ResponsesStream:
    """A stream for a call of responses with `fields`."""
    body = json.dumps({"model": "m", "input": "Hi", **fields}).encode()
    call = Call(CallId("call_1"), Operation.RESPONSES, ModelId("m"), True, True, body)
    return ResponsesStream(Echo(call))


def told_by(*choices: dict[str, Any], **fields: Any) -> list[Any]:
    """Events of a response for a stream of `choices`, checked to be numbered from 0."""
    stream = new_stream(**fields)
    sent = b""
    for choice in choices:
        chunk = {"id": "c", "created": 7.5, "model": "m-1", "choices": [choice]}
        sent += stream.event(b"data: %b\n\n" % json.dumps(chunk).encode(), None)
    sent += stream.event(b"data: [DONE]\n\n", ReportedUsage(Tokens(7, 3)))
    events = [json.loads(event_data(event)) for event in EventSplitter().feed(sent)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def delta(**said: Any) -> dict[str, Any]:
    """A choice that says more."""
    return {"delta": said}


def piece(index: int, arguments: str = "", **begun: Any) -> dict[str, Any]:
    """A choice with a piece of a call; `name` and `id` where it begins."""
    function = {"arguments": arguments}
    if "name" in begun:
        function["name"] = begun.pop("name")
    return delta(tool_calls=[{"index": index, "function": function, **begun}])


def kinds(events: list[Any]) -> list[str]:
    """Types of the events between the beginning of a response and its end."""
    return [event["type"].removeprefix("response.") for event in events[2:-1]]


def texts(events: list[Any], kind: str) -> Iterator[tuple[int, str]]:
    """Each delta of `kind`, with the number of its item."""
    for event in events:
        if event["type"] == f"response.{kind}.delta":
            yield event["output_index"], event["delta"]


def test_a_response_begins_twice_and_ends_once() -> None:
    """A response is created and in progress before its first item, and completed after its last."""
    events = told_by(delta(content="Hi"), {"delta": {}, "finish_reason": "stop"})
    created, in_progress, *_, completed = events
    assert created["type"] == "response.created"
    assert in_progress["type"] == "response.in_progress"
    assert created["response"] == in_progress["response"]
    begun, ended = created["response"], completed["response"]
    assert (begun["id"], begun["created_at"], begun["model"]) == ("resp_1", 7, "m-1")
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    assert (completed["type"], ended["status"]) == ("response.completed", "completed")
    assert ended["usage"]["total_tokens"] == 10


def test_a_text_is_an_item_with_one_part() -> None:
    """Deltas of text fill one part, and each stage has its event."""
    events = told_by(delta(role="assistant", content="a"), delta(content="b"))
    assert kinds(events) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert events[-4]["text"] == "ab"
    assert events[-1]["response"]["output"] == [
        {
            "id": "msg_1_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "ab", "annotations": [], "logprobs": []}],
        }
    ]


def test_an_answer_of_nothing_is_an_empty_message() -> None:
    """A client finds a message in every response, also in one that says nothing."""
    (item,) = told_by()[-1]["response"]["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "")


def test_a_thought_is_finished_when_words_begin() -> None:
    """Thought and text are two items, the first of which is done before the second is announced."""
    events = told_by(delta(reasoning_content="t"), delta(content="a"))
    assert kinds(events)[3:7] == [
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
    ]
    output = events[-1]["response"]["output"]
    assert [item["id"] for item in output] == ["rs_1_0", "msg_1_1"]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "t"}]


def test_words_after_a_thought_are_a_new_item() -> None:
    """An item that is finished takes nothing more, so a second text is a message of its own."""
    events = told_by(delta(content="a"), delta(reasoning_content="t"), delta(content="b"))
    assert [item["type"] for item in events[-1]["response"]["output"]] == [
        "message",
        "reasoning",
        "message",
    ]
    assert list(texts(events, "output_text")) == [(0, "a"), (2, "b")]


def test_a_refusal_is_a_part_beside_the_text() -> None:
    """A refusal stands in the message that has begun, as its second part."""
    events = told_by(delta(content="a"), delta(refusal="b"))
    (item,) = events[-1]["response"]["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]
    (refused,) = [event for event in events if event["type"] == "response.refusal.delta"]
    assert (refused["content_index"], refused["delta"]) == (1, "b")
    assert "logprobs" not in refused


def test_logprobs_go_with_their_text() -> None:
    """Log probabilities stand in each delta and, all together, in the finished part."""
    choices = [
        {**delta(content=one), "logprobs": {"content": [{"token": one, "logprob": -1.0}]}}
        for one in "ab"
    ]
    events = told_by(*choices)
    found = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    assert [[one["token"] for one in some] for some in found] == [["a"], ["b"]]
    part = events[-1]["response"]["output"][0]["content"][0]
    assert [one["token"] for one in part["logprobs"]] == ["a", "b"]


def test_calls_stay_open_to_the_end() -> None:
    """Pieces of two calls that come in turn go to the item that each belongs to."""
    events = told_by(
        piece(0, '{"a":', id="x", name="f"),
        piece(1, '{"b":', id="y", name="g"),
        piece(0, "1}"),
        piece(1, "2}"),
    )
    assert list(texts(events, "function_call_arguments")) == [
        (0, '{"a":'),
        (1, '{"b":'),
        (0, "1}"),
        (1, "2}"),
    ]
    assert events[-1]["response"]["output"] == [
        {
            "id": f"fc_1_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": call_id,
            "name": name,
            "arguments": arguments,
        }
        for number, (call_id, name, arguments) in enumerate(
            [("x", "f", '{"a":1}'), ("y", "g", '{"b":2}')]
        )
    ]


def test_a_call_without_id_and_arguments_gets_both() -> None:
    """A client can answer every call and read its arguments."""
    events = told_by(piece(0, name="f"))
    (item,) = events[-1]["response"]["output"]
    assert (item["call_id"], item["arguments"]) == ("call_1_0", "{}")
    assert list(texts(events, "function_call_arguments")) == [(0, "{}")]


def test_a_custom_tool_is_told_its_text_at_once() -> None:
    """The text within the arguments is known when they are whole, and comes in one delta."""
    events = told_by(piece(0, '{"input":', id="x", name="sh"), piece(0, '"ls"}'), tools=[CUSTOM])
    assert kinds(events) == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    (item,) = events[-1]["response"]["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", "ls")


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        (None, "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_the_end_has_a_reason(finish: str | None, status: str, reason: str | None) -> None:
    """An answer that was cut is incomplete, as is the item that it was cut in."""
    last = told_by(delta(content="a"), {"delta": {}, "finish_reason": finish})[-1]
    response = last["response"]
    assert (last["type"], response["status"]) == (f"response.{status}", status)
    assert response["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert response["output"][0]["status"] == status


def test_half_of_a_call_is_incomplete() -> None:
    """Arguments that are cut are the limit's doing, whatever the upstream says of its end."""
    cut = piece(0, '{"a":', id="x", name="f")
    response = told_by(cut, {"delta": {}, "finish_reason": "tool_calls"})[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["output"][0]["arguments"] == '{"a":'


def test_a_comment_and_a_choiceless_event_say_nothing() -> None:
    """A comment passes as it is, and usage alone adds no item."""
    stream = new_stream()
    assert stream.event(b": wait\n\n", None) == b": wait\n\n"
    stream.event(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', None)
    assert stream.event(b'data: {"choices":[]}\n\n', ReportedUsage(Tokens(1, 1))) == b""
