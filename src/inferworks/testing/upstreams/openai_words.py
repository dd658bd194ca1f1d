"""OpenAI's refusals: their wording, their codes, their error body.

Sources: https://platform.openai.com/docs/guides/error-codes; the words as they were reported, among
others in coroot/coroot#698 (an argument that is not known), camel-ai/camel#2215 (a string too long),
diffbot/code-gpt-docs#445 (a value that a model does not take), n8n-io/n8n#18149 (a parameter it lacks).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from inferworks.testing.upstreams.strict import Flaw, Place, Refusal, Tag, kind_of

_WORDS: Mapping[str, tuple[str, str]] = {
    "required": ("Missing required parameter: '{at}'.", "missing_required_parameter"),
    "additionalProperties": ("Unknown parameter: '{at}'.", "unknown_parameter"),
    "type": ("Invalid type for '{at}': expected {kinds}, but got {kind} instead.", "invalid_type"),
    "enum": ("Invalid value: '{value}'. Supported values are: {choices}.", "invalid_value"),
}
"""Keyword -> message and code."""
_BEYOND: Mapping[str, tuple[str, str, str, str]] = {
    "minLength": (
        "empty string", "a string with minimum length {bound}", "an empty string", "empty_string",
    ),
    "maxLength": (
        "string too long", "a string with maximum length {bound}", "a string with length {size}",
        "string_above_max_length",
    ),
    "pattern": (
        "string does not match pattern", "a string that matches the pattern '{bound}'", "'{value}'",
        "invalid_value",
    ),
    "minItems": (
        "empty array", "an array with minimum length {bound}", "an empty array", "empty_array",
    ),
    "maxItems": (
        "array too long", "an array with maximum length {bound}", "an array with length {size}",
        "array_above_max_length",
    ),
    "maxProperties": (
        "too many properties", "an object with at most {bound} properties",
        "an object with {size} properties", "object_above_max_properties",
    ),
    "maxNameLength": (
        "property name too long", "a property name with maximum length {bound}", "a longer one",
        "property_name_above_max_length",
    ),
    "minimum": (
        "{number} below minimum value", "a value >= {bound}", "{value}", "{number}_below_min_value",
    ),
    "maximum": (
        "{number} above maximum value", "a value <= {bound}", "{value}", "{number}_above_max_value",
    ),
}  # fmt: skip
"""Keyword -> the fault, the expectation, the value received, and the code."""
_KINDS: Mapping[str, str] = {
    "null": "null", "boolean": "a boolean", "integer": "an integer", "number": "a decimal",
    "string": "a string", "array": "an array", "object": "an object",
}  # fmt: skip


def worded(flaw: Flaw, *, is_older: bool) -> Refusal:
    """Return OpenAI's wording of `flaw`; older operations of older models word some differently."""
    at = written(flaw.place)
    if flaw.keyword == "additionalProperties" and is_older and len(flaw.place) == 1:
        return Refusal(f"Unrecognized request argument supplied: {at}")
    if flaw.keyword == "required" and at == "model":
        return Refusal("you must provide a model parameter")
    if flaw.keyword in _WORDS:
        message, code = _WORDS[flaw.keyword]
    else:
        wrong, expected, got, code = _BEYOND[flaw.keyword]
        message = f"Invalid '{{at}}': {wrong}. Expected {expected}, but got {got} instead."
    kinds = [kind for kind in flaw.bound if kind != "null"] if flaw.keyword == "type" else []
    facts = {
        "at": at,
        "bound": flaw.bound,
        "value": flaw.value,
        "size": len(flaw.value) if isinstance(flaw.value, str | list | dict) else 0,
        "kind": _KINDS[kind_of(flaw.value)],
        "kinds": either([_KINDS[kind] for kind in dict.fromkeys(kinds)]),
        "number": "integer" if isinstance(flaw.value, int) else "decimal",
        "choices": choices(flaw.bound) if flaw.keyword == "enum" else "",
    }
    return Refusal(message.format(**facts), at, code.format(**facts))


def written(place: Place) -> str:
    """`messages[0].content`."""
    parts = [part for part in place if not isinstance(part, Tag)]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)[1:]


def choices(values: Sequence[object]) -> str:
    """`'a', 'b', and 'c'`."""
    *first, last = [f"'{value}'" for value in values]
    if not first:
        return last
    return f"{', '.join(first)}{',' if len(first) > 1 else ''} and {last}"


def either(kinds: Sequence[str]) -> str:
    """`a string`, `one of a string or an array`."""
    return "".join(kinds) if len(kinds) <= 1 else f"one of {', '.join(kinds[:-1])} or {kinds[-1]}"


def body_of(refusal: Refusal) -> bytes:
    """OpenAI's error body."""
    error = {
        "message": refusal.message, "type": refusal.kind, "param": refusal.param, "code": refusal.code,
    }  # fmt: skip
    return json.dumps({"error": error}).encode()


def unsupported(name: str, instead: str = "") -> Refusal:
    """A parameter that the model asked for lacks."""
    other = f" Use '{instead}' instead." if instead else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{other}"
    return Refusal(message, name, "unsupported_parameter")


def only_default(name: str, value: object, default: object) -> Refusal:
    """A parameter of which the model asked for knows one value."""
    message = (
        f"Unsupported value: '{name}' does not support {json.dumps(value)} with this model. "
        f"Only the default ({json.dumps(default)}) value is supported."
    )
    return Refusal(message, name, "unsupported_value")


def not_among(name: str, value: object, model: str, supported: Sequence[str]) -> Refusal:
    """A parameter of which the model asked for knows some values."""
    message = (
        f"Unsupported value: '{value}' is not supported with the '{model}' model. "
        f"Supported values are: {choices(supported)}."
    )
    return Refusal(message, name, "unsupported_value")
