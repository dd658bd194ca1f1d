"""Converse's stream as a chat's: one delta for each of its deltas, and what the end of a block adds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.cloud.translate.chat_to_converse.stream import (
    ChatStream,
    completion_id,
    thinking_blocks,
)
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.dialects.bedrock_converse import Reasoning, ReasoningText
from inferworks.http.sse import EventSplitter, event_data
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens


class TranslatedStream:
    """A stream, and its chunks as a client reads them."""

    def __init__(self, *, wants_usage: bool = True) -> None:
        self.stream = ChatStream(CallId("call_1"), ModelId("m"), wants_usage=wants_usage)

    def chunks(self, reported: ReportedUsage | None = None, **event: Any) -> list[Any]:
        """The chunks of one event."""
        data = b"data: %b\n\n" % json.dumps(event).encode()
        events = EventSplitter().feed(self.stream.event(data, reported))
        return [json.loads(event_data(one)) for one in events]

    def deltas(self, **event: Any) -> list[Any]:
        """The deltas of one event, none of which ends the answer."""
        choices = [chunk["choices"][0] for chunk in self.chunks(**event)]
        assert all(choice["finish_reason"] is None for choice in choices)
        return [choice["delta"] for choice in choices]

    def delta(self, index: int, **delta: Any) -> list[Any]:
        """The deltas of one delta of a block."""
        return self.deltas(contentBlockDelta={"contentBlockIndex": index, "delta": delta})

    def start(self, index: int, name: str) -> list[Any]:
        """The deltas of the beginning of a call."""
        use = {"toolUseId": f"id{index}", "name": name}
        return self.deltas(
            contentBlockStart={"contentBlockIndex": index, "start": {"toolUse": use}}
        )

    def stop(self, index: int) -> list[Any]:
        """The deltas of the end of a block."""
        return self.deltas(contentBlockStop={"contentBlockIndex": index})


def called(index: int, arguments: str) -> dict[str, Any]:
    """The delta of a piece of a call."""
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


def test_every_chunk_names_the_answer() -> None:
    """Converse names neither answer nor model, so both come from the call."""
    (chunk,) = TranslatedStream().chunks(messageStart={"role": "assistant"})
    assert chunk == {
        "id": completion_id(CallId("call_1")),
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }


def test_text_is_handed_on() -> None:
    """A delta of text is a delta of content, and an empty one is nothing."""
    stream = TranslatedStream()
    assert stream.delta(0, text="Hi") == [{"content": "Hi"}]
    assert stream.delta(0, text="") == []
    assert stream.stop(0) == []


def test_calls_are_numbered_among_themselves() -> None:
    """Blocks are numbered over all kinds, calls of a chat over calls alone."""
    stream = TranslatedStream()
    for number, block in enumerate([1, 3]):
        (begun,) = stream.start(block, "look")
        assert begun["tool_calls"] == [
            {
                "index": number,
                "id": f"id{block}",
                "type": "function",
                "function": {"name": "look", "arguments": ""},
            }
        ]
        assert stream.delta(block, toolUse={"input": '{"a":'}) == [called(number, '{"a":')]
        assert stream.delta(block, toolUse={"input": "1}"}) == [called(number, "1}")]
        assert stream.stop(block) == []


def test_arguments_may_be_an_object() -> None:
    """Input that comes as the object itself is written as text."""
    stream = TranslatedStream()
    stream.start(0, "look")
    assert stream.delta(0, toolUse={"input": {"a": 1}}) == [called(0, '{"a": 1}')]


def test_a_call_without_input_gets_an_empty_object() -> None:
    """A client must be able to read the arguments of every call; an empty piece is no input."""
    stream = TranslatedStream()
    stream.start(0, "look")
    assert stream.delta(0, toolUse={"input": ""}) == []
    assert stream.stop(0) == [called(0, "{}")]
    assert stream.stop(0) == []


def test_a_call_of_the_tool_for_answers_is_the_answer() -> None:
    """The input of `answer_in_json` is content, and no call is told."""
    stream = TranslatedStream()
    assert stream.start(0, JSON_TOOL) == []
    assert stream.delta(0, toolUse={"input": '{"a":1}'}) == [{"content": '{"a":1}'}]
    (end,) = stream.chunks(messageStop={"stopReason": "tool_use"})
    assert end["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("guardrail_intervened", "content_filter"),
        ("newer than this", "stop"),
    ],
)
def test_the_end_has_a_reason(reason: str, finish: str) -> None:
    """The end of a message is a chunk with OpenAI's reason and no words."""
    (end,) = TranslatedStream().chunks(messageStop={"stopReason": reason})
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, finish)


def test_a_turn_that_calls_ends_with_its_calls() -> None:
    """A call of the caller's tool is the reason, whatever Converse says of its end."""
    stream = TranslatedStream()
    stream.start(0, "look")
    (end,) = stream.chunks(messageStop={"stopReason": "end_turn"})
    assert end["choices"][0]["finish_reason"] == "tool_calls"


def test_a_signed_thought_comes_again_when_it_is_whole() -> None:
    """Pieces of a thought are shown as they come; with its signature it comes whole, once."""
    stream = TranslatedStream()
    assert stream.delta(0, reasoningContent={"text": "a"}) == [{"reasoning_content": "a"}]
    assert stream.delta(0, reasoningContent={"text": "b"}) == [{"reasoning_content": "b"}]
    assert stream.delta(0, reasoningContent={"signature": "s"}) == []
    whole = {"type": "thinking", "thinking": "ab", "signature": "s"}
    assert stream.stop(0) == [{"thinking_blocks": [whole]}]
    assert stream.stop(1) == []


@pytest.mark.parametrize(
    ("reasoning", "blocks"),
    [
        (Reasoning(), []),
        (Reasoning(ReasoningText("a")), []),
        (
            Reasoning(ReasoningText("a", "s")),
            [{"type": "thinking", "thinking": "a", "signature": "s"}],
        ),
        (Reasoning(redacted_content="x"), [{"type": "redacted_thinking", "data": "x"}]),
    ],
)
def test_thoughts_that_can_come_back(reasoning: Reasoning, blocks: list[Any]) -> None:
    """A thought that nobody signed means nothing to its model, so it is not given out to come back."""
    assert thinking_blocks(reasoning) == blocks


def test_usage_is_told_once_to_those_who_asked() -> None:
    """Usage is a chunk of its own without choices, at the metadata or else before the end."""
    reported = ReportedUsage(Tokens(7, 3))
    stream = TranslatedStream()
    (chunk,) = stream.chunks(reported, metadata={})
    assert (chunk["choices"], chunk["usage"]["total_tokens"]) == ([], 10)
    assert stream.chunks(reported, metadata={}) == []
    assert stream.stream.event(b"data: [DONE]\n\n", reported) == b"data: [DONE]\n\n"
    assert TranslatedStream(wants_usage=False).chunks(reported, metadata={}) == []
    assert TranslatedStream().chunks(metadata={}) == []
    late = EventSplitter().feed(TranslatedStream().stream.event(b"data: [DONE]\n\n", reported))
    assert json.loads(event_data(late[0]))["usage"]["prompt_tokens"] == 7
    assert late[1:] == [b"data: [DONE]\n\n"]


def test_a_comment_passes_as_it_is() -> None:
    """A comment that keeps a connection alive is the same in both dialects."""
    assert TranslatedStream().stream.event(b": wait\n\n", None) == b": wait\n\n"
