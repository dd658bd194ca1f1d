"""A client of OpenAI's chat completions, served by an upstream that speaks Anthropic's messages.

The request is put over in `request`, a stream in `stream`; here are the
whole answer, the refusal and the translation that holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_to_messages.request import messages_request
from inferworks.cloud.translate.chat_to_messages.stream import ChatStream, signed
from inferworks.cloud.translate.fields import Fields, Omissions, asked_as, read_answer, set_if
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.sent_names import SAME_NAMES, SentNames
from inferworks.cloud.translate.usage import chat_usage
from inferworks.cloud.usage_parsers.cloud_errors import error_words
from inferworks.dialects.anthropic_messages import MESSAGES, AnswerBlock
from inferworks.dialects.errors import openai_error_type
from inferworks.dialects.finish_reasons import messages_finish_reason
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class ChatToMessages:
    """`chat.completions` by way of `messages`."""

    default_max_tokens: int = 16_384
    """The limit of an answer whose caller gave none; Anthropic wants one."""

    @property
    def source(self) -> Operation:
        """Operation of the caller."""
        return Operation.CHAT

    @property
    def target(self) -> Operation:
        """Operation of the upstream."""
        return Operation.MESSAGES

    @property
    def sent_names(self) -> SentNames:
        """Caller's names of the target's fields."""
        return SAME_NAMES

    def ask(self, call: Call) -> Call:
        """`call` as a message. CallError 400 for what a message cannot say."""
        omissions = Omissions(call.lenient)
        body = messages_request(call, self.default_max_tokens, omissions)
        return asked_as(call, self.target, body, omissions)

    def answer(self, call: Call, data: bytes, told: ReportedUsage) -> bytes:
        """A whole message as a completion."""
        message = read_answer(data, MESSAGES)
        said = _said(message.content)
        finish = messages_finish_reason(message.stop_reason, calls_tools="tool_calls" in said)
        choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
        completion = {
            "id": message.id,
            "object": "chat.completion",
            "created": 0,  # Anthropic does not say
            "model": message.model,
            "system_fingerprint": None,  # OpenRouter's client wants the field
            "choices": [choice],
            "usage": chat_usage(told),
        }
        return msgspec.json.encode(completion)

    def refusal(self, status: int, data: bytes) -> bytes:
        """Anthropic's error body as OpenAI's."""
        error = {
            "message": error_words(status, data),
            "type": openai_error_type(status),
            "param": None,
            "code": None,
        }
        return msgspec.json.encode({"error": error})

    def stream(self, call: Call) -> ChatStream:
        """A message's events as a chat's."""
        return ChatStream(wants_usage=call.wants_usage)


def _said(blocks: list[AnswerBlock]) -> Fields:
    """The blocks of an answer as OpenAI's one message."""
    answers = [block.arguments for block in blocks if block.name == JSON_TOOL]
    texts = answers or [block.text for block in blocks if block.type == "text"]
    uses = [block for block in blocks if block.type == "tool_use" and block.name != JSON_TOOL]
    calls = [
        {
            "id": use.id,
            "type": "function",
            "function": {"name": use.name, "arguments": use.arguments},
        }
        for use in uses
    ]
    thoughts = [block for block in blocks if block.type in {"thinking", "redacted_thinking"}]
    content = "".join(texts) if texts or not calls else None
    said: Fields = {"role": "assistant", "content": content, "refusal": None}
    set_if(said, "reasoning_content", "".join(block.thinking for block in thoughts) or None)
    set_if(said, "thinking_blocks", [signed(block) for block in thoughts] or None)
    set_if(said, "tool_calls", calls or None)
    return said
