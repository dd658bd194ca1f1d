"""Reasons for which an answer ends: each dialect's in OpenAI's words, and back."""

from __future__ import annotations

from typing import get_args

import pytest

from inferworks.dialects.finish_reasons import (
    CONVERSE_FINISH_REASONS,
    MESSAGES_FINISH_REASONS,
    STOP_REASONS,
    FinishReason,
    chat_finish_reason,
    converse_finish_reason,
    messages_finish_reason,
)

REASONS: tuple[FinishReason, ...] = get_args(FinishReason)


@pytest.mark.parametrize("reason", REASONS)
def test_openais_own_reasons_stay(reason: FinishReason) -> None:
    """A reason in OpenAI's words is the same again, also after a way through Anthropic's."""
    calls_tools = reason == "tool_calls"
    assert chat_finish_reason(reason, calls_tools=calls_tools) == reason
    assert messages_finish_reason(STOP_REASONS[reason], calls_tools=calls_tools) == reason


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (None, "stop"),
        ("", "stop"),
        ("eos", "stop"),
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("abort", "length"),
        ("function_call", "tool_calls"),
    ],
)
def test_reasons_of_other_vendors(finish: str | None, reason: str) -> None:
    """Letters may be of either case, an unknown reason is an end, and what was cut is a limit."""
    assert chat_finish_reason(finish, calls_tools=False) == reason


@pytest.mark.parametrize("reason", REASONS)
def test_a_call_of_a_tool_goes_before_a_plain_end(reason: str) -> None:
    """An answer that calls tools ends with them, unless it was cut or filtered."""
    expected = {"stop": "tool_calls"}.get(reason, reason)
    assert chat_finish_reason(reason, calls_tools=True) == expected


@pytest.mark.parametrize("calls_tools", [False, True])
def test_only_an_answer_with_calls_ends_with_calls(calls_tools: bool) -> None:
    """Anthropic's and Converse's word for calls counts only where there is a call for the caller."""
    end = "tool_calls" if calls_tools else "stop"
    for reason in ("tool_use", "end_turn", "newer than this"):
        assert messages_finish_reason(reason, calls_tools=calls_tools) == end
        assert converse_finish_reason(reason, calls_tools=calls_tools) == end
    assert messages_finish_reason(None, calls_tools=calls_tools) == end
    assert messages_finish_reason("max_tokens", calls_tools=calls_tools) == "length"
    assert (
        converse_finish_reason("guardrail_intervened", calls_tools=calls_tools) == "content_filter"
    )


def test_every_reason_leads_to_one_of_openais() -> None:
    """The tables know no other words, and each of OpenAI's four can be told to Anthropic's clients."""
    assert set(MESSAGES_FINISH_REASONS.values()) == set(REASONS)
    assert set(CONVERSE_FINISH_REASONS.values()) == set(REASONS)
    assert set(STOP_REASONS) == set(REASONS)
    assert set(STOP_REASONS.values()) <= set(MESSAGES_FINISH_REASONS)
