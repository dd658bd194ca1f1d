"""Answers that are made of blocks."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.blocks import BlocksAnswer, halves_of

ANSWER = BlocksAnswer(words=("ab", "c", "def"))
TOOL = ("find", "{}")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"words": ()}, 0),
        ({"words": ("a", "b")}, 2),
        ({"words": ("a",), "thoughts": ("x", "y")}, 3),
        ({"words": (), "tool": TOOL, "more_tools": (TOOL, TOOL)}, 3),
        ({"words": (), "more_tools": (TOOL,)}, 0),
    ],
)
def test_tokens_are_words_thoughts_and_calls(fields: dict[str, Any], expected: int) -> None:
    """Each counts as one."""
    assert BlocksAnswer(**fields).output_tokens == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("ab", ["ab"]),
        ("abc", ["ab", "c"]),
        ("abcdef", ["ab", "c", "def"]),
        ("abcdef and more", ["ab", "c", "def"]),
        ("a", ["ab"]),
    ],
)
def test_a_text_is_made_of_words(text: str, words: list[str]) -> None:
    """A text that was cut has the words that it begins with."""
    assert list(ANSWER.words_of(text)) == words


def test_an_answer_ends_for_a_reason() -> None:
    """Words that were cut come before the call of a tool, and that before the end of a turn."""
    calling = BlocksAnswer(words=ANSWER.words, tool=TOOL)
    assert ANSWER.why_it_ends(ANSWER.words) == "end_turn"
    assert calling.why_it_ends(ANSWER.words) == "tool_use"
    for answer in (ANSWER, calling):
        assert answer.why_it_ends(ANSWER.words[:2]) == "max_tokens"
    assert BlocksAnswer(words=()).why_it_ends(()) == "end_turn"


@pytest.mark.parametrize(
    ("given", "halves"),
    [
        (None, ()),
        ({}, ()),
        ({"a": 1}, ('{"a"', ": 1}")),
        ({"a": "円"}, ('{"a":', ' "円"}')),
    ],
)
def test_arguments_come_in_two_halves(given: object, halves: tuple[str, ...]) -> None:
    """No arguments are no halves."""
    assert halves_of(given) == halves
