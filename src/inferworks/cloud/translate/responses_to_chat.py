"""A client of OpenAI's responses, served by an upstream that speaks its chat completions.

The request is put over in `responses_to_chat_request`, a stream in `responses_to_chat_stream`; here are the
whole answer and the translation that holds them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_answer import Choice, read_completion
from inferworks.cloud.translate.fields import Fields, read_answer
from inferworks.cloud.translate.responses_answer import (
    Echo,
    call_of,
    ending,
    message_of,
    part_of,
    thought_of,
)
from inferworks.cloud.translate.responses_to_chat_request import chat_request
from inferworks.cloud.translate.responses_to_chat_stream import ResponsesStream
from inferworks.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class ResponsesToChat:
    """`responses` by way of `chat.completions`."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        return Operation.RESPONSES

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        return Operation.CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot do."""
        body = chat_request(call.body)
        return msgspec.structs.replace(
            call, operation=self.target, body=body, wants_usage=True, headers=()
        )

    def answer(self, call: Call, data: bytes) -> bytes:
        """A whole chat completion as a response."""
        completion = read_answer(data, read_completion)
        if not completion.choices:
            raise UpstreamError("the answer has no choices", sent=True)
        choice, echo = completion.choices[0], Echo(call)
        status, reason = ending(choice.finish_reason)
        output = list(_output(choice, echo, status))
        return msgspec.json.encode(echo.response(completion, output, status, reason))

    def refusal(self, status: int, data: bytes) -> bytes:
        """Both write their errors alike."""
        return data

    def stream(self, call: Call) -> ResponsesStream:
        """A chat's events as a response's."""
        return ResponsesStream(Echo(call))


def _output(choice: Choice, echo: Echo, status: str) -> Iterator[Fields]:
    """The items of a message, numbered as they stand: what was thought, said and called."""
    number, said = 0, choice.message
    calls = said.tool_calls or []
    if said.thought:
        thought = part_of("reasoning_text", said.thought)
        more = bool(said.text or calls)
        yield thought_of(echo.id_of("rs", number), [thought], "completed" if more else status)
        number += 1
    if said.text or not (calls or said.thought):
        item_id = echo.id_of("msg", number)
        yield message_of(item_id, list(_said(choice)), "completed" if calls else status)
        number += 1
    for place, call in enumerate(calls, number):
        function = call.function
        yield call_of(
            echo.id_of("fc", place),
            call.id or echo.id_of("call", place),
            function.name or "",
            function.arguments or "",
            status,
        )


def _said(choice: Choice) -> Iterator[Fields]:
    said = choice.message
    if said.content or not said.refusal:
        yield part_of("output_text", said.content or "", choice.sureness)
    if said.refusal:
        yield part_of("refusal", said.refusal)
