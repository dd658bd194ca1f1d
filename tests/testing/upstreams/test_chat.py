"""OpenAI's chat completions, without a server around them."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.chat import CHAT
from inferworks.testing.upstreams.script import Answer, Reports

WORDS = ("a", "b", "c")
ANSWER = Answer(words=WORDS, input_tokens=7)
TOOL = ("find", '{"x": 1}')


def asked(**fields: object) -> dict[str, Any]:
    """A request with a model."""
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


def told(**options: bool) -> dict[str, Any]:
    """A request for a stream with such options."""
    return asked(stream=True, stream_options=options)


def usage(completion: int) -> dict[str, int]:
    """The usage of a chat that has read seven tokens."""
    return {"prompt_tokens": 7, "completion_tokens": completion, "total_tokens": 7 + completion}


@pytest.mark.parametrize(
    ("limits", "text", "reason"),
    [
        ({}, "abc", "stop"),
        ({"max_tokens": 3}, "abc", "stop"),
        ({"max_tokens": 2}, "ab", "length"),
        ({"max_tokens": 3, "max_completion_tokens": 1}, "a", "length"),
    ],
)
def test_a_whole_answer_is_cut_by_the_limit(limits: dict[str, int], text: str, reason: str) -> None:
    """The newer name of the limit wins, and usage counts the words that are left."""
    body = CHAT.whole(ANSWER, asked(**limits))
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
    assert (choice["finish_reason"], choice["logprobs"]) == (reason, None)
    assert (body["object"], body["model"]) == ("chat.completion", "m")
    assert body["usage"] == usage(len(text))


@pytest.mark.parametrize("words", [WORDS, ()])
def test_a_stream_says_what_the_whole_says(words: tuple[str, ...]) -> None:
    """First the role, then a word each, then the reason alone."""
    answer = Answer(words=words)
    events = list(CHAT.events(answer, asked(stream=True)))
    deltas = [event["choices"][0]["delta"] for event in events]
    assert deltas == [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in words),
        {},
    ]
    reasons = [event["choices"][0]["finish_reason"] for event in events]
    assert reasons == [None] * (len(words) + 1) + ["stop"]
    assert (
        "".join(delta.get("content", "") for delta in deltas)
        == (CHAT.whole(answer, asked())["choices"][0]["message"]["content"])
    )


@pytest.mark.parametrize(
    ("reports", "options", "expected"),
    [
        (Reports.AS_ASKED, {}, ["absent"] * 5),
        (Reports.AS_ASKED, {"include_usage": True}, [None] * 5 + [3]),
        (Reports.NEVER, {"include_usage": True}, ["absent"] * 5),
        (Reports.ALWAYS, {}, ["absent"] * 4 + [3]),
        (Reports.ALWAYS, {"include_usage": True}, [None] * 4 + [3]),
        (Reports.ZERO, {"include_usage": True}, [None] * 5 + [0]),
        (
            Reports.AS_ASKED,
            {"include_usage": True, "continuous_usage_stats": True},
            [0, 1, 2, 3, 3, 3],
        ),
        (Reports.AS_ASKED, {"continuous_usage_stats": True}, ["absent"] * 5),
    ],
)
def test_usage_in_a_stream(
    reports: Reports, options: dict[str, bool], expected: list[object]
) -> None:
    """Null before a last event without choices, on request; within every event; or never."""
    answer = Answer(words=WORDS, reports=reports)
    events = list(CHAT.events(answer, told(**options)))
    given = [event.get("usage", "absent") for event in events]
    assert [one["completion_tokens"] if isinstance(one, dict) else one for one in given] == expected
    assert [len(event["choices"]) for event in events[:5]] == [1] * 5
    assert [event["choices"] for event in events[5:]] == [[]] * (len(expected) - 5)


def test_an_answer_that_reports_never_has_no_usage() -> None:
    """A whole body lacks the field."""
    assert "usage" not in CHAT.whole(Answer(reports=Reports.NEVER), asked())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_choices_are_the_same_answer(n: int) -> None:
    """Each has its index, and usage counts them all, whole or streamed."""
    body = CHAT.whole(ANSWER, asked(n=n))
    assert [choice["index"] for choice in body["choices"]] == list(range(n))
    assert body["usage"] == usage(3 * n)
    *events, last = CHAT.events(ANSWER, {**told(include_usage=True), "n": n})
    assert last["usage"] == body["usage"]
    assert [event["choices"][0]["index"] for event in events] == [
        index for index in range(n) for _ in range(5)
    ]


def test_a_tool_is_called_after_the_words() -> None:
    """The name comes first, then the arguments in two halves; each piece is a token."""
    answer = Answer(
        words=(), tool=TOOL, more_tools=(("add", "{}"),), calls_before=1, input_tokens=7
    )
    body = CHAT.whole(answer, asked())
    (choice,) = body["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    calls = choice["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_abc123_1", "call_abc123_2"]
    assert [tuple(call["function"].values()) for call in calls] == [TOOL, ("add", "{}")]
    *events, last = CHAT.events(answer, told(include_usage=True))
    pieces = [
        piece for event in events for piece in event["choices"][0]["delta"].get("tool_calls", ())
    ]
    assert [(piece["index"], piece.get("id")) for piece in pieces] == [
        (0, "call_abc123_1"), (0, None), (0, None), (1, "call_abc123_2"), (1, None), (1, None),
    ]  # fmt: skip
    assert [piece["function"]["arguments"] for piece in pieces] == [
        "", '{"x"', ": 1}", "", "{", "}",
    ]  # fmt: skip
    assert last["usage"] == body["usage"] == usage(6)


def test_a_limit_ends_an_answer_before_its_tool_does() -> None:
    """The reason is the length where words were cut, and words beside a tool are kept."""
    answer = Answer(words=WORDS, tool=TOOL)
    assert CHAT.whole(answer, asked(max_tokens=1))["choices"][0]["finish_reason"] == "length"
    (choice,) = CHAT.whole(answer, asked())["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "abc")


def test_log_probabilities_on_request() -> None:
    """One for each token, with its bytes; in a stream beside its word."""
    answer = Answer(words=("ü",))
    entry = {"token": "ü", "bytes": [0xC3, 0xBC], "logprob": -0.125, "top_logprobs": []}
    expected = {"content": [entry], "refusal": None}
    (choice,) = CHAT.whole(answer, asked(logprobs=True))["choices"]
    assert choice["logprobs"] == expected
    streamed = [e["choices"][0]["logprobs"] for e in CHAT.events(answer, asked(logprobs=True))]
    assert streamed == [None, expected, None]


def test_details_of_usage_where_the_script_has_them() -> None:
    """Cached and reasoning tokens are told even when they are none."""
    body = CHAT.whole(Answer(cached_tokens=0, reasoning_tokens=2), asked())
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "audio_tokens": 0}
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert len(CHAT.whole(Answer(), asked())["usage"]) == 3


def test_a_capable_model_calls_the_tool_it_is_told_to() -> None:
    """The script's words give way to the tool of the request, whole or streamed."""
    function = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
    request = asked(
        tools=[{"type": "function", "function": function}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    answer = Answer(is_able=True)
    message = CHAT.whole(answer, request)["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather"]
    last = list(CHAT.events(answer, request))[-1]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
