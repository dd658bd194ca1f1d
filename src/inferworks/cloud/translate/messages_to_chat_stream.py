"""A stream of OpenAI's chat completions as one of Anthropic's messages.

    delta.content, delta.tool_calls[i]   ->   content_block_start, content_block_delta*, content_block_stop
    finish_reason, usage, [DONE]         ->   message_delta, message_stop

OpenAI's deltas name what they add to; Anthropic's stand in a block that is open, one at a time. So a block
is opened by the first delta of another kind, or of another call of a tool, which closes the one before.
The reason and the usage are held until `[DONE]`: `message_delta` tells both, and with `message_stop` it is
what makes an answer whole. The input is not known when a stream begins, so `message_start` says none and
`message_delta`, whose counts are cumulative, says all of it.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from inferworks.cloud.translate.anthropic_terms import messages_usage
from inferworks.cloud.translate.chat_answer import (
    Choice,
    Completion,
    ToolCall,
    read_completion,
    stop_reason,
)
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.errors import UpstreamError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.usage import NO_TOKENS

_TEXT = ("text", 0)
_THINKING = ("thinking", 0)

BlockKey = tuple[str, int]
"""Which block a delta belongs to: its kind, and for tools the number of the call."""


class MessagesStream:
    """One stream on its way to a client of Anthropic's."""

    def __init__(self) -> None:
        self._begun = False
        self._open: BlockKey | None = None
        self._blocks = 0
        """How many blocks were opened."""
        self._tools = 0
        """How many of them are calls of tools."""
        self._finish: str | None = None
        self._stopped_by: object = None
        self._tokens = NO_TOKENS

    def event(self, event: bytes) -> bytes:
        """Anthropic's events for one of OpenAI's."""
        data = event_data(event)
        if not data:
            return event  # a comment keeps the connection alive in any dialect
        if data == DONE:
            return b"".join(map(_framed, self._end()))
        return b"".join(map(_framed, self._continue(read_answer(data, read_completion))))

    def _continue(self, completion: Completion) -> Iterator[Fields]:
        if completion.usage is not None:
            self._tokens = completion.tokens
        if not self._begun and (completion.choices or completion.id):
            yield self._begin(completion)
        for choice in completion.choices[:1]:
            yield from self._added(choice)
            self._finish = choice.finish_reason or self._finish
            self._stopped_by = choice.stop_reason or self._stopped_by

    def _begin(self, completion: Completion) -> Fields:
        self._begun = True
        message: Fields = {
            "id": completion.id,
            "type": "message",
            "role": "assistant",
            "model": completion.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(NO_TOKENS),
        }
        return {"type": "message_start", "message": message}

    def _added(self, choice: Choice) -> Iterator[Fields]:
        said = choice.delta
        if said.thought:
            yield from self._in_block(
                _THINKING, {"type": "thinking", "thinking": "", "signature": ""}
            )
            yield self._delta({"type": "thinking_delta", "thinking": said.thought})
        if said.text:
            yield from self._in_block(_TEXT, {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": said.text})
        for call in said.tool_calls or ():
            yield from self._called(call)

    def _called(self, call: ToolCall) -> Iterator[Fields]:
        key = ("tool_use", self._number(call))
        if key != self._open:
            if key[1] < self._tools:
                raise UpstreamError("the calls of tools come mixed up", sent=True)
            self._tools = key[1] + 1
            name = call.function.name or ""
            block = {
                "type": "tool_use",
                "id": call.id or f"toolu_{key[1]}",
                "name": name,
                "input": {},
            }
            yield from self._in_block(key, block)
        if call.function.arguments:
            arguments = call.function.arguments
            yield self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _number(self, call: ToolCall) -> int:
        """Which call of a tool a piece belongs to; some upstreams do not number them."""
        if call.index is not None:
            return call.index
        return self._tools if call.id or not self._tools else self._tools - 1

    def _in_block(self, key: BlockKey, block: Fields) -> Iterator[Fields]:
        """Have the block of `key` open, which begins as `block`."""
        if key == self._open:
            return
        yield from self._close()
        self._open = key
        yield {"type": "content_block_start", "index": self._blocks, "content_block": block}
        self._blocks += 1

    def _delta(self, delta: Fields) -> Fields:
        return {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}

    def _close(self) -> Iterator[Fields]:
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._blocks - 1}

    def _end(self) -> Iterator[Fields]:
        if not self._begun:
            yield self._begin(Completion())
        yield from self._close()
        calls_tools = self._tools > 0
        reason, sequence = stop_reason(self._finish, self._stopped_by, calls_tools=calls_tools)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        yield {"type": "message_delta", "delta": delta, "usage": messages_usage(self._tokens)}
        yield {"type": "message_stop"}


def _framed(event: Fields) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
