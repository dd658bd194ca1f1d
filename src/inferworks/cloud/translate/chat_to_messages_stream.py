"""A stream of Anthropic's messages as one of OpenAI's chat completions.

Anthropic opens a block, adds to it and closes it; OpenAI's deltas stand for themselves. So a delta of a
block becomes a delta of the choice, calls of tools numbered in their order; closing a block says nothing,
but for two things. Thoughts come again with their signature (`thinking_blocks`), which Anthropic wants to
see in the next turn; and a call of a tool without arguments, for which Anthropic sends no delta, gets its
`{}`. The usage is told in an event of its own, to those who asked.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.cloud.readers.anthropic import Usage, merged, tokens_of
from inferworks.cloud.translate.anthropic_terms import FINISH_REASONS, chat_usage
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.messages_answer import (
    Block,
    Delta,
    Event,
    Message,
    read_event,
    signed,
)
from inferworks.http.sse import DONE, event_data

_PING = b": ping\n\n"


class ChatStream:
    """One stream on its way to a client of OpenAI's."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._message = Message()
        self._usage = Usage()
        self._block = Block("")
        """The block that is open, with its thoughts as far as they came."""
        self._calls = -1
        """The number of the newest call of a tool."""
        self._has_arguments = False

    def event(self, event: bytes) -> bytes:
        """OpenAI's events for one of Anthropic's."""
        data = event_data(event)
        if not data:
            return event  # a comment keeps the connection alive in any dialect
        read = read_answer(data, read_event)
        match read.type:
            case "ping":
                return _PING
            case "message_stop":
                return b"data: %b\n\n" % DONE
        chunks = self._chunks(read)
        return b"".join(b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks)

    def _chunks(self, event: Event) -> Iterator[Fields]:
        match event:
            case Event(type="message_start", message=Message() as message):
                self._message, self._usage = message, message.usage
                yield self._chunk({"role": "assistant", "content": ""})
            case Event(type="content_block_start", content_block=Block() as block):
                yield from map(self._chunk, self._opened(block))
            case Event(type="content_block_delta", delta=Delta() as delta):
                yield from map(self._chunk, self._added(delta))
            case Event(type="content_block_stop"):
                yield from map(self._chunk, self._closed())
            case Event(type="message_delta", delta=Delta() as delta):
                self._usage = merged(self._usage, event.usage or Usage())
                yield from self._end(delta.stop_reason)

    def _opened(self, block: Block) -> Iterator[Fields]:
        """What the beginning of a block says; most say nothing yet."""
        self._block, self._has_arguments = block, False
        if block.type == "tool_use":
            self._calls += 1
            function = {"name": block.name, "arguments": ""}
            yield self._call({"id": block.id, "type": "function", "function": function})
        elif block.type == "text" and block.text:
            yield {"content": block.text}

    def _added(self, delta: Delta) -> Iterator[Fields]:
        block = self._block
        match delta.type:
            case "text_delta":
                yield {"content": delta.text}
            case "thinking_delta":
                block.thinking += delta.thinking
                yield {"reasoning_content": delta.thinking}
            case "signature_delta":
                block.signature += delta.signature
            case "input_json_delta" if block.type == "tool_use" and delta.partial_json:
                self._has_arguments = True
                yield self._call({"function": {"arguments": delta.partial_json}})

    def _closed(self) -> Iterator[Fields]:
        block, self._block = self._block, Block("")
        if block.type in {"thinking", "redacted_thinking"}:
            yield {"thinking_blocks": [signed(block)]}
        elif block.type == "tool_use" and not self._has_arguments:
            yield self._call({"function": {"arguments": bytes(block.input).decode()}})

    def _call(self, piece: Fields) -> Fields:
        return {"tool_calls": [{"index": self._calls, **piece}]}

    def _end(self, stop_reason: str | None) -> Iterator[Fields]:
        yield self._chunk({}, FINISH_REASONS.get(stop_reason or "", "stop"))
        if self._wants_usage:
            yield {**self._envelope(), "choices": [], "usage": chat_usage(tokens_of(self._usage))}

    def _chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._envelope(), "choices": [choice]}

    def _envelope(self) -> Fields:
        return {
            "id": self._message.id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._message.model,
        }
