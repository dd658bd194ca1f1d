"""A client of OpenAI's chat completions, served by an upstream that speaks Anthropic's messages.

The request is put over in `chat_to_messages_request`, a stream in `chat_to_messages_stream`; here are the
whole answer, the refusal and the translation that holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.readers.anthropic import tokens_of
from inferworks.cloud.translate.anthropic_terms import (
    FINISH_REASONS,
    chat_usage,
    openai_error_type,
)
from inferworks.cloud.translate.chat_to_messages_request import messages_request
from inferworks.cloud.translate.chat_to_messages_stream import ChatStream
from inferworks.cloud.translate.fields import Fields, read_answer, set_if
from inferworks.cloud.translate.messages_answer import Block, Message, read_message, signed


@dataclass(frozen=True, slots=True)
class ChatToMessages:
    """`chat.completions` by way of `messages`."""

    default_max_tokens: int = 16_384
    """The limit of an answer whose caller gave none; Anthropic wants one."""

    @property
    def source(self) -> Operation:
        """What the caller asked for."""
        return Operation.CHAT

    @property
    def target(self) -> Operation:
        """What the upstream is asked for."""
        return Operation.MESSAGES

    def ask(self, call: Call) -> Call:
        """`call` as a message. CallError 400 for what a message cannot say."""
        body = messages_request(call, self.default_max_tokens)
        return msgspec.structs.replace(
            call,
            operation=self.target,
            body=body,
            wants_usage=True,
            wants_running_usage=False,
            headers=(),
        )

    def answer(self, call: Call, data: bytes) -> bytes:
        """A whole message as a completion."""
        return msgspec.json.encode(_completion(read_answer(data, read_message)))

    def refusal(self, status: int, data: bytes) -> bytes:
        """Anthropic's error body as OpenAI's."""
        error = {
            "message": _error_message(status, data),
            "type": openai_error_type(status),
            "param": None,
            "code": None,
        }
        return msgspec.json.encode({"error": error})

    def stream(self, call: Call) -> ChatStream:
        """A message's events as a chat's."""
        return ChatStream(wants_usage=call.wants_usage)


def _completion(message: Message) -> Fields:
    choice = {
        "index": 0,
        "message": _said(message.content),
        "logprobs": None,
        "finish_reason": FINISH_REASONS.get(message.stop_reason or "", "stop"),
    }
    return {
        "id": message.id,
        "object": "chat.completion",
        "created": 0,  # Anthropic does not say
        "model": message.model,
        "choices": [choice],
        "usage": chat_usage(tokens_of(message.usage)),
    }


def _said(blocks: list[Block]) -> Fields:
    """The blocks of an answer as OpenAI's one message."""
    texts = [block.text for block in blocks if block.type == "text"]
    calls = [_tool_call(block) for block in blocks if block.type == "tool_use"]
    thoughts = [block for block in blocks if block.type in {"thinking", "redacted_thinking"}]
    content = "".join(texts) if texts or not calls else None
    said: Fields = {"role": "assistant", "content": content, "refusal": None}
    set_if(said, "reasoning_content", "".join(block.thinking for block in thoughts) or None)
    set_if(said, "thinking_blocks", [signed(block) for block in thoughts] or None)
    set_if(said, "tool_calls", calls or None)
    return said


def _tool_call(block: Block) -> Fields:
    function = {"name": block.name, "arguments": bytes(block.input).decode()}
    return {"id": block.id, "type": "function", "function": function}


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error


_read_error = msgspec.json.Decoder(_ErrorBody).decode


def _error_message(status: int, data: bytes) -> str:
    """What an error body of Anthropic's says; an unreadable one says its status."""
    try:
        text = _read_error(data).error.message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = ""
    return text or f"The model's server refused the request with status {status}."
