"""Completions by way of chats: what is refused, and what a stream shows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.support.translations import PutBack

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.completions_to_chat import CompletionsToChat
from inferworks.errors import CallError, UpstreamError
from inferworks.ids import CallId, ModelId


def call_of(*, wants_usage: bool = True, **change: Any) -> Call:
    """A call of `completions`."""
    body = json.dumps({"model": "m", "prompt": "Hi", **change}).encode()
    return Call(CallId("call_1"), Operation.COMPLETIONS, ModelId("m"), False, wants_usage, body)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 0}, "logprobs"),
    ],
)
def test_what_a_chat_cannot_do_is_refused(change: dict[str, Any], param: str) -> None:
    """One line says what and where."""
    with pytest.raises(CallError) as caught:
        CompletionsToChat().ask(call_of(**change))
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_default_limit() -> None:
    """Without a limit it is the one of completions, not the one of chats."""
    limits = [
        msgspec.json.decode(CompletionsToChat().ask(call).body)["max_tokens"]
        for call in (call_of(), call_of(max_tokens=None), call_of(max_tokens=100))
    ]
    assert limits == [16, 16, 100]


@pytest.mark.parametrize("wanted", [False, True])
def test_usage_is_shown_to_those_who_asked(wanted: bool) -> None:
    """Usage is always asked of the upstream, and passed on if the client wants to see it."""
    stream = PutBack(CompletionsToChat(), call_of(wants_usage=wanted))
    event = b'data: {"choices":[],"usage":{"prompt_tokens":3,\ndata: "completion_tokens":4}}\n\n'
    assert stream.event(event) == b""
    assert stream.event(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n') == b""
    assert stream.event(b": ping\n\n") == b": ping\n\n"
    shown, done, _ = stream.event(b"data: [DONE]\n\n").rpartition(b"data: [DONE]\n\n")
    assert done
    assert (b'"usage":{"prompt_tokens":3,"completion_tokens":4,' in shown) is wanted


def test_an_unreadable_event() -> None:
    """An event that is none of a chat fails the attempt."""
    with pytest.raises(UpstreamError):
        PutBack(CompletionsToChat(), call_of()).event(b"data: {\n\n")
