"""A chat's stream as Anthropic's: blocks that open and close one at a time, whatever order pieces have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.messages_to_chat.stream import (
    MessagesStream,
    message_id,
    stop_reason,
)
from inferworks.cloud.translate.tool_names import short_name
from inferworks.errors import UpstreamError
from inferworks.http.sse import DONE, EventSplitter, event_data
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

LONG_NAME = "x" * 65


def a_call(**fields: Any) -> Call:
    """A streaming call of messages."""
    body = json.dumps({"model": "m", "messages": [], "max_tokens": 1, **fields}).encode()
    return Call(CallId("call_1"), Operation.MESSAGES, ModelId("m"), True, True, body)


def piece(index: int | None, arguments: str = "", **more: Any) -> dict[str, Any]:
    """A piece of a call of a tool; `name` and `id` where it begins."""
    function: dict[str, Any] = {"arguments": arguments}
    if "name" in more:
        function["name"] = more.pop("name")
    return {"tool_calls": [{"index": index, "function": function, **more}]}


def told_by(
    *deltas: dict[str, Any], finish: str | None = "stop", call: Call | None = None
) -> list[Any]:
    """Events of Anthropic's for a stream of `deltas` that ends so."""
    stream = MessagesStream(call or a_call())
    choices: list[dict[str, Any]] = [{"delta": delta} for delta in deltas]
    choices.append({"delta": {}, "finish_reason": finish})
    events = [b"data: %b\n\n" % json.dumps({"id": "c", "model": "m-1", "choices": [one]}).encode()
              for one in choices]  # fmt: skip
    sent = b"".join(stream.event(event, None) for event in [*events, b"data: [DONE]\n\n"])
    return [json.loads(event_data(event)) for event in EventSplitter().feed(sent)]


def blocks_of(events: list[Any]) -> list[tuple[Any, str]]:
    """Each block's beginning and all that was added to it; blocks are numbered and never overlap."""
    blocks: list[tuple[Any, str]] = []
    is_open = False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            blocks.append((event["content_block"], ""))
            is_open = True
            continue
        assert is_open
        assert event["index"] == len(blocks) - 1
        if event["type"] == "content_block_stop":
            is_open = False
            continue
        kind, *texts = event["delta"].values()
        assert kind in {"text_delta", "thinking_delta", "signature_delta", "input_json_delta"}
        blocks[-1] = (blocks[-1][0], blocks[-1][1] + "".join(texts))
    assert not is_open
    return blocks


def text(words: str) -> tuple[Any, str]:
    """A block of text."""
    return {"type": "text", "text": ""}, words


def use(call_id: str, arguments: str, name: str = "look") -> tuple[Any, str]:
    """A block of a call."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": {}}, arguments


def test_the_frame_of_a_message() -> None:
    """A message begins with what is known, has its blocks, and ends with reason, usage and a stop."""
    first, *_, delta, stop = told_by({"role": "assistant", "content": "Hi"})
    assert first["type"] == "message_start"
    begun = first["message"]
    assert (begun["id"], begun["model"], begun["role"]) == ("c", "m-1", "assistant")
    assert (begun["content"], begun["stop_reason"]) == ([], None)
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert stop == {"type": "message_stop"}


def test_a_stream_of_nothing_is_a_message_without_content() -> None:
    """An end without a beginning still begins, under an id made from the call's."""
    sent = MessagesStream(a_call()).event(b"data: %b\n\n" % DONE, None)
    events = [json.loads(event_data(event)) for event in EventSplitter().feed(sent)]
    assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
    assert (events[0]["message"]["id"], events[0]["message"]["model"]) == ("msg_1", "m")
    assert message_id(a_call()) == "msg_1"


def test_a_comment_passes_as_it_is() -> None:
    """A comment that keeps a connection alive is no event and begins nothing."""
    assert MessagesStream(a_call()).event(b": wait\n\n", None) == b": wait\n\n"


def test_usage_is_told_at_the_end_in_full() -> None:
    """The last usage that the upstream has reported is what `message_delta` says."""
    stream = MessagesStream(a_call())
    stream.event(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', ReportedUsage(Tokens(7, 1)))
    stream.event(b'data: {"choices":[]}\n\n', ReportedUsage(Tokens(7, 3)))
    events = EventSplitter().feed(stream.event(b"data: [DONE]\n\n", None))
    usage = json.loads(event_data(events[-2]))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (7, 3)


def test_texts_of_one_kind_are_one_block() -> None:
    """A delta of another kind closes the block before it, and one of the same kind does not."""
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    assert blocks_of(
        told_by({"reasoning_content": "a"}, {"reasoning_content": "b"}, {"content": "c"}, {"content": "d"})
    ) == [(thinking, "ab"), text("cd")]  # fmt: skip


def test_a_signature_closes_its_thought() -> None:
    """A signature is added to the thought that it is for; one without an open thought is dropped."""
    signed = {"thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "S"}]}
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    assert blocks_of(told_by({"reasoning_content": "a"}, signed, {"content": "b"})) == [
        (thinking, "aS"),
        text("b"),
    ]
    assert blocks_of(told_by({"content": "b"}, signed)) == [text("b")]


def test_a_hidden_thought_is_a_block_of_its_own() -> None:
    """Two hidden thoughts are two blocks, each whole at once."""
    hidden = {"thinking_blocks": [{"type": "redacted_thinking", "data": one} for one in "ab"]}
    assert blocks_of(told_by(hidden)) == [
        ({"type": "redacted_thinking", "data": "a"}, ""),
        ({"type": "redacted_thinking", "data": "b"}, ""),
    ]


def test_a_call_is_a_block_of_its_pieces() -> None:
    """Pieces of arguments are handed on as they come, and the message ends with the use of a tool."""
    events = told_by(
        {"content": "a"}, piece(0, id="x", name="look"), piece(0, '{"a":'), piece(0, "1}")
    )
    assert blocks_of(events) == [text("a"), use("x", '{"a":1}')]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_call_without_an_id_gets_one() -> None:
    """An id is made of the call's number."""
    assert blocks_of(told_by(piece(0, "{}", name="look"))) == [use("toolu_0", "{}")]


def test_a_shortened_name_is_whole_again() -> None:
    """The caller's long name comes back, looked up in its request."""
    call = a_call(tools=[{"name": LONG_NAME}])
    begun = piece(0, "{}", id="x", name=short_name(LONG_NAME))
    assert blocks_of(told_by(begun, call=call)) == [use("x", "{}", LONG_NAME)]


def test_calls_one_after_the_other_are_blocks_in_order() -> None:
    """A call that begins when the one before is whole opens its block at once."""
    first, second = piece(0, "{}", id="x", name="look"), piece(1, "[]", id="y", name="look")
    assert blocks_of(told_by(first, second)) == [use("x", "{}"), use("y", "[]")]


def test_calls_that_are_written_at_once_are_put_apart() -> None:
    """A call that begins amid another is held to the end, with all of its pieces."""
    events = told_by(
        piece(0, id="x", name="look"),
        piece(1, id="y", name="look"),
        piece(1, '{"b":'),
        piece(0, '{"a":1}'),
        piece(1, "2}"),
    )
    assert blocks_of(events) == [use("x", '{"a":1}'), use("y", '{"b":2}')]


def test_words_amid_a_call_wait_for_its_end() -> None:
    """Text between two pieces of a call stands behind it, in order."""
    begun, ended = piece(0, '{"a":', id="x", name="look"), piece(0, "1}")
    events = told_by(begun, {"content": "b"}, ended, {"content": "c"})
    assert blocks_of(events) == [use("x", '{"a":1}'), text("bc")]


def test_a_late_piece_of_a_closed_call_is_an_error() -> None:
    """Nothing can be added to a block that is closed, and a wrong call would be worse than none."""
    with pytest.raises(UpstreamError, match="the calls of tools come mixed up"):
        told_by(piece(0, "{}", id="x", name="look"), {"content": "b"}, piece(0, "1"))


def test_what_is_said_amid_a_call_is_bounded() -> None:
    """More than a MiB of letters between two pieces of a call fails the attempt."""
    with pytest.raises(UpstreamError, match="too much is said amid the call of a tool"):
        told_by(piece(0, "{", id="x", name="look"), {"content": "b" * (1 << 20)})


@pytest.mark.parametrize(
    ("finish", "stopped_by", "calls_tools", "reason"),
    [
        ("stop", None, False, ("end_turn", None)),
        ("stop", "###", False, ("stop_sequence", "###")),
        ("stop", 7, False, ("end_turn", None)),
        ("stop", None, True, ("tool_use", None)),
        ("length", "###", False, ("max_tokens", None)),
        ("tool_calls", None, True, ("tool_use", None)),
        ("content_filter", None, False, ("refusal", None)),
        (None, None, False, ("end_turn", None)),
        ("unheard of", None, False, ("end_turn", None)),
    ],
)
def test_reasons_to_stop(
    finish: str | None, stopped_by: object, calls_tools: bool, reason: tuple[str, str | None]
) -> None:
    """A stop string is told only where the upstream names it and has stopped by it."""
    assert stop_reason(finish, stopped_by, calls_tools=calls_tools) == reason


def test_a_call_that_was_cut_ends_at_the_limit() -> None:
    """Half of a call's arguments are a limit reached, whatever the upstream says."""
    events = told_by(piece(0, '{"a":', id="x", name="look"), finish="tool_calls")
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
