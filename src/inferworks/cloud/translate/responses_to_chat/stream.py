"""A stream of OpenAI's chat completions as one of its responses.

    first event                     ->   response.created, response.in_progress
    delta.content, .refusal         ->   output_item.added, content_part.added, output_text.delta*
    delta.tool_calls[i]             ->   output_item.added, function_call_arguments.delta*
    the end of an item              ->   ....done, content_part.done, output_item.done
    finish_reason, usage, [DONE]    ->   response.completed | response.incomplete

A response is a list of items, each of which is announced, filled and finished; a chat's deltas only say
what they add to. So an item is opened by the first delta of its kind. What is said or thought is finished
when something else begins. Calls of functions stay open to the end, because some upstreams write several
at once, a piece of each in turn. Every event is numbered.

Sources: https://platform.openai.com/docs/api-reference/responses-streaming,
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.responses_response import (
    Echo,
    ending,
    message_of,
    part_of,
    thought_of,
)
from inferworks.cloud.translate.responses_tools import CallsBack
from inferworks.cloud.translate.tool_call_pieces import OpenCalls
from inferworks.dialects.openai_chat import COMPLETIONS, AnswerMessage, Completion
from inferworks.http.sse import DONE, event_data
from inferworks.meter.reported_usage import NOTHING_REPORTED, ReportedUsage

_SAID: Final = "output_text"


class ResponsesStream:
    """One stream on its way to a client of responses."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._begun: Completion | None = None
        """The first event, with the model and the time."""
        self._reported = NOTHING_REPORTED
        self._finish: str | None = None
        self._items: list[_Spoken | _Called] = []
        self._calls = OpenCalls()
        self._called_items: list[_Called] = []
        """Calls, in the order in which they began."""
        self._events = 0

    def event(self, event: bytes, reported: ReportedUsage | None) -> bytes:
        """The response's events for one of the chat."""
        self._reported = reported or self._reported
        data = event_data(event)
        if not data:
            return event  # a comment keeps the connection alive in any dialect
        if data == DONE:
            return b"".join(map(self._framed, self._end()))
        return b"".join(map(self._framed, self._continue(read_answer(data, COMPLETIONS))))

    def _framed(self, event: Fields) -> bytes:
        numbered = {**event, "sequence_number": self._events}
        self._events += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(numbered))

    def _continue(self, completion: Completion) -> Iterator[Fields]:
        if self._begun is None:
            yield from self._begin(completion)
        choice = completion.first
        if choice is None:
            return
        self._finish = choice.finish_reason or self._finish
        for is_thought, kind, text in _texts(choice.delta):
            newest = self._items[-1] if self._items else None
            if isinstance(newest, _Spoken) and newest.is_open and newest.is_thought is is_thought:
                spoken = newest
            else:
                yield from self._hush()
                spoken = self._open_spoken(is_thought=is_thought)
                yield from spoken.begin()
            yield from spoken.add(kind, text, choice.sureness if kind == _SAID else [])
        for piece in choice.delta.calls:
            call, begins = self._calls.take(piece)
            if begins:
                yield from self._hush()
                index = len(self._items)
                call_id = call.id or self._echo.id_of("call", index)
                item_id = self._echo.id_of("fc", index)
                item = _Called(item_id, index, call_id, call.name, self._echo.calls)
                self._called_items.append(item)
                self._items.append(item)
                yield item.begin()
            if piece.function.arguments:
                yield from self._called_items[call.number].add(piece.function.written)

    def _begin(self, completion: Completion) -> Iterator[Fields]:
        self._begun = completion
        response = self._echo.response(self._begun, [], "in_progress")
        yield {"type": "response.created", "response": response}
        yield {"type": "response.in_progress", "response": response}

    def _open_spoken(self, *, is_thought: bool) -> _Spoken:
        index = len(self._items)
        item_id = self._echo.id_of("rs" if is_thought else "msg", index)
        spoken = _Spoken(item_id, index, is_thought=is_thought)
        self._items.append(spoken)
        return spoken

    def _hush(self) -> Iterator[Fields]:
        """Finish what is being said or thought."""
        for item in self._items:
            if isinstance(item, _Spoken) and item.is_open:
                yield from item.end("completed")

    def _end(self) -> Iterator[Fields]:
        if self._begun is None:
            yield from self._begin(Completion())
        if not self._items:
            yield from self._open_spoken(is_thought=False).begin()
        status, reason = ending("length" if self._calls.are_cut else self._finish)
        for item in self._items:
            if item.is_open:
                yield from item.end(status)
        begun = self._begun or Completion()
        output = [item.item for item in self._items]
        response = self._echo.response(begun, output, status, reason, self._reported)
        yield {"type": f"response.{status}", "response": response}


def _texts(said: AnswerMessage) -> Iterator[tuple[bool, str, str]]:
    """Yield the texts of a delta: True for reasoning, the kind of part, and the text."""
    if said.thought:
        yield True, "reasoning_text", said.thought
    if said.written:
        yield False, _SAID, said.written
    if said.refusal:
        yield False, "refusal", said.refusal


class _Spoken:
    """An item of what is said or thought, with the part of it that is open."""

    def __init__(self, item_id: str, index: int, *, is_thought: bool) -> None:
        self.is_thought = is_thought
        self.is_open = True
        self._id = item_id
        self._index = index
        self._parts: list[Fields] = []
        self._kind = ""
        self._texts: list[str] = []
        self._logprobs: list[Fields] = []
        self._status = "in_progress"

    @property
    def item(self) -> Fields:
        """The item as it stands."""
        make = thought_of if self.is_thought else message_of
        return make(self._id, list(self._parts), self._status)

    def begin(self) -> Iterator[Fields]:
        """Announce the item."""
        yield {
            "type": "response.output_item.added",
            "output_index": self._index,
            "item": self.item,
        }

    def add(self, kind: str, text: str, logprobs: list[Fields]) -> Iterator[Fields]:
        """`text` more, in a part of `kind`, with its tokens' `logprobs`."""
        if kind != self._kind:
            yield from self._end_part()
            self._kind = kind
            yield {
                "type": "response.content_part.added",
                **self._place(),
                "part": part_of(kind, ""),
            }
        self._texts.append(text)
        self._logprobs += logprobs
        delta = {"type": f"response.{kind}.delta", **self._place(), "delta": text}
        yield {**delta, "logprobs": logprobs} if kind == _SAID else delta

    def end(self, status: str) -> Iterator[Fields]:
        """Finish the item."""
        yield from self._end_part()
        if not self._parts and not self.is_thought:
            self._parts.append(part_of(_SAID, ""))
        self.is_open, self._status = False, status
        yield {
            "type": "response.output_item.done",
            "output_index": self._index,
            "item": self.item,
        }

    def _end_part(self) -> Iterator[Fields]:
        if not self._kind:
            return
        text = "".join(self._texts)
        part = part_of(self._kind, text, self._logprobs)
        name = "refusal" if self._kind == "refusal" else "text"
        done = {"type": f"response.{self._kind}.done", **self._place(), name: text}
        yield {**done, "logprobs": self._logprobs} if self._kind == _SAID else done
        yield {"type": "response.content_part.done", **self._place(), "part": part}
        self._parts.append(part)
        self._kind, self._texts, self._logprobs = "", [], []

    def _place(self) -> Fields:
        return {
            "item_id": self._id,
            "output_index": self._index,
            "content_index": len(self._parts),
        }


class _Called:
    """An item of a tool to be called, whose arguments are coming.

    Those of a custom tool are a text within JSON, and told at once when they are whole.
    """

    def __init__(self, item_id: str, index: int, call_id: str, name: str, calls: CallsBack) -> None:
        self.is_open = True
        self._id = item_id
        self._index = index
        self._call_id = call_id
        self._name = name
        self._calls = calls
        self._arguments: list[str] = []
        self._status = "in_progress"

    @property
    def item(self) -> Fields:
        """The item as it stands."""
        arguments = "".join(self._arguments)
        return self._calls.item(self._id, self._call_id, self._name, arguments, self._status)

    def begin(self) -> Fields:
        """Announce the item."""
        return {
            "type": "response.output_item.added",
            "output_index": self._index,
            "item": self.item,
        }

    def add(self, arguments: str) -> Iterator[Fields]:
        """A piece of its arguments more."""
        self._arguments.append(arguments)
        if not self._calls.is_custom(self._name):
            name = "response.function_call_arguments.delta"
            yield {"type": name, **self._place(), "delta": arguments}

    def end(self, status: str) -> Iterator[Fields]:
        """Finish the item; arguments that never came are none."""
        if not (self._arguments or self._calls.is_custom(self._name)) and status == "completed":
            yield from self.add("{}")
        self.is_open, self._status = False, status
        item = self.item
        if "input" in item:
            name = "response.custom_tool_call_input"
            yield {"type": f"{name}.delta", **self._place(), "delta": item["input"]}
            yield {"type": f"{name}.done", **self._place(), "input": item["input"]}
        else:
            name = "response.function_call_arguments.done"
            reported = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": name, **self._place(), **reported}
        yield {"type": "response.output_item.done", "output_index": self._index, "item": item}

    def _place(self) -> Fields:
        return {"item_id": self._id, "output_index": self._index}
