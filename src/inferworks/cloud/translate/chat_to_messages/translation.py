"""A client of OpenAI's chat completions, served by an upstream that speaks Anthropic's messages.

The request is put over in `request`, a stream in `stream`; here are the
whole answer, the refusal and the translation that holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_answer import chat_completion, chat_message
from inferworks.cloud.translate.chat_to_messages.request import messages_request
from inferworks.cloud.translate.chat_to_messages.stream import ChatStream, signed
from inferworks.cloud.translate.chat_tools import function_call
from inferworks.cloud.translate.fields import Omissions, asked_as, read_answer
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.sent_names import SAME_NAMES, SentNames
from inferworks.cloud.usage_parsers.cloud_errors import error_words, openai_error
from inferworks.dialects.anthropic_messages import MESSAGES
from inferworks.dialects.finish_reasons import messages_finish_reason
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class ChatToMessages:
    """`chat.completions` by way of `messages`."""

    default_max_tokens: int = 16_384
    """The limit of an answer whose caller gave none; Anthropic wants one."""

    source: ClassVar[Operation] = Operation.CHAT
    target: ClassVar[Operation] = Operation.MESSAGES
    sent_names: ClassVar[SentNames] = SAME_NAMES

    def ask(self, call: Call) -> Call:
        """`call` as a message. CallError 400 for what a message cannot say."""
        omissions = Omissions(call.lenient)
        body = messages_request(call, self.default_max_tokens, omissions)
        return asked_as(call, self.target, body, omissions)

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole message as a completion."""
        message = read_answer(data, MESSAGES)
        blocks = message.content
        answers = [block.arguments for block in blocks if block.name == JSON_TOOL]
        texts = answers or [block.text for block in blocks if block.type == "text"]
        calls = [
            function_call(block.id, block.name, block.arguments)
            for block in blocks
            if block.type == "tool_use" and block.name != JSON_TOOL
        ]
        thoughts = [block for block in blocks if block.type in {"thinking", "redacted_thinking"}]
        return chat_completion(
            message.id,
            message.model,
            messages_finish_reason(message.stop_reason, calls_tools=bool(calls)),
            reported,
            chat_message(
                "".join(texts) if texts or not calls else None,
                "".join(block.thinking for block in thoughts),
                [signed(block) for block in thoughts],
                calls,
            ),
        )

    def refusal(self, status: int, data: bytes) -> bytes:
        """Anthropic's error body as OpenAI's."""
        return openai_error(status, error_words(status, data))

    def stream(self, call: Call) -> ChatStream:
        """A message's events as a chat's."""
        return ChatStream(wants_usage=call.wants_usage)
