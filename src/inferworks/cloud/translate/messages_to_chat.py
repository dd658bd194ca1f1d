"""A client of Anthropic's, served by an upstream that speaks OpenAI's chat completions.

The request is put over in `messages_to_chat_request`, a stream in `messages_to_chat_stream`; here are the
whole answer, the refusal and the translation that holds them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.anthropic_terms import error_type, messages_usage
from inferworks.cloud.translate.chat_answer import Completion, Said, read_completion, stop_reason
from inferworks.cloud.translate.fields import Fields, is_object, read_answer
from inferworks.cloud.translate.messages_to_chat_request import chat_request
from inferworks.cloud.translate.messages_to_chat_stream import MessagesStream
from inferworks.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class MessagesToChat:
    """`messages` by way of `chat.completions`."""

    limit_field: str = "max_tokens"
    """What the upstream calls the limit of an answer; OpenAI's newer models want
    `max_completion_tokens`, which many others do not know."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        return Operation.MESSAGES

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        return Operation.CHAT

    def ask(self, call: Call) -> Call:
        """`call` as a chat. CallError 400 for what a chat cannot say."""
        body = chat_request(call, self.limit_field)
        return msgspec.structs.replace(
            call, operation=self.target, body=body, wants_usage=True, headers=()
        )

    def answer(self, call: Call, data: bytes) -> bytes:
        """A whole completion as a message."""
        return msgspec.json.encode(_message(read_answer(data, read_completion)))

    def refusal(self, status: int, data: bytes) -> bytes:
        """OpenAI's error body as Anthropic's."""
        error = {"type": error_type(status), "message": _error_message(status, data)}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": None})

    def stream(self, call: Call) -> MessagesStream:
        """A chat's events as a message's."""
        return MessagesStream()


def _message(completion: Completion) -> Fields:
    if not completion.choices:
        raise UpstreamError("the answer has no choices", sent=True)
    choice = completion.choices[0]
    calls_tools = bool(choice.message.tool_calls)
    reason, sequence = stop_reason(
        choice.finish_reason, choice.stop_reason, calls_tools=calls_tools
    )
    return {
        "id": completion.id,
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": list(_content(choice.message)),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": messages_usage(completion.tokens),
    }


def _content(said: Said) -> Iterator[Fields]:
    if said.thought:
        yield {"type": "thinking", "thinking": said.thought, "signature": ""}
    if said.text:
        yield {"type": "text", "text": said.text}
    for number, call in enumerate(said.tool_calls or ()):
        name = call.function.name or ""
        given = _input(call.function.arguments)
        yield {"type": "tool_use", "id": call.id or f"toolu_{number}", "name": name, "input": given}


def _input(arguments: str | None) -> msgspec.Raw:
    text = arguments or "{}"
    if not is_object(text):
        raise UpstreamError("the arguments of a tool call are no JSON object", sent=True)
    return msgspec.Raw(text.encode())


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None


_read_error = msgspec.json.Decoder(_ErrorBody).decode


def _error_message(status: int, data: bytes) -> str:
    """What an error body of OpenAI's says; an unreadable one says its status."""
    try:
        error = _read_error(data).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    text = error.message if isinstance(error, _Error) else error
    return text or f"The model's server refused the request with status {status}."
