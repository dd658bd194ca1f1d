"""Words of Anthropic's dialect and what they are in OpenAI's: error types and stop reasons.

Sources: https://platform.claude.com/docs/en/api/errors and /api/messages,
https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Final

_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Status -> the type of an error, as Anthropic has it."""

THREAD_UNSUPPORTED: Final = "thread_unsupported_request"
"""Says to Anthropic's clients that no conversation is kept for them; they send all of it each time then.

Source: `ThreadUnsupportedRequestErrorDetails` of https://github.com/anthropics/anthropic-sdk-typescript
"""

FINISH_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's stop reason -> OpenAI's finish reason."""

STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""OpenAI's finish reason -> Anthropic's stop reason."""

_AS_OPENAI: Final = {
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
"""Other vendors' finish reasons in OpenAI's dialect -> its own. Any answer that was cut off is `length`."""


def finish_reason(stop_reason: str | None, *, calls_tools: bool) -> str:
    """OpenAI's finish reason for Anthropic's stop reason, also for one that is newer than this.

    Whether tools are called is seen by the calls: one that is the answer itself (`json_tool`) is none.
    """
    return as_called(FINISH_REASONS.get(stop_reason or "", "stop"), calls_tools=calls_tools)


def as_called(reason: str, *, calls_tools: bool) -> str:
    """OpenAI's finish reason `reason` of an answer that calls tools, or does not."""
    if reason in {"stop", "tool_calls"}:
        return "tool_calls" if calls_tools else "stop"
    return reason


def openai_finish(finish: str | None, *, calls_tools: bool) -> str:
    """OpenAI's own finish reason for any that is written in its dialect, or none.

    A forced call of a tool ends with `stop` at OpenAI, and others always write that; a call of a tool is no
    end of a turn, whatever it says.
    """
    written = (finish or "stop").lower()
    known = written if written in STOP_REASONS else _AS_OPENAI.get(written, "stop")
    return "tool_calls" if calls_tools and known == "stop" else known


def error_type(status: int) -> str:
    """Anthropic's error type for an HTTP status."""
    other = "api_error" if status >= 500 else "invalid_request_error"
    return _ERROR_TYPES.get(status, other)


def openai_error_type(status: int) -> str:
    """OpenAI's error type for an HTTP status."""
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
