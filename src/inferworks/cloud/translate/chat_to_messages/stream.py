"""A stream of Anthropic's messages as one of OpenAI's chat completions.

Anthropic opens a block, adds to it and closes it; OpenAI's deltas stand for themselves. So a delta of a
block becomes a delta of the choice, calls of tools numbered in their order; closing a block says nothing,
but for two things. Thoughts come again with their signature (`thinking_blocks`), which Anthropic wants to
see in the next turn; and a call of a tool without arguments, for which Anthropic sends no delta, gets its
`{}`. A call that is the answer itself (`json_tool`) is told as words. The usage is told in an event of its
own, to those who asked.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.cloud.translate.chat_tools import function_call
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.usage import chat_usage
from inferworks.dialects.anthropic_messages import EVENTS, AnswerBlock, Delta, Event, Message
from inferworks.dialects.finish_reasons import messages_finish_reason
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import ReportedUsage

_PING = b": ping\n\n"


class _Open:
    """A block that is open, with its thoughts as far as they came."""

    __slots__ = ("block", "has_arguments", "number")

    def __init__(self, block: AnswerBlock, number: int) -> None:
        self.block = block
        self.number = number
        """Place among the tool calls, where it is one."""
        self.has_arguments = False

    def argued(self, arguments: str) -> Fields:
        """A piece of what a tool is called with, or of the answer that is given by a call."""
        if self.block.name == JSON_TOOL:
            return {"content": arguments}
        return self.call({"function": {"arguments": arguments}})

    def call(self, piece: Fields) -> Fields:
        """`piece` of a call as OpenAI writes it."""
        return {"tool_calls": [{"index": self.number, **piece}]}


def signed(block: AnswerBlock) -> Fields:
    """A block of thoughts as Anthropic wants to see it again."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}


class ChatStream:
    """One stream on its way to a client of OpenAI's."""

    def __init__(self, *, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._message = Message()
        self._reported: ReportedUsage | None = None
        self._blocks: dict[int, _Open] = {}
        """The blocks that are open, by what Anthropic numbers them."""
        self._none = _Open(AnswerBlock(), 0)
        """Placeholder of a block that never began."""
        self._newest = 0
        """The number of the newest of them."""
        self._calls = 0
        """Number of tool calls that have begun."""

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """OpenAI's events for one of Anthropic's."""
        self._reported = reported or self._reported
        data = event_data(event)
        if not data:
            return event  # a comment keeps the connection alive in any dialect
        read = read_answer(data, EVENTS)
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
                self._message = message
                yield self._chunk({"role": "assistant", "content": ""})
            case Event(type="content_block_start", content_block=AnswerBlock() as block):
                self._newest = self._newest + 1 if event.index is None else event.index
                self._blocks[self._newest] = opened = _Open(block, self._calls)
                if block.type == "tool_use" and block.name != JSON_TOOL:
                    self._calls += 1
                    yield self._chunk(opened.call(function_call(block.id, block.name, "")))
                elif block.type == "text" and block.text:
                    yield self._chunk({"content": block.text})
            case Event(type="content_block_delta", delta=Delta() as delta):
                number = self._newest if event.index is None else event.index
                opened = self._blocks.get(number, self._none)
                yield from map(self._chunk, self._added(opened, delta))
            case Event(type="content_block_stop"):
                number = self._newest if event.index is None else event.index
                closed = self._blocks.pop(number, self._none)
                block = closed.block
                if block.type in {"thinking", "redacted_thinking"}:
                    yield self._chunk({"thinking_blocks": [signed(block)]})
                elif block.type == "tool_use" and not closed.has_arguments:
                    yield self._chunk(closed.argued(block.arguments))
            case Event(type="message_delta", delta=Delta() as delta):
                calls_tools = self._calls > 0
                reason = messages_finish_reason(delta.stop_reason, calls_tools=calls_tools)
                yield self._chunk({}, reason)
                if self._wants_usage and self._reported is not None:
                    yield {**self._envelope(), "choices": [], "usage": chat_usage(self._reported)}

    def _added(self, opened: _Open, delta: Delta) -> Iterator[Fields]:
        block = opened.block
        match delta.type:
            case "text_delta":
                yield {"content": delta.text}
            case "thinking_delta":
                block.thinking += delta.thinking
                yield {"reasoning_content": delta.thinking}
            case "signature_delta":
                block.signature += delta.signature
            case "input_json_delta" if block.type == "tool_use" and delta.partial_json:
                opened.has_arguments = True
                yield opened.argued(delta.partial_json)

    def _chunk(self, delta: Fields, reason: str | None = None) -> Fields:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": None,
            "finish_reason": reason,
        }
        return {**self._envelope(), "choices": [choice]}

    def _envelope(self) -> Fields:
        return {
            "id": self._message.id,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self._message.model,
        }
