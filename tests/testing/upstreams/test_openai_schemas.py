"""OpenAI's rules on schemas, one fault at a time."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.testing.upstreams.openai_schemas import schema_flaw


def thing(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A strict schema of an object that has all of its fields."""
    strict = {"required": list(fields), "additionalProperties": False}
    return {"type": "object", "properties": fields, **strict, **more}


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({}, '"None"'),
        (None, '"None"'),
        ([], '"None"'),
        ({"type": ["object"]}, '"None"'),
        (TEXT, '"string"'),
        ({"type": "array", "items": TEXT}, '"array"'),
    ],
)
@pytest.mark.parametrize("is_strict", [True, False])
def test_a_schema_is_of_an_object(schema: Any, shown: str, is_strict: bool) -> None:
    """Another type is named, and one that is no name is None."""
    assert schema_flaw(schema, is_strict=is_strict) == (
        f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {shown}'."
    )


CLOSED = "'additionalProperties' is required to be supplied and to be false."
EVERY = (
    "'required' is required to be supplied and to be an array including every key in properties. "
    "Missing '{}'."
)
STRICT: dict[str, tuple[dict[str, Any], str]] = {
    "no fields": ({"type": "object"}, "(), object schema missing properties."),
    "an open object": ({"type": "object", "properties": {}}, f"(), {CLOSED}"),
    "an object open to texts": (thing({}, additionalProperties=TEXT), f"(), {CLOSED}"),
    "a field that may be missing": (
        thing({"a": TEXT, "b": TEXT}, required=["a"]),
        f"(), {EVERY.format('b')}",
    ),
    "none that is required": (
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": False},
        f"(), {EVERY.format('a')}",
    ),
    "an object within": (
        thing({"a": {"type": "object"}}),
        "('properties', 'a'), object schema missing properties.",
    ),
    "an object in an array": (
        thing({"a": {"type": "array", "items": {"type": "object"}}}),
        "('properties', 'a', 'items'), object schema missing properties.",
    ),
    "an object among others": (
        thing({"a": {"anyOf": [TEXT, {"type": "object"}]}}),
        "('properties', 'a', 'anyOf', '1'), object schema missing properties.",
    ),
    "a definition": (
        thing({}, **{"$defs": {"x": {"type": "object"}}}),
        "('$defs', 'x'), object schema missing properties.",
    ),
}


@pytest.mark.parametrize(("schema", "flaw"), STRICT.values(), ids=STRICT.keys())
def test_a_strict_schema_leaves_nothing_open(schema: dict[str, Any], flaw: str) -> None:
    """Every object at any depth has its fields, all of them required; else such a schema will do."""
    assert schema_flaw(schema, is_strict=True) == f"In context={flaw}"
    assert schema_flaw(schema, is_strict=False) is None


@pytest.mark.parametrize("is_strict", [True, False])
def test_an_array_has_items(is_strict: bool) -> None:
    """The rule holds for schemas that are not strict too, at any depth."""
    schema = thing({"a": {"allOf": [{"type": "array"}]}})
    assert schema_flaw(schema, is_strict=is_strict) == (
        "In context=('properties', 'a', 'allOf', '0'), array schema missing items."
    )


@pytest.mark.parametrize(
    "schema",
    [
        thing({}),
        thing({"a": TEXT, "b": {"type": "array", "items": thing({"c": TEXT})}}),
        thing({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": thing({"b": TEXT})}}),
        thing({"a": {"type": ["object", "null"]}, "b": True}),
        thing({"a": {"type": "array", "items": None}}, anyOf=None, definitions=None),
    ],
)
def test_a_good_schema_has_no_flaw(schema: dict[str, Any]) -> None:
    """Parts that are no objects are passed over."""
    assert schema_flaw(schema, is_strict=True) is None
    assert schema_flaw(schema, is_strict=False) is None
