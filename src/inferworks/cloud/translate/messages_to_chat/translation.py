"""A client of Anthropic's, served by an upstream that speaks OpenAI's chat completions.

The request is put over in `request`, a stream in `stream`; here are the
whole answer, the refusal and the translation that holds them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.fields import Fields, Omissions, asked_as, is_object, read_answer
from inferworks.cloud.translate.messages_to_chat.request import chat_request
from inferworks.cloud.translate.messages_to_chat.stream import (
    MessagesStream,
    message_id,
    stop_reason,
)
from inferworks.cloud.translate.sent_names import MESSAGES_TO_CHAT, SentNames, in_sent_names
from inferworks.cloud.translate.tool_names import whole_name
from inferworks.cloud.translate.usage import messages_usage
from inferworks.cloud.usage_parsers.cloud_errors import error_words
from inferworks.dialects.errors import AnthropicError, AnthropicErrorFields, anthropic_error_type
from inferworks.dialects.openai_chat import COMPLETIONS, AnswerMessage
from inferworks.errors import UpstreamError
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class MessagesToChat:
    """`messages` by way of `chat.completions`."""

    source: ClassVar[Operation] = Operation.MESSAGES
    target: ClassVar[Operation] = Operation.CHAT
    sent_names: ClassVar[SentNames] = MESSAGES_TO_CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot say."""
        omissions = Omissions(call.lenient)
        body = chat_request(call, omissions)
        return asked_as(call, self.target, body, omissions)

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole completion as a message."""
        completion = read_answer(data, COMPLETIONS)
        choice = completion.first
        if choice is None:
            raise UpstreamError("the answer has no choices", sent=True)
        calls_tools = bool(choice.message.calls)
        reason, sequence = stop_reason(
            choice.finish_reason, choice.stop_reason, calls_tools=calls_tools
        )
        message = {
            "id": completion.id or message_id(call),
            "type": "message",
            "role": "assistant",
            "model": completion.model or call.model,
            "content": list(_content(call, choice.message, is_cut=reason == "max_tokens")),
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": messages_usage(reported),
        }
        return msgspec.json.encode(message)

    def refusal(self, status: int, data: bytes) -> bytes:
        """OpenAI's error body as Anthropic's."""
        words = in_sent_names(error_words(status, data), self.sent_names)
        fields = AnthropicErrorFields(anthropic_error_type(status), words)
        return msgspec.json.encode(AnthropicError("error", fields, None))

    def stream(self, call: Call) -> MessagesStream:
        """A chat's events as a message's."""
        return MessagesStream(call)


def _content(asked: Call, said: AnswerMessage, *, is_cut: bool) -> Iterator[Fields]:
    # reasoning is signed as it came, or has an empty signature
    for block in said.thinking_blocks or ():
        if block.type == "redacted_thinking":
            yield {"type": block.type, "data": block.data}
        elif block.signature:
            yield {"type": "thinking", "thinking": block.thinking, "signature": block.signature}
    if said.thought and not any(block.signature for block in said.thinking_blocks or ()):
        yield {"type": "thinking", "thinking": said.thought, "signature": ""}
    if said.text:
        yield {"type": "text", "text": said.text}
    for number, call in enumerate(said.calls):
        name = whole_name(call.function.name or "", asked.body)
        # Of arguments that the limit of the answer has cut none are given: a part of them is no smaller
        # wish, and `max_tokens` says that the call is not whole.
        written = call.function.written.strip()
        if written in {"", "null"}:
            written = "{}"
        elif not is_object(written):
            if not is_cut:
                raise UpstreamError("the arguments of a tool call are no JSON object", sent=True)
            written = "{}"
        given = msgspec.Raw(written.encode())
        yield {"type": "tool_use", "id": call.id or f"toolu_{number}", "name": name, "input": given}
