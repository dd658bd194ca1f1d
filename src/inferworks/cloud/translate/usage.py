"""Usage in the words of the caller's dialect: the `usage` object of a translated answer."""

from __future__ import annotations

from typing import Any

from inferworks.meter.reported_usage import ReportedUsage


def chat_usage(reported: ReportedUsage) -> dict[str, Any]:
    """Tokens as OpenAI writes them: `prompt_tokens` is all of the input, the cache's part a detail."""
    tokens = reported.tokens
    usage = {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }
    return _marked(usage, reported)


def responses_usage(reported: ReportedUsage) -> dict[str, Any]:
    """Tokens as a response of OpenAI's has them."""
    tokens = reported.tokens
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {
            "cached_tokens": tokens.cache_read,
            "cache_write_tokens": tokens.cache_write,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
    return _marked(usage, reported)


def messages_usage(reported: ReportedUsage) -> dict[str, Any]:
    """Tokens as Anthropic writes them: `input_tokens` leaves out what the cache had or took."""
    tokens = reported.tokens
    usage: dict[str, Any] = {
        "input_tokens": max(0, tokens.input - tokens.cache_read - tokens.cache_write),
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
    }
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return _marked(usage, reported)


def _marked(usage: dict[str, Any], reported: ReportedUsage) -> dict[str, Any]:
    """`usage`, which says so if it is a guess; a field that a client does not know it passes over."""
    return {**usage, "estimated": True} if reported.is_estimate else usage
