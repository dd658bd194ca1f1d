"""Validation errors of a request's JSON, in OpenAI's words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from inferworks.api.wire.validation_errors import NOT_JSON, invalid
from inferworks.errors import CallError


class Colour(StrEnum):
    """A choice."""

    RED = "red"


class Inner(msgspec.Struct):
    """An object within."""

    name: str


class RequestInfo(msgspec.Struct):
    """A request with a field of each kind."""

    model: str
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] = 1
    heat: Annotated[float, Meta(ge=0, le=2)] = 1.0
    words: Annotated[list[str], Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=list
    )
    title: Annotated[str, Meta(min_length=1, max_length=3)] = "x"
    colour: Colour = Colour.RED
    inner: Inner | None = None
    map: dict[str, int] = {}


def refusal(**fields: Any) -> CallError:
    """The refusal of a request with these fields."""
    body = msgspec.json.encode({"model": "m", **fields})
    with pytest.raises(msgspec.ValidationError) as complaint:
        msgspec.json.decode(body, type=RequestInfo)
    return invalid(str(complaint.value))


@pytest.mark.parametrize(
    ("fields", "message", "code", "param"),
    [
        (
            {"stop": 5},
            "Invalid type for 'stop': expected a string or an array, but got an integer instead.",
            "invalid_type", "stop",
        ),
        ({"model": None}, "Invalid type for 'model': expected a string, but got null instead.",
         "invalid_type", "model"),
        ({"n": 0}, "Invalid 'n': integer below minimum value. Expected a value >= 1.",
         "integer_below_min_value", "n"),
        ({"n": 129}, "Invalid 'n': integer above maximum value. Expected a value <= 128.",
         "integer_above_max_value", "n"),
        ({"heat": 2.5}, "Invalid 'heat': decimal above maximum value. Expected a value <= 2.",
         "decimal_above_max_value", "heat"),
        ({"words": []}, "Invalid 'words': empty array. Expected an array with minimum length 1.",
         "empty_array", "words"),
        ({"words": ["a"] * 3},
         "Invalid 'words': array too long. Expected an array with maximum length 2.",
         "array_above_max_length", "words"),
        ({"title": "long"}, "Invalid 'title': string too long. Expected a string with maximum length 3.",
         "string_above_max_length", "title"),
        ({"colour": "blue"}, "Invalid value for 'colour': 'blue' is not known.",
         "invalid_value", "colour"),
        ({"inner": {}}, "Missing required parameter: 'inner.name'.",
         "missing_required_parameter", "inner.name"),
        ({"stop": [1]}, "Invalid type for 'stop[0]': expected a string, but got an integer instead.",
         "invalid_type", "stop[0]"),
    ],
)  # fmt: skip
def test_complaints(fields: dict[str, Any], message: str, code: str, param: str) -> None:
    """As api.openai.com says them, with code and parameter."""
    error = refusal(**fields)
    assert (error.status, str(error), error.code, error.param) == (400, message, code, param)


def test_a_body_that_is_no_object_is_no_json_of_ours() -> None:
    """A list where an object belongs has no parameter to name."""
    with pytest.raises(msgspec.ValidationError) as complaint:
        msgspec.json.decode(b"[]", type=RequestInfo)
    assert str(invalid(str(complaint.value))) == NOT_JSON
    huge = invalid("Number out of range - at `$.heat`")
    assert (str(huge), huge.param) == ("Invalid value for 'heat': number out of range.", "heat")
    missing = invalid("Object missing required field `model`")
    assert (missing.param, missing.code) == ("model", "missing_required_parameter")


def test_a_value_that_looks_like_a_place_is_none() -> None:
    """A caller's value stands before the place, and is cut where it is long."""
    error = refusal(colour="x - at `$.model`")
    assert error.param == "colour"
    assert len(str(refusal(colour="y" * 10_000))) < 200


@settings(max_examples=20)
@given(st.text())
def test_every_complaint_has_a_refusal(text: str) -> None:
    """A status and a message are given, whatever the decoder says."""
    error = invalid(text)
    assert error.status == 400
    assert str(error)
