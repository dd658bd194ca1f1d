"""A client of OpenAI's chat completions, served by Amazon Bedrock's Converse.

The request is put over in `request`, a stream in `stream`; here are the
whole answer, the refusal and the translation that holds them together. Converse names neither the answer
nor the model, so an answer has the call's id and the model's name as the caller wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.chat_answer import chat_completion, chat_message
from inferworks.cloud.translate.chat_to_converse.request import converse_request
from inferworks.cloud.translate.chat_to_converse.stream import (
    ChatStream,
    completion_id,
    thinking_blocks,
)
from inferworks.cloud.translate.chat_tools import function_call
from inferworks.cloud.translate.fields import Omissions, asked_as, read_answer
from inferworks.cloud.translate.json_tool import JSON_TOOL
from inferworks.cloud.translate.sent_names import SAME_NAMES, SentNames
from inferworks.cloud.usage_parsers.cloud_errors import amazon_message, openai_error
from inferworks.dialects.bedrock_converse import ANSWERS
from inferworks.dialects.finish_reasons import converse_finish_reason
from inferworks.meter.reported_usage import ReportedUsage


@dataclass(frozen=True, slots=True)
class ChatToConverse:
    """`chat.completions` by way of `converse`."""

    source: ClassVar[Operation] = Operation.CHAT
    target: ClassVar[Operation] = Operation.CONVERSE
    sent_names: ClassVar[SentNames] = SAME_NAMES

    def ask(self, call: Call) -> Call:
        """`call` in Converse's words. CallError 400 for what they cannot say."""
        omissions = Omissions(call.lenient)
        return asked_as(call, self.target, converse_request(call, omissions), omissions)

    def answer(self, call: Call, data: bytes, reported: ReportedUsage) -> bytes:
        """A whole answer as a completion."""
        answer = read_answer(data, ANSWERS)
        blocks = answer.output.message.content
        uses = [block.tool_use for block in blocks if block.tool_use]
        answers = [use.arguments for use in uses if use.name == JSON_TOOL]
        text = "".join(answers or [block.said for block in blocks])
        calls = [
            function_call(use.tool_use_id, use.name, use.arguments)
            for use in uses
            if use.name != JSON_TOOL
        ]
        thoughts = [block.reasoning_content for block in blocks if block.reasoning_content]
        return chat_completion(
            completion_id(call.id),
            call.model,
            converse_finish_reason(answer.stop_reason, calls_tools=bool(calls)),
            reported,
            chat_message(
                text if text or not calls else None,
                "".join(t.reasoning_text.text for t in thoughts if t.reasoning_text),
                [block for one in thoughts for block in thinking_blocks(one)],
                calls,
            ),
        )

    def refusal(self, status: int, data: bytes) -> bytes:
        """Amazon's error body as OpenAI's."""
        return openai_error(status, amazon_message(status, data))

    def stream(self, call: Call) -> ChatStream:
        """The events of an answer as a chat's."""
        return ChatStream(call.id, call.model, wants_usage=call.wants_usage)
