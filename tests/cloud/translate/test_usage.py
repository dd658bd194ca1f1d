"""Usage in the words of the caller's dialect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.cloud.translate.usage import chat_usage, messages_usage, responses_usage
from inferworks.cloud.usage_parsers.clamped import clamped
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

SPLIT = st.builds(
    Tokens, **dict.fromkeys(("input", "output", "cache_read", "cache_write"), st.integers(0, 99))
)
TOLD = ReportedUsage(Tokens(100, 20, cache_read=60, reasoning=5, cache_write=30))


def test_a_chat() -> None:
    """All of the input, of which the cache's parts are details."""
    assert chat_usage(TOLD) == {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def test_a_response() -> None:
    """The same under a response's names."""
    reported = responses_usage(TOLD)
    assert (reported["input_tokens"], reported["output_tokens"], reported["total_tokens"]) == (
        100,
        20,
        120,
    )
    assert reported["input_tokens_details"] == {"cached_tokens": 60, "cache_write_tokens": 30}
    assert reported["output_tokens_details"] == {"reasoning_tokens": 5}


def test_a_message() -> None:
    """The input without the cache's parts, which stand beside it; thought is told where there was any."""
    assert messages_usage(TOLD) == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert "output_tokens_details" not in messages_usage(ReportedUsage(Tokens(1, 1)))


@settings(max_examples=20)
@given(
    st.builds(
        Tokens,
        **dict.fromkeys(("input", "output", "cache_read", "cache_write"), st.integers(0, 99)),
    )
)
def test_a_message_sums_to_the_input(tokens: Tokens) -> None:
    """Anthropic's three parts are OpenAI's one number, and none is negative."""
    reported = messages_usage(ReportedUsage(clamped(tokens)))
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(reported[part] for part in parts) == tokens.input
    assert min(reported[part] for part in parts) >= 0


@pytest.mark.parametrize("words", [chat_usage, responses_usage, messages_usage])
def test_a_guess_says_so(words: Any) -> None:
    """And what was told does not."""
    assert words(ReportedUsage(Tokens(1, 1), is_estimate=True))["estimated"] is True
    assert "estimated" not in words(TOLD)
