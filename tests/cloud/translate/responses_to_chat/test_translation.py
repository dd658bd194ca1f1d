"""Responses by way of chats: what is refused, and that a stream says what a whole answer says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.translations import PutBack, put_back

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.cloud.usage_parsers.responses import ResponsesReader
from inferworks.errors import CallError, UpstreamError
from inferworks.http.sse import EventSplitter, event_data
from inferworks.ids import CallId, ModelId

TOOL = {"type": "function", "name": "f", "parameters": {}, "strict": None}


def call_of(**change: Any) -> Call:
    """A call of `responses`."""
    body = json.dumps({"model": "m", "input": "Hi", **change}, indent=1).encode()
    return Call(CallId("call_1"), Operation.RESPONSES, ModelId("m"), False, True, body)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"store": True}, "store"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [TOOL, {"type": "web_search"}], "tool_choice": {"type": "web_search"}},
            "tool_choice",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
        ({"input": [{"role": "critic", "content": "a"}]}, "input[0]"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]",
        ),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"text": 1}]}]}, "input[0].content"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
    ],
)
def test_what_a_chat_cannot_do_is_refused(change: dict[str, Any], param: str) -> None:
    """One line says what and where; nothing is dropped on which an answer depends."""
    with pytest.raises(CallError) as caught:
        ResponsesToChat().ask(call_of(**change))
    assert (caught.value.status, caught.value.param) == (400, param)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {
            "store": False,
            "background": False,
            "truncation": "disabled",
            "previous_response_id": None,
        },
        {"include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}, "max_tool_calls": 3},
        {"stream_options": {"include_obfuscation": False}, "prompt_cache_key": "k", "tools": None},
    ],
)
def test_what_changes_no_answer_is_dropped(change: dict[str, Any]) -> None:
    """An upstream of chats hears of nothing that it does not know and need not."""
    asked = msgspec.json.decode(ResponsesToChat().ask(call_of(**change)).body)
    assert asked == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("data", [b"", b"{}", b'{"choices":[]}', b'{"choices":[{"message":3}]}'])
def test_an_unreadable_answer(data: bytes) -> None:
    """An answer other than a chat completion fails the attempt."""
    with pytest.raises(UpstreamError):
        put_back(ResponsesToChat(), call_of(), data)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
FUNCTION = st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "reasoning_content": TEXT,
        "content": TEXT,
        "refusal": TEXT,
        "tool_calls": st.lists(FUNCTION, min_size=1, max_size=3),
    },
)
FINISHES = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


@pytest.mark.slow
@given(MESSAGES, FINISHES, st.data())
def test_a_stream_says_what_a_whole_answer_says(
    message: dict[str, Any], finish: str, data: st.DataObject
) -> None:
    """The last event has the response of a whole answer, however the answer is cut into deltas."""
    calls = [
        {"id": f"call_{number}", "type": "function", "function": function}
        for number, function in enumerate(message.get("tool_calls", []))
    ]
    said = {**message, "tool_calls": calls} if calls else message
    head = {"id": "chatcmpl-1", "created": 7, "model": "m-1", "usage": USAGE}
    whole = {**head, "choices": [{"index": 0, "message": said, "finish_reason": finish}]}
    call = call_of(metadata={"a": "b"}, tools=[TOOL])
    wanted = msgspec.json.decode(put_back(ResponsesToChat(), call, json.dumps(whole).encode()))

    stream = PutBack(ResponsesToChat(), call)
    events = [
        {**head, "usage": None, "choices": [{"index": 0, "delta": delta}]}
        for delta in deltas(said, data)
    ]
    events += [
        {**head, "usage": None, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {**head, "choices": []},
    ]
    sent = b"".join(stream.event(b"data: %b\n\n" % json.dumps(e).encode()) for e in events)
    sent += stream.event(b"data: [DONE]\n\n")
    check_events(EventSplitter().feed(sent), wanted)


def deltas(said: dict[str, Any], data: st.DataObject) -> list[dict[str, Any]]:
    """`said` cut into deltas: thoughts first, then words, then calls."""
    out: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        out += [{name: piece} for piece in pieces(said.get(name, ""), data)]
    for index, call in enumerate(said.get("tool_calls", [])):
        begun = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
        out.append({"tool_calls": [begun]})
        for piece in pieces(call["function"]["arguments"], data):
            out.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    return out


def pieces(text: str, data: st.DataObject) -> list[str]:
    """`text` in pieces."""
    cut = data.draw(st.integers(0, len(text)))
    return [piece for piece in (text[:cut], text[cut:]) if piece]


def check_events(events: list[bytes], wanted: dict[str, Any]) -> None:
    """The events are numbered, each item is announced before it is done, and the end is `wanted`."""
    reported = [msgspec.json.decode(event_data(event)) for event in events]
    assert [event["sequence_number"] for event in reported] == list(range(len(reported)))
    assert [event["type"] for event in reported[:2]] == ["response.created", "response.in_progress"]
    added = [e["output_index"] for e in reported if e["type"] == "response.output_item.added"]
    done = {
        e["output_index"]: e["item"] for e in reported if e["type"] == "response.output_item.done"
    }
    assert added == list(range(len(wanted["output"])))
    assert [done[index] for index in added] == wanted["output"]
    assert reported[-1]["response"] == wanted
    reader = ResponsesReader(call_of())
    chunks = [reader.event(event) for event in events]
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].reported is not None
    assert (chunks[-1].reported.tokens.input, chunks[-1].reported.tokens.output) == (5, 4)
