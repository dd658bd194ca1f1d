"""Vendors' rules for a JSON Schema."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.cloud.translate.schemas import as_object, is_closed, is_closed_raw, is_strict
from inferworks.errors import CallError

OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
WHOLE = {**OPEN, "additionalProperties": False}
RECURSIVE = {
    **WHOLE,
    "properties": {"a": {"$ref": "#/$defs/node"}},
    "$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
}


def within(schema: dict[str, Any]) -> dict[str, Any]:
    """A closed object that has `schema` as its only property."""
    return {**WHOLE, "properties": {"a": schema}}


@pytest.mark.parametrize(
    "schema",
    [
        WHOLE,
        within({"type": "array", "items": WHOLE, "minItems": 1}),
        {"anyOf": [{"type": "null"}, WHOLE]},
        within({"enum": [{"type": "object"}]}),
        {**within({"$ref": "#/$defs/leaf"}), "$defs": {"leaf": {"type": "string"}}},
        {**WHOLE, "properties": {"maximum": {"type": "integer"}}},
        {"type": "string"},
        True,
    ],
)
def test_closed_schemas(schema: Any) -> None:
    """Objects that close; words as names and values are no words; a reference that ends."""
    assert is_closed(schema)
    assert is_closed_raw(msgspec.Raw(msgspec.json.encode(schema)))


@pytest.mark.parametrize(
    "schema",
    [
        OPEN,
        {"type": ["object", "null"]},
        within(OPEN),
        within({"type": "integer", "maximum": 3}),
        within({"type": "array", "minItems": 2}),
        {"oneOf": [{"type": "string"}]},
        RECURSIVE,
        {**WHOLE, "properties": {"a": {"$ref": "#"}}},
        {"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"},
                                                    "b": {"$ref": "#/definitions/a"}}},
    ],
)  # fmt: skip
def test_schemas_that_are_not_closed(schema: Any) -> None:
    """Open objects at any depth, bounds that the modes do not know, and recursion by any way."""
    assert not is_closed(schema)


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (WHOLE, True),
        (RECURSIVE, True),
        ({"type": "integer", "maximum": 3}, True),
        (OPEN, False),
        ({**WHOLE, "required": []}, False),
        ({**WHOLE, "required": "a"}, False),
        ({"properties": {"a": {}}, "additionalProperties": False}, False),
        (within({**WHOLE, "required": []}), False),
        ({"type": "object"}, False),
    ],
)
def test_strict_schemas(schema: Any, strict: bool) -> None:
    """OpenAI closes every object and requires each property, and takes bounds and recursion."""
    assert is_strict(schema) is strict


def test_a_tools_schema_is_that_of_an_object() -> None:
    """A missing one has no arguments; one that says a type is not touched, to the byte."""
    assert msgspec.json.decode(as_object(msgspec.Raw(b"null"))) == {
        "type": "object", "properties": {},
    }  # fmt: skip
    kept = msgspec.Raw(b'{ "type":"object" }')
    assert as_object(kept) is kept
    told = as_object(msgspec.Raw(b'{"properties":{"a":{}}}'))
    assert msgspec.json.decode(told) == {"type": "object", "properties": {"a": {}}}


def test_a_schema_that_is_no_object_is_the_callers_fault() -> None:
    """A list cannot be the schema of a tool's arguments."""
    with pytest.raises(CallError, match="cannot be read"):
        as_object(msgspec.Raw(b"[]"))
