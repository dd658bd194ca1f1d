"""OpenAI's wording of refusals, as its users have reported it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferworks.testing.upstreams.openai_words import (
    body_of,
    choices,
    either,
    not_among,
    only_default,
    unsupported,
    worded,
    written,
)
from inferworks.testing.upstreams.strict import Flaw, Refusal, Tag

AT = ("messages", 0, "content")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((), ""),
        (("model",), "model"),
        (AT, "messages[0].content"),
        (("a", Tag("user"), 1, Tag("text"), "b"), "a[1].b"),
        (("a", 0, 1), "a[0][1]"),
    ],
)
def test_a_place_is_written_without_its_tags(place: Any, expected: str) -> None:
    """Indexes stand in brackets, names behind dots; the member of a union is not named."""
    assert written(place) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a"], "'a'"),
        (["a", "b"], "'a' and 'b'"),
        (["a", "b", "c"], "'a', 'b', and 'c'"),
        ([1, None], "'1' and 'None'"),
    ],
)
def test_choices_are_quoted_and_joined(values: list[object], expected: str) -> None:
    """A comma stands before the last one only where there are three or more."""
    assert choices(values) == expected


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], ""),
        (["a string"], "a string"),
        (["a string", "an array"], "one of a string or an array"),
        (["a", "b", "c"], "one of a, b or c"),
    ],
)
def test_kinds_are_alternatives(kinds: list[str], expected: str) -> None:
    """A single kind is named by itself."""
    assert either(kinds) == expected


@pytest.mark.parametrize(
    ("flaw", "message", "code"),
    [
        (
            Flaw("required", ("messages",)),
            "Missing required parameter: 'messages'.",
            "missing_required_parameter",
        ),
        (
            Flaw("additionalProperties", AT),
            "Unknown parameter: 'messages[0].content'.",
            "unknown_parameter",
        ),
        (
            Flaw("type", ("n",), ("integer", "null"), "x"),
            "Invalid type for 'n': expected an integer, but got a string instead.",
            "invalid_type",
        ),
        (
            Flaw("type", AT, ("string", "array", "string"), 1.5),
            (
                "Invalid type for 'messages[0].content': expected one of a string or an array, "
                "but got a decimal instead."
            ),
            "invalid_type",
        ),
        (
            Flaw("type", ("n",), ("integer",), None),
            "Invalid type for 'n': expected an integer, but got null instead.",
            "invalid_type",
        ),
        (
            Flaw("enum", ("role",), ("user", "tool"), "king"),
            "Invalid value: 'king'. Supported values are: 'user' and 'tool'.",
            "invalid_value",
        ),
        (
            Flaw("minLength", ("input",), 1, ""),
            (
                "Invalid 'input': empty string. Expected a string with minimum length 1, "
                "but got an empty string instead."
            ),
            "empty_string",
        ),
        (
            Flaw("maxLength", ("user",), 3, "four"),
            (
                "Invalid 'user': string too long. Expected a string with maximum length 3, "
                "but got a string with length 4 instead."
            ),
            "string_above_max_length",
        ),
        (
            Flaw("pattern", ("name",), "^a$", "b"),
            (
                "Invalid 'name': string does not match pattern. Expected a string that matches the pattern "
                "'^a$', but got 'b' instead."
            ),
            "invalid_value",
        ),
        (
            Flaw("minItems", ("stop",), 1, []),
            (
                "Invalid 'stop': empty array. Expected an array with minimum length 1, "
                "but got an empty array instead."
            ),
            "empty_array",
        ),
        (
            Flaw("maxItems", ("stop",), 4, ["a"] * 5),
            (
                "Invalid 'stop': array too long. Expected an array with maximum length 4, "
                "but got an array with length 5 instead."
            ),
            "array_above_max_length",
        ),
        (
            Flaw("maxProperties", ("metadata",), 1, {"a": 1, "b": 2}),
            (
                "Invalid 'metadata': too many properties. Expected an object with at most 1 properties, "
                "but got an object with 2 properties instead."
            ),
            "object_above_max_properties",
        ),
        (
            Flaw("minimum", ("n",), 1, 0),
            "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "integer_below_min_value",
        ),
        (
            Flaw("maximum", ("top_p",), 1, 1.5),
            "Invalid 'top_p': decimal above maximum value. Expected a value <= 1, but got 1.5 instead.",
            "decimal_above_max_value",
        ),
    ],
    ids=lambda value: value.keyword if isinstance(value, Flaw) else "",
)
def test_each_flaw_has_its_words(flaw: Flaw, message: str, code: str) -> None:
    """Place, demand and value stand in the message, and the place is its parameter."""
    at = written(flaw.place)
    assert worded(flaw, is_older=False) == Refusal(message, at, code)


def test_a_missing_model_has_words_of_its_own() -> None:
    """The refusal names neither a parameter nor a code."""
    assert worded(Flaw("required", ("model",)), is_older=False) == Refusal(
        "you must provide a model parameter"
    )


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("top_k",), "Unrecognized request argument supplied: top_k"),
        (AT, "Unknown parameter: 'messages[0].content'."),
    ],
)
def test_older_operations_word_an_unknown_argument_differently(place: Any, message: str) -> None:
    """Only at the top of a request: within it both say the same."""
    assert worded(Flaw("additionalProperties", place), is_older=True).message == message


def test_what_a_model_lacks_is_named() -> None:
    """A parameter, its value, or the values there are; a replacement where there is one."""
    assert unsupported("max_tokens").message == (
        "Unsupported parameter: 'max_tokens' is not supported with this model."
    )
    instead = unsupported("max_tokens", "max_completion_tokens")
    assert instead.message.endswith("with this model. Use 'max_completion_tokens' instead.")
    assert (instead.param, instead.code) == ("max_tokens", "unsupported_parameter")
    assert only_default("temperature", 0.5, 1) == Refusal(
        "Unsupported value: 'temperature' does not support 0.5 with this model. "
        "Only the default (1) value is supported.",
        "temperature",
        "unsupported_value",
    )
    assert not_among("reasoning_effort", "none", "o3", ["low", "high"]) == Refusal(
        "Unsupported value: 'none' is not supported with the 'o3' model. "
        "Supported values are: 'low' and 'high'.",
        "reasoning_effort",
        "unsupported_value",
    )


def test_the_error_body_has_all_four_fields() -> None:
    """A refusal without a parameter and a code has both as null."""
    assert json.loads(body_of(Refusal("no", kind="server_error"))) == {
        "error": {"message": "no", "type": "server_error", "param": None, "code": None}
    }
