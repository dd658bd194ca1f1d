"""A stream of Bedrock's Converse as one of OpenAI's chat completions.

The events come as `usage_parsers.converse` writes them, the kind of each around its payload. Most of
Converse's deltas are a delta of OpenAI's; the end of a block says two things more, as with Anthropic's:
thoughts come again with their signature, which the model wants to see in the next turn, and a call of a
tool that had no input gets its `{}`. `messageStop` has the reason, `metadata` the usage, which is told in
an event of its own to those who asked.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.cloud.translate.chat_tools import function_call
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.usage import chat_usage
from inferworks.dialects.bedrock_converse import (
    EVENTS,
    BlockEvent,
    Event,
    Reasoning,
    ReasoningText,
)
from inferworks.dialects.finish_reasons import converse_finish_reason
from inferworks.http.sse import DONE, event_data
from inferworks.ids import CallId, ModelId
from inferworks.meter.reported_usage import ReportedUsage


def completion_id(call_id: CallId) -> str:
    """The id of an answer that its upstream gave none."""
    return f"chatcmpl-{call_id}"


def thinking_blocks(reasoning: Reasoning) -> list[Fields]:
    """Whole thoughts as they come back, in the form that chats have for them; unsigned ones do not."""
    if reasoning.redacted_content:
        return [{"type": "redacted_thinking", "data": reasoning.redacted_content}]
    text = reasoning.reasoning_text
    if text is None or not text.signature:
        return []
    return [{"type": "thinking", "thinking": text.text, "signature": text.signature}]


class ChatStream:
    """One stream on its way to a client of OpenAI's."""

    def __init__(self, call_id: CallId, model: ModelId, *, wants_usage: bool) -> None:
        self._envelope: Fields = {
            "id": completion_id(call_id),
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
        }
        self._wants_usage = wants_usage
        self._thoughts = Reasoning()
        """The thoughts of the open block, as far as they came."""
        self._calls: dict[int, int] = {}
        """The number of the call of a tool that a block is."""
        self._answers: set[int] = set()
        """The blocks that are a call which is the answer itself (`json_tool`)."""
        self._without_input: set[int] = set()
        """The blocks that are calls of tools and have no input yet."""
        self._reported: ReportedUsage | None = None

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """OpenAI's events for one of Converse's."""
        self._reported = reported or self._reported
        data = event_data(event)
        if not data:
            return event  # a comment is the same in both
        if data == DONE:
            return b"".join(map(_framed, self._usage())) + event
        chunks = self._chunks(read_answer(data, EVENTS))
        return b"".join(map(_framed, chunks))

    def _chunks(self, event: Event) -> Iterator[Fields]:
        if event.message_start is not None:
            yield self._chunk({"role": "assistant", "content": ""})
        elif (start := event.content_block_start) is not None:
            # only the calls of tools have a beginning that counts
            number, tool_use = start.content_block_index, start.start.tool_use
            if tool_use is not None:
                self._without_input.add(number)
                if tool_use.name == JSON_TOOL:
                    self._answers.add(number)
                else:
                    self._calls[number] = len(self._calls)
                    opened = function_call(tool_use.tool_use_id, tool_use.name, "")
                    yield self._chunk(self._call(start, opened))
        elif event.content_block_delta is not None:
            yield from map(self._chunk, self._added(event.content_block_delta))
        elif (stop := event.content_block_stop) is not None:
            thoughts, self._thoughts = thinking_blocks(self._thoughts), Reasoning()
            if thoughts:
                yield self._chunk({"thinking_blocks": thoughts})
            if stop.content_block_index in self._without_input:
                self._without_input.discard(stop.content_block_index)
                yield self._chunk(self._with(stop, "{}"))
        elif event.message_stop is not None:
            calls_tools = bool(self._calls)
            yield self._chunk(
                {}, converse_finish_reason(event.message_stop.stop_reason, calls_tools=calls_tools)
            )
        elif event.metadata is not None:
            yield from self._usage()

    def _usage(self) -> Iterator[Fields]:
        """Yield the usage event, once, if the caller asked for it."""
        if self._wants_usage and self._reported is not None:
            self._wants_usage = False
            yield {**self._envelope, "choices": [], "usage": chat_usage(self._reported)}

    def _added(self, event: BlockEvent) -> Iterator[Fields]:
        delta = event.delta
        if delta.text:
            yield {"content": delta.text}
        if (thought := delta.reasoning_content) is not None:
            before = self._thoughts.reasoning_text or ReasoningText()
            self._thoughts = Reasoning(
                ReasoningText(before.text + thought.text, before.signature + thought.signature),
                self._thoughts.redacted_content + thought.redacted_content,
            )
            if thought.text:
                yield {"reasoning_content": thought.text}
        if delta.tool_use is not None:
            written = delta.tool_use.arguments  # as text, or as the object itself
            piece = msgspec.json.decode(written, type=str) if written.startswith('"') else written
            if piece:
                self._without_input.discard(event.content_block_index)
                yield self._with(event, piece)

    def _with(self, event: BlockEvent, arguments: str) -> Fields:
        """A piece of what a tool is called with, or of the answer that is given by a call."""
        if event.content_block_index in self._answers:
            return {"content": arguments}
        return self._call(event, {"function": {"arguments": arguments}})

    def _call(self, event: BlockEvent, piece: Fields) -> Fields:
        number = self._calls.get(event.content_block_index, max(0, len(self._calls) - 1))
        return {"tool_calls": [{"index": number, **piece}]}

    def _chunk(self, delta: Fields, reason: str | None = None) -> Fields:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._envelope, "choices": [choice]}


def _framed(chunk: Fields) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)
