"""A client of OpenAI's responses, served by an upstream that speaks its chat completions.

The request is put over in `request`, a stream in `stream`; here are the
whole answer and the translation that holds them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.fields import Fields, Omissions, asked_as, read_answer
from inferworks.cloud.translate.responses_response import (
    Echo,
    ending,
    message_of,
    part_of,
    thought_of,
)
from inferworks.cloud.translate.responses_to_chat.request import chat_request
from inferworks.cloud.translate.responses_to_chat.stream import ResponsesStream
from inferworks.cloud.translate.sent_names import RESPONSES_TO_CHAT, SentNames, error_in_sent_names
from inferworks.dialects.openai_chat import COMPLETIONS, Choice
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class ResponsesToChat:
    """`responses` by way of `chat.completions`."""

    source: ClassVar[Operation] = Operation.RESPONSES
    target: ClassVar[Operation] = Operation.CHAT
    sent_names: ClassVar[SentNames] = RESPONSES_TO_CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot do."""
        omissions = Omissions(call.lenient)
        body = chat_request(call, omissions)
        return asked_as(call, self.target, body, omissions)

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole chat completion as a response."""
        completion = read_answer(data, COMPLETIONS)
        choice, echo = completion.first, Echo(call)
        if choice is None:
            raise UpstreamError("the answer has no choices", sent=True)
        status, reason = ending(choice.finish_reason)
        output = list(_output(choice, echo, status))
        return msgspec.json.encode(echo.response(completion, output, status, reason, reported))

    def refusal(self, status: int, data: bytes) -> bytes:
        """Both write their errors alike, but for the names of fields."""
        return error_in_sent_names(data, self.sent_names)

    def stream(self, call: Call) -> ResponsesStream:
        """A chat's events as a response's."""
        return ResponsesStream(Echo(call))


def _output(choice: Choice, echo: Echo, status: str) -> Iterator[Fields]:
    """The items of a message, numbered as they stand: what was thought, said and called."""
    number, said = 0, choice.message
    calls = said.calls
    if said.thought:
        thought = part_of("reasoning_text", said.thought)
        more = bool(said.text or calls)
        yield thought_of(echo.id_of("rs", number), [thought], "completed" if more else status)
        number += 1
    if said.text or not (calls or said.thought):
        parts: list[Fields] = []
        if said.written or not said.refusal:
            parts.append(part_of("output_text", said.written, choice.sureness))
        if said.refusal:
            parts.append(part_of("refusal", said.refusal))
        yield message_of(echo.id_of("msg", number), parts, "completed" if calls else status)
        number += 1
    for place, call in enumerate(calls, number):
        function = call.function
        nothing = "" if echo.calls.is_custom(function.name or "") else "{}"
        yield echo.calls.item(
            echo.id_of("fc", place),
            call.id or echo.id_of("call", place),
            function.name or "",
            function.written or nothing,
            status,
        )
