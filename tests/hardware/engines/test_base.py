"""The seam of engines: which prompt fits, and how a call is turned away."""

from __future__ import annotations

import pytest

from inferworks.errors import CallError
from inferworks.hardware.engines.base import GenerationRequest, Message, check_fits, overloaded
from inferworks.ids import CallId


@pytest.mark.parametrize("prompt_tokens", [0, 1, 9])
def test_a_prompt_leaves_room_for_a_token(prompt_tokens: int) -> None:
    """One token less than the context is the longest prompt."""
    check_fits(prompt_tokens, 10)


@pytest.mark.parametrize("prompt_tokens", [10, 11])
def test_a_prompt_that_fills_the_context_is_refused(prompt_tokens: int) -> None:
    """The refusal is OpenAI's, with both numbers."""
    with pytest.raises(CallError) as refused:
        check_fits(prompt_tokens, 10)
    error = refused.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert error.message == (
        "This model's maximum context length is 10 tokens. However, your messages resulted in "
        f"{prompt_tokens} tokens. Please reduce the length of the messages."
    )


def test_a_call_behind_too_many_is_turned_away() -> None:
    """The caller may try again: the fault is the server's."""
    error = overloaded(3)
    assert (error.status, error.kind, error.code) == (503, "server_error", "engine_overloaded")
    assert error.message == "3 calls wait for a slot already; try again later"


def test_a_plain_request_bounds_nothing() -> None:
    """Without settings an answer may be as long as the context, one, and random."""
    request = GenerationRequest(CallId("c"), (Message("user", "hi"),), seed=1)
    assert (request.max_tokens, request.choices, request.temperature) == (None, 1, 1.0)
    assert (request.min_tokens, request.ignore_eos, request.stop) == (0, False, ())
