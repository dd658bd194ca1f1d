"""Vendors' rules for a JSON Schema: for a strict one, and for any that a tool has.

OpenAI's strict schemas close every object and require every property; Anthropic's and Bedrock's close every
object and have no bounds and no recursion, whatever is required. One that is strict at one vendor may be
refused as such by another, so `strict` is sent only where it holds.

Sources: https://platform.openai.com/docs/guides/structured-outputs,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from inferworks.cloud.bodies.rewrite import read_fields
from inferworks.cloud.translate.fields import read_request

_UNKNOWN: Final = frozenset(
    {
        "contains", "dependentRequired", "dependentSchemas", "else", "exclusiveMaximum",
        "exclusiveMinimum", "if", "maxItems", "maxLength", "maxProperties", "maximum", "minLength",
        "minProperties", "minimum", "multipleOf", "not", "oneOf", "patternProperties", "prefixItems",
        "propertyNames", "then", "unevaluatedProperties", "uniqueItems",
    }
)  # fmt: skip
"""Words of JSON Schema that the modes of Anthropic and Bedrock do not know."""
_NO_ARGUMENTS: Final = msgspec.Raw(b'{"type":"object","properties":{}}')
_DEFINITIONS: Final = ("$defs", "definitions")
_NAMED: Final = frozenset({*_DEFINITIONS, "properties"})
"""Words whose value is schemas by names of the caller's own."""
_VALUES: Final = frozenset({"const", "default", "enum", "examples", "required"})
"""Words whose value is no schema."""


def is_closed(schema: Any) -> bool:
    """Return True when Anthropic and Bedrock can hold an answer, or a call, to `schema`."""
    for one in _objects(schema):
        kinds = one.get("type")
        is_object = kinds == "object" or (isinstance(kinds, list) and "object" in kinds)
        is_open = is_object and one.get("additionalProperties") is not False
        is_counted = one.get("minItems") not in (None, 0, 1)
        if is_open or is_counted or one.keys() & _UNKNOWN:
            return False
    return not _is_recursive(schema)


def is_closed_raw(schema: msgspec.Raw) -> bool:
    """The same of a schema that has not been read yet."""
    return is_closed(read_request(schema, msgspec.json.decode))


def is_strict(schema: Any) -> bool:
    """Return True when OpenAI can hold an answer, or a call, to `schema`."""
    for one in _objects(schema):
        if one.get("type") != "object" and "properties" not in one:
            continue
        properties, required = one.get("properties"), one.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        is_closed_one = one.get("additionalProperties") is False
        if not is_closed_one or any(name not in required for name in properties):
            return False
    return True


def as_object(schema: msgspec.Raw) -> msgspec.Raw:
    """A schema of a tool's, which Anthropic and Bedrock want to be one of an object, and to say so."""
    if bytes(schema) == b"null":
        return _NO_ARGUMENTS
    fields = read_request(schema, read_fields)
    if "type" in fields:
        return schema
    return msgspec.Raw(msgspec.json.encode({"type": "object", **fields}))


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within `schema`."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            yield one
            for word, value in one.items():
                if word in _NAMED and isinstance(value, dict):
                    waiting += value.values()
                elif word not in _VALUES:
                    waiting.append(value)


def _is_recursive(schema: Any) -> bool:
    """Return True when a definition refers to itself, directly or not."""
    if not isinstance(schema, dict):
        return False
    # the definitions within the root are parts of their own
    parts: dict[str, Any] = {}
    for group in _DEFINITIONS:
        inner = schema.get(group)
        if isinstance(inner, dict):
            parts |= {f"#/{group}/{name}": value for name, value in inner.items()}
    parts["#"] = {name: value for name, value in schema.items() if name not in _DEFINITIONS}
    leads = {
        name: [one["$ref"] for one in _objects(part) if isinstance(one.get("$ref"), str)]
        for name, part in parts.items()
    }
    done: set[str] = set()
    path: list[tuple[str, Iterator[str]]] = [("#", iter(leads["#"]))]
    open_names = {"#"}
    while path:
        name, rest = path[-1]
        following = next(rest, None)
        if following is None:
            path.pop()
            open_names.discard(name)
            done.add(name)
        elif following in open_names:
            return True
        elif following not in done:
            open_names.add(following)
            path.append((following, iter(leads.get(following, ()))))
    return False
