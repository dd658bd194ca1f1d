"""Anthropic's stream as a chat's: a delta for each of its deltas, and what the end of a block adds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.cloud.translate.chat_to_messages.stream import ChatStream, signed
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.dialects.anthropic_messages import AnswerBlock
from inferworks.http.sse import EventSplitter, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


class TranslatedStream:
    """A stream, and its chunks as a client reads them."""

    def __init__(self, *, wants_usage: bool = True) -> None:
        self.stream = ChatStream(wants_usage=wants_usage)

    def chunks(self, kind: str, reported: ReportedUsage | None = None, **event: Any) -> list[Any]:
        """The chunks of one event of `kind`."""
        data = b"data: %b\n\n" % json.dumps({"type": kind, **event}).encode()
        events = EventSplitter().feed(self.stream.event(data, reported))
        return [json.loads(event_data(one)) for one in events]

    def deltas(self, kind: str, **event: Any) -> list[Any]:
        """The deltas of one event, none of which ends the answer."""
        choices = [chunk["choices"][0] for chunk in self.chunks(kind, **event)]
        assert all(choice["finish_reason"] is None for choice in choices)
        return [choice["delta"] for choice in choices]

    def start(self, index: int | None, **block: Any) -> list[Any]:
        """The deltas of the beginning of a block."""
        return self.deltas("content_block_start", index=index, content_block=block)

    def add(self, index: int | None, kind: str, **delta: Any) -> list[Any]:
        """The deltas of an addition to a block."""
        return self.deltas("content_block_delta", index=index, delta={"type": kind, **delta})

    def stop(self, index: int | None) -> list[Any]:
        """The deltas of the end of a block."""
        return self.deltas("content_block_stop", index=index)

    def end(self, reason: str, reported: ReportedUsage | None = None) -> list[Any]:
        """The chunks of the end of the message."""
        return self.chunks("message_delta", reported, delta={"stop_reason": reason})


def called(index: int, arguments: str) -> dict[str, Any]:
    """The delta of a piece of a call."""
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def test_every_chunk_names_the_answer() -> None:
    """Id and model come with the first event and stand in every chunk after it."""
    stream = TranslatedStream()
    (begun,) = stream.chunks("message_start", message={"id": "msg_1", "model": "claude"})
    assert (begun["id"], begun["model"], begun["object"]) == (
        "msg_1",
        "claude",
        "chat.completion.chunk",
    )
    assert begun["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert stream.end("end_turn")[0]["id"] == "msg_1"


def test_text_is_handed_on() -> None:
    """Text is told from the beginning of its block on, and the block's end says nothing."""
    stream = TranslatedStream()
    assert stream.start(0, type="text", text="") == []
    assert stream.add(0, "text_delta", text="a") == [{"content": "a"}]
    assert stream.stop(0) == []
    assert stream.start(1, type="text", text="b") == [{"content": "b"}]


def test_calls_are_numbered_among_themselves() -> None:
    """Blocks are numbered over all kinds, calls of a chat over calls alone."""
    stream = TranslatedStream()
    stream.start(0, type="text", text="")
    for number, block in enumerate([1, 2]):
        (begun,) = stream.start(block, type="tool_use", id=f"id{block}", name="f", input={})
        assert begun["tool_calls"][0] == {
            "index": number,
            "id": f"id{block}",
            "type": "function",
            "function": {"name": "f", "arguments": ""},
        }
        assert stream.add(block, "input_json_delta", partial_json='{"a":1}') == [
            called(number, '{"a":1}')
        ]
        assert stream.stop(block) == []


def test_a_call_without_arguments_gets_those_of_its_beginning() -> None:
    """A call for which no piece came has the input that it began with, an empty object as a rule."""
    stream = TranslatedStream()
    stream.start(0, type="tool_use", id="x", name="f", input={})
    assert stream.add(0, "input_json_delta", partial_json="") == []
    assert stream.stop(0) == [called(0, "{}")]
    stream.start(1, type="tool_use", id="y", name="f", input={"a": 1})
    assert stream.stop(1) == [called(1, '{"a": 1}')]


def test_blocks_without_numbers_follow_each_other() -> None:
    """An addition without a number is for the newest block, and a second block is another call."""
    stream = TranslatedStream()
    for number in range(2):
        stream.start(None, type="tool_use", id=f"id{number}", name="f")
        assert stream.add(None, "input_json_delta", partial_json="{}") == [called(number, "{}")]
        assert stream.stop(None) == []


def test_an_addition_to_no_block() -> None:
    """Text without a block is still said; arguments without a call are of nothing."""
    stream = TranslatedStream()
    assert stream.add(5, "text_delta", text="a") == [{"content": "a"}]
    assert stream.add(5, "input_json_delta", partial_json="{}") == []
    assert stream.stop(5) == []


def test_a_thought_comes_again_with_its_signature() -> None:
    """Pieces of a thought are shown as they come; at its end it comes whole and signed."""
    stream = TranslatedStream()
    stream.start(0, type="thinking", thinking="")
    assert stream.add(0, "thinking_delta", thinking="a") == [{"reasoning_content": "a"}]
    assert stream.add(0, "thinking_delta", thinking="b") == [{"reasoning_content": "b"}]
    assert stream.add(0, "signature_delta", signature="s") == []
    block = {"type": "thinking", "thinking": "ab", "signature": "s"}
    assert stream.stop(0) == [{"thinking_blocks": [block]}]


def test_a_hidden_thought_comes_whole() -> None:
    """A hidden thought has no deltas and comes at its end, by its data alone."""
    stream = TranslatedStream()
    assert stream.start(0, type="redacted_thinking", data="x") == []
    block = {"type": "redacted_thinking", "data": "x"}
    assert stream.stop(0) == [{"thinking_blocks": [block]}]
    assert signed(AnswerBlock("redacted_thinking", data="x", thinking="no")) == block


def test_a_call_of_the_tool_for_answers_is_the_answer() -> None:
    """The input of `answer_in_json` is content, and no call is told."""
    stream = TranslatedStream()
    assert stream.start(0, type="tool_use", id="x", name=JSON_TOOL) == []
    assert stream.add(0, "input_json_delta", partial_json="{}") == [{"content": "{}"}]
    assert stream.end("tool_use")[0]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("newer than this", "stop"),
    ],
)
def test_the_end_has_a_reason(reason: str, finish: str) -> None:
    """The end of a message is a chunk with OpenAI's reason and no words."""
    (end,) = TranslatedStream().end(reason)
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, finish)


def test_usage_is_told_to_those_who_asked() -> None:
    """Usage is a chunk of its own behind the reason, without choices."""
    reported = ReportedUsage(Tokens(7, 3))
    _, usage = TranslatedStream().end("end_turn", reported)
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 10)
    assert len(TranslatedStream(wants_usage=False).end("end_turn", reported)) == 1
    assert len(TranslatedStream().end("end_turn")) == 1


def test_events_that_are_no_words() -> None:
    """A ping is a comment, the last event is `[DONE]`, and a kind that is new says nothing."""
    stream = ChatStream(wants_usage=True)
    assert stream.event(b'data: {"type":"ping"}\n\n', None) == b": ping\n\n"
    assert stream.event(b": wait\n\n", None) == b": wait\n\n"
    assert stream.event(b'data: {"type":"newer"}\n\n', None) == b""
    assert stream.event(b'data: {"type":"message_stop"}\n\n', None) == b"data: [DONE]\n\n"
