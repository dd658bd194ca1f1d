"""Reasons for which an answer ends, in each dialect and in OpenAI's words.

Sources: https://platform.openai.com/docs/api-reference/chat/object, https://platform.claude.com/docs/en/api/messages,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""OpenAI's own finish reasons."""

MESSAGES_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's stop reason -> OpenAI's finish reason."""

CONVERSE_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
"""Converse's stop reason -> OpenAI's finish reason."""

STOP_REASONS: Final[Mapping[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""OpenAI's finish reason -> Anthropic's stop reason."""

_CHAT_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "insufficient_system_resource": "length",
    "abort": "length",
    "error": "length",
    "network_error": "length",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
}
"""Finish reason of any vendor of OpenAI's dialect -> its own. Any answer that was cut off is `length`."""


def messages_finish_reason(stop_reason: str | None, *, calls_tools: bool) -> FinishReason:
    """OpenAI's finish reason for Anthropic's stop reason, also for one that is newer than this.

    Whether tools are called is seen by the calls: one that is the answer itself (`json_tool`) is none.
    """
    known = MESSAGES_FINISH_REASONS.get(stop_reason or "", "stop")
    return _by_calls(known, calls_tools=calls_tools)


def converse_finish_reason(stop_reason: str, *, calls_tools: bool) -> FinishReason:
    """OpenAI's finish reason for Converse's stop reason, also for one that is newer than this."""
    known = CONVERSE_FINISH_REASONS.get(stop_reason, "stop")
    return _by_calls(known, calls_tools=calls_tools)


def chat_finish_reason(finish: str | None, *, calls_tools: bool) -> FinishReason:
    """OpenAI's own finish reason for any that is written in its dialect, or none.

    A forced call of a tool ends with `stop` at OpenAI, and others always write that; a call of a tool is no
    end of a turn, whatever it says.
    """
    known = _CHAT_FINISH_REASONS.get((finish or "stop").lower(), "stop")
    return "tool_calls" if calls_tools and known == "stop" else known


def _by_calls(reason: FinishReason, *, calls_tools: bool) -> FinishReason:
    """`reason`, where an answer that calls tools ends with their calls, and no other does."""
    if reason in {"stop", "tool_calls"}:
        return "tool_calls" if calls_tools else "stop"
    return reason
