"""Faults that other gateways and engines were met with, tried here: each test names where it was told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.cloud.call import Call
from inferworks.cloud.operation import Operation
from inferworks.cloud.translate.messages_to_chat.translation import MessagesToChat
from inferworks.cloud.translate.responses_to_chat.translation import ResponsesToChat
from inferworks.errors import CallError
from inferworks.http.sse import EventSplitter, event_data
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Tokens

from .asking import asked, call_of

HELLO = {"role": "user", "content": "Hello"}
CALL = {"index": 0, "id": "c", "function": {"name": "look", "arguments": ""}}
MESSAGES = call_of(Operation.MESSAGES)
RESPONSES = call_of(Operation.RESPONSES)


def delta(**fields: Any) -> dict[str, Any]:
    """An event that adds this."""
    return {"id": "x", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def argued(text: str) -> dict[str, Any]:
    """A piece of the arguments of a call."""
    return delta(tool_calls=[{"index": 0, "function": {"arguments": text}}])


def end(reason: str) -> dict[str, Any]:
    """The end, for this reason."""
    return {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def told(translation: Any, call: Call, *events: dict[str, Any]) -> list[Any]:
    """The caller's events for a chat's."""
    stream = translation.stream(call)
    sent = [b"data: %b\n\n" % msgspec.json.encode(event) for event in events]
    out = b"".join([stream.event(event, None) for event in [*sent, b"data: [DONE]\n\n"]])
    return [msgspec.json.decode(event_data(event)) for event in EventSplitter().feed(out)]


def test_a_call_that_the_limit_has_cut_is_no_call() -> None:
    """Engines say `tool_calls` then (vllm-project/vllm#53269), and a client would run half a command."""
    events = [delta(tool_calls=[CALL]), argued('{"command": "rm -rf /tmp/'), end("tool_calls")]
    *_, message, _ = told(MessagesToChat(), MESSAGES, *events)
    assert message["delta"]["stop_reason"] == "max_tokens"
    last = told(ResponsesToChat(), RESPONSES, *events)[-1]["response"]
    assert (last["status"], last["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert last["output"][0]["status"] == "incomplete"
    *_, message, _ = told(
        MessagesToChat(), MESSAGES, *events[:-1], argued('x"}'), end("tool_calls")
    )
    assert message["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("network_error", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
        ("sensitive", "refusal"),
    ],
)
def test_ends_that_are_none_of_openais(finish: str, stop: str) -> None:
    """Zhipu writes them where its inference fails midway (BerriAI/litellm#24373): no whole answer."""
    *_, message, _ = told(MessagesToChat(), MESSAGES, delta(content="a"), end(finish))
    assert message["delta"]["stop_reason"] == stop


def test_a_message_begins_with_what_is_known_of_its_input() -> None:
    """Clients count by `message_start` alone (vercel/ai#17326); a guess is marked, the end tells all."""
    stream = MessagesToChat().stream(MESSAGES)
    guess = ReportedUsage(Tokens(input=11, output=1), is_estimate=True)
    events = stream.event(b"data: %b\n\n" % msgspec.json.encode(delta(content="a")), guess)
    begun = msgspec.json.decode(event_data(EventSplitter().feed(events)[0]))["message"]["usage"]
    assert (begun["input_tokens"], begun["estimated"]) == (11, True)
    end_told = stream.event(b"data: [DONE]\n\n", ReportedUsage(Tokens(input=9, output=3)))
    ended = [msgspec.json.decode(event_data(e)) for e in EventSplitter().feed(end_told)][-2][
        "usage"
    ]
    assert (ended["input_tokens"], ended["output_tokens"], "estimated" in ended) == (9, 3, False)


def test_words_in_the_same_event_as_a_thought_are_kept() -> None:
    """The first words behind the thoughts were lost (BerriAI/litellm#30765)."""
    events = [
        delta(reasoning_content="Hm"),
        delta(reasoning_content=".", content="One"),
        delta(content=" two"),
        end("stop"),
    ]
    every = told(MessagesToChat(), MESSAGES, *events)
    deltas = [event["delta"] for event in every if event["type"] == "content_block_delta"]
    assert "".join(d.get("thinking", "") for d in deltas) == "Hm."
    assert "".join(d.get("text", "") for d in deltas) == "One two"


def test_arguments_without_an_id_are_told_as_they_come() -> None:
    """Only the first piece of a call has one (BerriAI/litellm#20711); and none is told at the end alone."""
    events = [delta(tool_calls=[CALL]), argued('{"a":'), argued("1}"), end("tool_calls")]
    pieces = [
        event["delta"]
        for event in told(ResponsesToChat(), RESPONSES, *events)
        if event["type"] == "response.function_call_arguments.delta"
    ]
    assert pieces == ['{"a":', "1}"]


def test_a_call_that_comes_whole_with_the_end() -> None:
    """All of it in one event, the reason too (BerriAI/litellm#25561)."""
    function = {"name": "look", "arguments": '{"a": 1}'}
    whole = delta(tool_calls=[{"index": 0, "id": "c", "function": function}])
    whole["choices"][0]["finish_reason"] = "tool_calls"
    events = told(MessagesToChat(), MESSAGES, whole)
    pieces = [e["delta"].get("partial_json") for e in events if e["type"] == "content_block_delta"]
    assert pieces == ['{"a": 1}']


def test_a_turn_without_words_is_no_turn() -> None:
    """Clients send back an assistant's turn that said nothing (tashfeenahmed/freellmapi#165)."""
    silent = [{"role": "assistant", "content": None}, {"role": "assistant", "content": ""}]
    body, _ = asked(Operation.CHAT, Operation.MESSAGES, messages=[HELLO, *silent, HELLO])
    assert body["messages"] == [HELLO, HELLO]


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": "a", "tool_calls": [{"id": "c", "type": "function"}]},
        {"role": "user", "content": "a", "tool_call_id": "c"},
    ],
)
def test_turns_in_openais_words_are_refused(turn: dict[str, Any]) -> None:
    """Calls in OpenAI's words were left out and the rest was asked and paid (theopenco/llmgateway#3555)."""
    with pytest.raises(CallError, match=r"messages\[1\].*is a field of OpenAI's") as caught:
        asked(Operation.MESSAGES, Operation.CHAT, messages=[HELLO, turn, HELLO])
    assert caught.value.status == 400
