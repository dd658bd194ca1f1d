"""Words of Anthropic's dialect and what they are in OpenAI's: error types, stop reasons, usage.

Sources: https://platform.claude.com/docs/en/api/errors and /api/messages,
https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from typing import Any, Final

from inferworks.meter.usage import Tokens

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
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""OpenAI's finish reason -> Anthropic's stop reason."""


def error_type(status: int) -> str:
    """Anthropic's error type for an HTTP status."""
    other = "api_error" if status >= 500 else "invalid_request_error"
    return _ERROR_TYPES.get(status, other)


def openai_error_type(status: int) -> str:
    """OpenAI's error type for an HTTP status."""
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def messages_usage(tokens: Tokens) -> dict[str, Any]:
    """`tokens` as Anthropic writes them: `input_tokens` leaves out what the cache had or took."""
    usage: dict[str, Any] = {
        "input_tokens": max(0, tokens.input - tokens.cache_read - tokens.cache_write),
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage


def chat_usage(tokens: Tokens) -> dict[str, Any]:
    """`tokens` as OpenAI writes them: `prompt_tokens` is all of the input, the cache's part a detail."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
