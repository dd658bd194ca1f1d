"""A client of OpenAI's chat completions, served by Amazon Bedrock's Converse.

The request is put over in `request`, a stream in `stream`; here are the
whole answer, the refusal and the translation that holds them together. Converse names neither the answer
nor the model, so an answer has the call's id and the model's name as the caller wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_to_converse.request import converse_request
from inferworks.cloud.translate.chat_to_converse.stream import (
    ChatStream,
    completion_id,
    thinking_blocks,
)
from inferworks.cloud.translate.fields import Fields, Omissions, asked_as, read_answer, set_if
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.sent_names import SAME_NAMES, SentNames
from inferworks.cloud.translate.usage import chat_usage
from inferworks.cloud.usage_parsers.cloud_errors import amazon_message, openai_error
from inferworks.dialects.bedrock_converse import ANSWERS, Block
from inferworks.dialects.finish_reasons import converse_finish_reason
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class ChatToConverse:
    """`chat.completions` by way of `converse`."""

    @property
    def source(self) -> Operation:
        """Operation of the caller."""
        return Operation.CHAT

    @property
    def target(self) -> Operation:
        """Operation of the upstream."""
        return Operation.CONVERSE

    @property
    def sent_names(self) -> SentNames:
        """Caller's names of the target's fields."""
        return SAME_NAMES

    def ask(self, call: Call) -> Call:
        """`call` in Converse's words. CallError 400 for what they cannot say."""
        omissions = Omissions(call.lenient)
        return asked_as(call, self.target, converse_request(call, omissions), omissions)

    def answer(self, call: Call, data: bytes, told: ReportedUsage) -> bytes:
        """A whole answer as a completion."""
        answer = read_answer(data, ANSWERS)
        said = _said(answer.output.message.content)
        finish = converse_finish_reason(answer.stop_reason, calls_tools="tool_calls" in said)
        choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
        completion = {
            "id": completion_id(call.id),
            "object": "chat.completion",
            "created": 0,  # Bedrock does not say
            "model": call.model,
            "system_fingerprint": None,  # OpenRouter's client wants the field
            "choices": [choice],
            "usage": chat_usage(told),
        }
        return msgspec.json.encode(completion)

    def refusal(self, status: int, data: bytes) -> bytes:
        """Amazon's error body as OpenAI's."""
        return openai_error(status, amazon_message(status, data))

    def stream(self, call: Call) -> ChatStream:
        """The events of an answer as a chat's."""
        return ChatStream(call.id, call.model, wants_usage=call.wants_usage)


def _said(blocks: list[Block]) -> Fields:
    """The blocks of an answer as OpenAI's one message."""
    uses = [block.tool_use for block in blocks if block.tool_use]
    answers = [use.arguments for use in uses if use.name == JSON_TOOL]
    text = "".join(answers or [block.said for block in blocks])
    calls = [
        {
            "id": use.tool_use_id,
            "type": "function",
            "function": {"name": use.name, "arguments": use.arguments},
        }
        for use in uses
        if use.name != JSON_TOOL
    ]
    thoughts = [block.reasoning_content for block in blocks if block.reasoning_content]
    thought = "".join(t.reasoning_text.text for t in thoughts if t.reasoning_text)
    signed = [block for reasoning in thoughts for block in thinking_blocks(reasoning)]
    content = text if text or not calls else None
    said: Fields = {"role": "assistant", "content": content, "refusal": None}
    set_if(said, "reasoning_content", thought or None)
    set_if(said, "thinking_blocks", signed or None)
    set_if(said, "tool_calls", calls or None)
    return said
