"""A stream of Bedrock's Converse as one of OpenAI's chat completions.

The events come as `readers.converse` writes them, the kind of each around its payload. Most of Converse's
deltas are a delta of OpenAI's; the end of a block says two things more, as with Anthropic's streams:
thoughts come again with their signature, which the model wants to see in the next turn, and a call of a
tool that had no input gets its `{}`. `messageStop` has the reason, `metadata` the usage, which is told in
an event of its own to those who asked.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.cloud.readers.converse import tokens_of
from inferworks.cloud.translate.anthropic_terms import chat_usage
from inferworks.cloud.translate.converse_answer import (
    Block,
    Event,
    Reasoning,
    ReasoningText,
    ToolUse,
    read_event,
    thinking_blocks,
)
from inferworks.cloud.translate.converse_terms import finish_reason
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.http.sse import DONE, event_data
from inferworks.ids import CallId, ModelId


def completion_id(call_id: CallId) -> str:
    """The id of an answer that its upstream gave none."""
    return f"chatcmpl-{call_id}"


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
        self._calls = -1
        """The number of the newest call of a tool."""
        self._wants_input = False
        """The open block is a call of a tool that has no input yet."""

    def event(self, event: bytes) -> bytes:
        """OpenAI's events for one of Converse's."""
        data = event_data(event)
        if not data or data == DONE:
            return event  # an end, and a comment, are the same in both
        chunks = self._chunks(read_answer(data, read_event))
        return b"".join(b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks)

    def _chunks(self, event: Event) -> Iterator[Fields]:
        if event.message_start is not None:
            yield self._chunk({"role": "assistant", "content": ""})
        elif event.content_block_start is not None:
            yield from map(self._chunk, self._opened(event.content_block_start.start))
        elif event.content_block_delta is not None:
            yield from map(self._chunk, self._added(event.content_block_delta.delta))
        elif event.content_block_stop is not None:
            yield from map(self._chunk, self._closed())
        elif event.message_stop is not None:
            yield self._chunk({}, finish_reason(event.message_stop.stop_reason))
        elif event.metadata is not None and self._wants_usage:
            usage = chat_usage(tokens_of(event.metadata.usage))
            yield {**self._envelope, "choices": [], "usage": usage}

    def _opened(self, block: Block) -> Iterator[Fields]:
        """What the beginning of a block says: only calls of tools have one that counts."""
        if block.tool_use is not None:
            self._calls += 1
            self._wants_input = True
            function = {"name": block.tool_use.name, "arguments": ""}
            yield self._call(
                {"id": block.tool_use.tool_use_id, "type": "function", "function": function}
            )

    def _added(self, delta: Block) -> Iterator[Fields]:
        if delta.text:
            yield {"content": delta.text}
        if delta.reasoning_content is not None:
            yield from self._thought(delta.reasoning_content)
        if delta.tool_use is not None:
            yield from self._argued(delta.tool_use)

    def _thought(self, piece: Reasoning) -> Iterator[Fields]:
        before = self._thoughts.reasoning_text or ReasoningText()
        self._thoughts = Reasoning(
            ReasoningText(before.text + piece.text, before.signature + piece.signature),
            self._thoughts.redacted_content + piece.redacted_content,
        )
        if piece.text:
            yield {"reasoning_content": piece.text}

    def _argued(self, tool_use: ToolUse) -> Iterator[Fields]:
        """A piece of a call's arguments: here they are text, and not the object itself."""
        piece = read_answer(tool_use.input, _read_text)
        if piece:
            self._wants_input = False
            yield self._call({"function": {"arguments": piece}})

    def _closed(self) -> Iterator[Fields]:
        thoughts, self._thoughts = thinking_blocks(self._thoughts), Reasoning()
        if thoughts:
            yield {"thinking_blocks": thoughts}
        if self._wants_input:
            self._wants_input = False
            yield self._call({"function": {"arguments": "{}"}})

    def _call(self, piece: Fields) -> Fields:
        return {"tool_calls": [{"index": self._calls, **piece}]}

    def _chunk(self, delta: Fields, reason: str | None = None) -> Fields:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._envelope, "choices": [choice]}


_read_text = msgspec.json.Decoder(str).decode
