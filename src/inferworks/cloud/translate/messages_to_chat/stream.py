"""A stream of OpenAI's chat completions as one of Anthropic's messages.

    delta.content, delta.tool_calls[i]   ->   content_block_start, content_block_delta*, content_block_stop
    finish_reason, usage, [DONE]         ->   message_delta, message_stop

OpenAI's deltas name what they add to; Anthropic's stand in a block that is open, one at a time. So a block
is opened by the first delta of another kind, or of another call of a tool, which closes the one before.
Some upstreams write several calls at once, a piece of each in turn: a call that begins while the one
before is not whole is held until the end, and what is said amid a call until the call's block is closed.
The reason and the usage are held until `[DONE]`: `message_delta` tells both, and with `message_stop` it is
what makes an answer whole. The input is rarely told when a stream begins, so `message_start` says what is
known or guessed then, marked as such: clients that count by it alone show nothing else (vercel/ai#17326).
`message_delta`, whose counts are cumulative, says all of it.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.tool_call_pieces import OpenCall, OpenCalls
from inferworks.cloud.translate.tool_names import whole_name
from inferworks.cloud.translate.usage import messages_usage
from inferworks.dialects.finish_reasons import STOP_REASONS, chat_finish_reason
from inferworks.dialects.openai_chat import COMPLETIONS, AnswerMessage, Completion
from inferworks.errors import UpstreamError
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage

_TEXT = ("text", 0)
_THINKING = ("thinking", 0)
_MOST_LETTERS_AMID: Final = 1 << 20
"""Most letters that may come between two pieces of one call."""

BlockKey = tuple[str, int]
"""Block that a delta belongs to: its kind, and for tools the number of the call."""


def message_id(call: Call) -> str:
    """The id of an answer that its upstream gave none."""
    return f"msg_{call.id.removeprefix('call_')}"


def stop_reason(finish: str | None, stopped_by: object, *, calls_tools: bool) -> tuple[str, Any]:
    """Anthropic's `stop_reason` and `stop_sequence`."""
    if finish == "stop" and isinstance(stopped_by, str):
        return "stop_sequence", stopped_by
    return STOP_REASONS[chat_finish_reason(finish, calls_tools=calls_tools)], None


class MessagesStream:
    """One stream on its way to a client of Anthropic's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._begun = False
        self._open: BlockKey | None = None
        self._blocks = 0
        """Number of blocks that were opened."""
        self._calls = OpenCalls()
        self._newest: OpenCall | None = None
        """The call of a tool whose block was opened last."""
        self._held: list[OpenCall] = []
        """Calls that began before the one before them was whole."""
        self._amid: list[AnswerMessage] = []
        """Deltas that came between two pieces of a call."""
        self._amid_letters = 0
        self._finish: str | None = None
        self._stopped_by: object = None
        self._reported = NOTHING_REPORTED

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """Anthropic's events for one of OpenAI's."""
        self._reported = reported or self._reported
        data = event_data(event)
        if not data:
            return event  # a comment keeps the connection alive in any dialect
        if data == DONE:
            return b"".join(map(_framed, self._end()))
        completion = read_answer(data, COMPLETIONS)
        events: list[Fields] = []
        if not self._begun and (completion.choices or completion.id):
            events.append(self._begin(completion))
        choice = completion.first
        if choice is not None:
            events += self._added(choice.delta)
            self._finish = choice.finish_reason or self._finish
            self._stopped_by = choice.stop_reason or self._stopped_by
        return b"".join(map(_framed, events))

    def _begin(self, completion: Completion) -> Fields:
        self._begun = True
        message: Fields = {
            "id": completion.id or message_id(self._call),
            "type": "message",
            "role": "assistant",
            "model": completion.model or self._call.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(self._reported),
        }
        return {"type": "message_start", "message": message}

    def _added(self, said: AnswerMessage) -> Iterator[Fields]:
        if self._newest is None or not self._is_held(said):
            if self._amid:
                yield from self._release()
            if said.thought:
                yield from self._in_block(
                    _THINKING, {"type": "thinking", "thinking": "", "signature": ""}
                )
                yield self._delta({"type": "thinking_delta", "thinking": said.thought})
            if said.thinking_blocks:
                yield from self._signed(said)
            if text := said.text:
                yield from self._in_block(_TEXT, {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
        for piece in said.calls:
            call, begins = self._calls.take(piece)
            if begins and (self._held or (self._newest is not None and not self._newest.is_whole)):
                self._held.append(call)
            elif begins:
                yield from self._open_call(call)
            if piece.function.arguments and call not in self._held:
                if self._open != ("tool_use", call.number):
                    raise UpstreamError("the calls of tools come mixed up", sent=True)
                yield self._argued(piece.function.written)

    def _is_held(self, said: AnswerMessage) -> bool:
        """Hold back a delta amid the arguments of a call; True when there is nothing to send now."""
        if self._open is None or self._open[0] != "tool_use" or self._newest is None:
            return False
        letters = len(said.text) + len(said.thought)
        if not (letters or said.thinking_blocks):
            return True
        if self._newest.is_whole:
            return False
        self._amid.append(msgspec.structs.replace(said, tool_calls=None, function_call=None))
        self._amid_letters += letters + 1
        if self._amid_letters > _MOST_LETTERS_AMID:
            raise UpstreamError("too much is said amid the call of a tool", sent=True)
        return True

    def _release(self) -> Iterator[Fields]:
        """Say what was held back, now that the call's block can be closed."""
        amid, self._amid = self._amid, []
        if amid:
            yield from self._close()
        for said in amid:
            yield from self._added(said)

    def _signed(self, said: AnswerMessage) -> Iterator[Fields]:
        """The signature of what was thought, once that is whole; or thoughts that are not shown."""
        for block in said.thinking_blocks or ():
            if block.type == "redacted_thinking":
                yield from self._close()
                yield from self._in_block(
                    ("redacted_thinking", self._blocks), {"type": block.type, "data": block.data}
                )
            elif block.signature and self._open == _THINKING:
                yield self._delta({"type": "signature_delta", "signature": block.signature})
            yield from self._close()

    def _open_call(self, call: OpenCall) -> Iterator[Fields]:
        yield from self._release()
        self._newest = call
        number = call.number
        name = whole_name(call.name, self._call.body)
        called = {"type": "tool_use", "id": call.id or f"toolu_{number}", "name": name}
        yield from self._in_block(("tool_use", number), {**called, "input": {}})

    def _argued(self, arguments: str) -> Fields:
        return self._delta({"type": "input_json_delta", "partial_json": arguments})

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
        for call in self._held:
            yield from self._open_call(call)
            if call.arguments:
                yield self._argued("".join(call.arguments))
        yield from self._release()
        yield from self._close()
        calls_tools = self._newest is not None
        finish = "length" if self._calls.are_cut else self._finish
        reason, sequence = stop_reason(finish, self._stopped_by, calls_tools=calls_tools)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        yield {"type": "message_delta", "delta": delta, "usage": messages_usage(self._reported)}
        yield {"type": "message_stop"}


def _framed(event: Fields) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
