"""OpenAI's rules on the schema of a function or of an answer, with more for a strict one.

Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Path = tuple[str, ...]


def schema_flaw(schema: Any, *, is_strict: bool) -> str | None:
    """Return the first fault in `schema`, in OpenAI's wording; None for a good one."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind != "object":
        shown = json.dumps(kind) if isinstance(kind, str) else '"None"'
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {shown}'."
    return next(_flaws(schema, (), is_strict=is_strict), None)


def _flaws(schema: Any, path: Path, *, is_strict: bool) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    here = f"In context={path}"
    fields = schema.get("properties")
    if schema.get("type") == "object" and not isinstance(fields, Mapping) and is_strict:
        yield f"{here}, object schema missing properties."
    if schema.get("type") == "array" and "items" not in schema:
        yield f"{here}, array schema missing items."
    if is_strict and isinstance(fields, Mapping):
        if schema.get("additionalProperties") is not False:
            yield f"{here}, 'additionalProperties' is required to be supplied and to be false."
        required: Sequence[str] = schema.get("required", ())
        missing = [name for name in fields if name not in required]
        if missing:
            yield (
                f"{here}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
    for name, part, inner in _parts(schema):
        yield from _flaws(part, (*path, name, *inner), is_strict=is_strict)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Path]]:
    for name in ("properties", "$defs", "definitions"):
        for key, part in (schema.get(name) or {}).items():
            yield name, part, (key,)
    if "items" in schema:
        yield "items", schema["items"], ()
    for name in ("anyOf", "allOf", "oneOf"):
        for number, part in enumerate(schema.get(name) or ()):
            yield name, part, (str(number),)
