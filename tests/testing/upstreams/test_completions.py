"""OpenAI's older completions, without a server around them."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.completions import COMPLETIONS
from inferworks.testing.upstreams.script import Answer, Reports

ANSWER = Answer(words=("a", "b", "c"), input_tokens=7)


def asked(**fields: object) -> dict[str, Any]:
    """A request with a model and a prompt."""
    return {"model": "m", "prompt": "hi", **fields}


def usage(completion: int) -> dict[str, int]:
    """The usage of a completion that has read seven tokens."""
    return {"prompt_tokens": 7, "completion_tokens": completion, "total_tokens": 7 + completion}


@pytest.mark.parametrize(
    ("fields", "copies"),
    [
        ({}, 1),
        ({"n": 2}, 2),
        ({"prompt": ["hi", "ho"]}, 2),
        ({"prompt": ["hi", "ho"], "n": 3}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
    ],
)
def test_each_prompt_is_completed_as_often_as_asked(fields: dict[str, Any], copies: int) -> None:
    """A list of tokens is one prompt; usage counts every copy, whole or streamed."""
    body = COMPLETIONS.whole(ANSWER, asked(**fields))
    assert [one["index"] for one in body["choices"]] == list(range(copies))
    assert {one["text"] for one in body["choices"]} == {"abc"}
    assert body["usage"] == usage(3 * copies)
    *events, last = COMPLETIONS.events(
        ANSWER, asked(**fields, stream_options={"include_usage": True})
    )
    assert (last["choices"], last["usage"]) == ([], body["usage"])
    indexes = [event["choices"][0]["index"] for event in events]
    assert indexes == [index for index in range(copies) for _ in range(3)]


@pytest.mark.parametrize(
    ("limit", "text", "reason"), [(None, "abc", "stop"), (3, "abc", "stop"), (1, "a", "length")]
)
def test_the_last_word_has_the_reason(limit: int | None, text: str, reason: str) -> None:
    """A stream is the text of the whole, a word each, and the reason comes once."""
    (choice,) = COMPLETIONS.whole(ANSWER, asked(max_tokens=limit))["choices"]
    assert (choice["text"], choice["finish_reason"]) == (text, reason)
    streamed = [e["choices"][0] for e in COMPLETIONS.events(ANSWER, asked(max_tokens=limit))]
    assert [one["text"] for one in streamed] == list(text)
    assert [one["finish_reason"] for one in streamed] == [None] * (len(text) - 1) + [reason]


@pytest.mark.parametrize(
    ("reports", "options", "expected"),
    [
        (Reports.AS_ASKED, {}, [None] * 3),
        (Reports.AS_ASKED, {"include_usage": True}, [None, None, None, 3]),
        (Reports.AS_ASKED, {"include_usage": True, "continuous_usage_stats": True}, [1, 2, 3, 3]),
        (Reports.ZERO, {"include_usage": True}, [None, None, None, 0]),
        (Reports.NEVER, {"include_usage": True}, [None] * 3),
    ],
)
def test_usage_in_a_stream(
    reports: Reports, options: dict[str, bool], expected: list[int | None]
) -> None:
    """Usage comes at the end on request, with every word, or never."""
    answer = Answer(words=("a", "b", "c"), reports=reports)
    events = COMPLETIONS.events(answer, asked(stream_options=options))
    assert [event.get("usage", {}).get("completion_tokens") for event in events] == expected


def test_usage_may_be_missing() -> None:
    """A whole answer of an upstream that reports never has none."""
    assert "usage" not in COMPLETIONS.whole(Answer(reports=Reports.NEVER), asked())
