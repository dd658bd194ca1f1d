"""The answer of another dialect as a chat completion of OpenAI's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferworks.cloud.translate.fields import Fields, set_if
from inferworks.cloud.translate.usage import chat_usage
from inferworks.dialects.finish_reasons import FinishReason
from inferworks.meter.reported_usage import ReportedUsage


def chat_message(
    text: str | None, thought: str, signed_thoughts: Sequence[Fields], calls: Sequence[Fields]
) -> Fields:
    """Return what a model said; `signed_thoughts` are as it wants to see them again."""
    said: Fields = {"role": "assistant", "content": text, "refusal": None}
    set_if(said, "reasoning_content", thought or None)
    set_if(said, "thinking_blocks", signed_thoughts or None)
    set_if(said, "tool_calls", calls or None)
    return said


def chat_completion(
    answer_id: str, model: str, finish: FinishReason, reported: ReportedUsage, said: Fields
) -> bytes:
    """Return a completion whose message is `said`."""
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    completion = {
        "id": answer_id,
        "object": "chat.completion",
        "created": 0,  # neither Anthropic nor Bedrock says it
        "model": model,
        "system_fingerprint": None,  # OpenRouter's client wants the field
        "choices": [choice],
        "usage": chat_usage(reported),
    }
    return msgspec.json.encode(completion)
