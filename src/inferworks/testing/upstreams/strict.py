"""Checks of a request against a vendor's type, taken from its own Python package, and published bounds.

The type is a file of `types/`, a JSON Schema that `tools/write_types.py` writes from the vendor's package;
constraints that such types lack (lengths, ranges, patterns) stand in tables of `Bound`, each with its
source. `flaw_of` finds the first fault and names it by the keyword of JSON Schema that it breaks; each
vendor has a table of its wording, and functions for rules that no type can express: the order of messages,
and parameters that a family of models does not take.

A library for JSON Schema would report that no member of a union fits; a vendor looks at `type` or `role`
first and reports the fault in the member that was meant. For that reason, and for bounds found by the place
of a field, the few keywords that the types use are checked here. Each part of a request is looked at once,
but for unions of arrays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]


class Tag(str):
    """Member of a union that was meant, as part of a place. Only some vendors name it."""

    __slots__ = ()


class Bound(msgspec.Struct, frozen=True, eq=False):
    """Constraint on a field that its type lacks."""

    path: str
    """Path with `[]` for each member of an array and `*` for any name: `tools[].function.name`."""
    limits: Mapping[str, Any]
    """Limits by keyword of JSON Schema; beside those, `maxNameLength` of the names in an object, and
    `isOpen`, of an object whose unknown fields pass.
    """
    source: str


class RequestType(msgspec.Struct, frozen=True):
    """Type of the requests of one operation of one vendor."""

    schema: Schema
    definitions: Mapping[str, Schema]
    bounds: Mapping[str, Mapping[str, Any]]
    """Bounds by path."""
    is_open: bool = False
    """Fields that are not known pass, as they do at engines that one runs oneself."""


class Flaw(msgspec.Struct, frozen=True):
    """The first thing that is wrong with a request."""

    keyword: str
    """Keyword of JSON Schema: `required`, `additionalProperties`, `type`, `enum`, `maxLength`, ..."""
    place: Place
    """Place of the field that is wrong, missing or too many."""
    bound: Any = None
    """Demand of the keyword; for `type` the kinds that would do."""
    value: Any = None


class Refusal(msgspec.Struct, frozen=True):
    """Refusal of a vendor, in its wording."""

    message: str
    param: str | None = None
    code: str | int | None = None
    status: int = 400
    kind: str = "invalid_request_error"


@cache
def request_type(
    name: str, bounds: tuple[Bound, ...] = (), *, is_open: bool = False
) -> RequestType:
    """Return the type in the file `name`, with the additions of the tables."""
    schema = _file(name)
    merged: dict[str, dict[str, Any]] = {}
    for bound in bounds:
        merged.setdefault(bound.path, {}).update(bound.limits)
    return RequestType(schema, schema["$defs"], merged, is_open)


@cache
def _file(name: str) -> Schema:
    text = files(__package__).joinpath("types", f"{name}.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    if "within" not in schema:
        return schema
    whole = _file(schema["within"])
    fields = {field: whole["properties"][field] for field in schema["properties"]}
    return {**schema, "properties": fields, "$defs": whole["$defs"]}


def flaw_of(request: object, kind: RequestType) -> Flaw | None:
    """The first thing that is wrong with `request`, None when nothing is."""
    return _Check(kind).look(request, kind.schema, (), "")


class _Check(NamedTuple):
    kind: RequestType

    def look(self, value: Any, schema: Schema, place: Place, path: str) -> Flaw | None:
        """The first flaw of `value` at `place`, which the tables call `path`."""
        members = list(self._members(schema))
        kind = kind_of(value)
        fits = {None, kind, "number"} if kind == "integer" else {None, kind}
        fitting: Sequence[Schema] = [one for one in members if one.get("type") in fits]
        if not fitting:
            kinds = [member.get("type", "object") for member in members]
            return Flaw("type", place, kinds, value)
        if isinstance(value, dict) and len(fitting) > 1:
            # the field by which they can be told apart
            tags = ("type", "role", "mode")
            tag = next((name for name in tags if all(_const(one, name) for one in fitting)), None)
            if tag is not None:
                fitting, flaw = _meant(value, fitting, tag, place)
                if flaw is not None:
                    return flaw
                if tag == "type":
                    place = (*place, Tag(_const(fitting[0], tag)))
        flaws = []
        for member in fitting:
            flaw = self._within(value, member, place, path)
            if flaw is None:
                return None
            flaws.append(flaw)
        return max(flaws, key=lambda found: len(found.place))

    def _members(self, schema: Schema) -> Iterator[Schema]:
        """Yield the members of the union `schema`, or `schema` itself."""
        if "$ref" in schema:
            yield from self._members(self.kind.definitions[schema["$ref"].rpartition("/")[2]])
        elif "anyOf" in schema or "oneOf" in schema:
            for member in schema.get("anyOf") or schema["oneOf"]:
                yield from self._members(member)
        else:
            yield schema

    def _within(self, value: Any, schema: Schema, place: Place, path: str) -> Flaw | None:
        limits = {**schema, **self.kind.bounds[path]} if path in self.kind.bounds else schema
        if "const" in limits and value != limits["const"]:
            return Flaw("enum", place, [limits["const"]], value)
        if "enum" in limits and value not in limits["enum"]:
            return Flaw("enum", place, limits["enum"], value)
        for keyword, is_beyond in _LIMITS.get(kind_of(value), {}).items():
            if keyword in limits and is_beyond(value, limits[keyword]):
                return Flaw(keyword, place, limits[keyword], value)
        if isinstance(value, dict):
            return self._named(value, schema, place, path)
        if isinstance(value, list) and "items" in schema:
            for number, part in enumerate(value):
                flaw = self.look(part, schema["items"], (*place, number), f"{path}[]")
                if flaw is not None:
                    return flaw
        return None

    def _named(
        self, value: Mapping[str, Any], schema: Schema, place: Place, path: str
    ) -> Flaw | None:
        known: Mapping[str, Schema] = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        is_open = self.kind.is_open or self.kind.bounds.get(path, {}).get("isOpen")
        for name in value:
            if name not in known and others is False and not is_open:
                return Flaw("additionalProperties", (*place, name), sorted(known), value[name])
        for name in schema.get("required", ()):
            if name not in value:
                return Flaw("required", (*place, name))
        for name, part in value.items():
            inner = known.get(name, others)
            if isinstance(inner, Mapping):
                called = name if name in known else "*"
                flaw = self.look(
                    part, inner, (*place, name), f"{path}.{called}" if path else called
                )
                if flaw is not None:
                    return flaw
        return None


def kind_of(value: Any) -> str:
    """The kind of a value of JSON, as JSON Schema calls it; 1.0 is an integer too."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _consts(member: Schema, name: str) -> Sequence[str]:
    """The values of the field `name` by which `member` is told."""
    field = member.get("properties", {}).get(name, {})
    parts = field.get("anyOf", [field])
    return [said for part in parts for said in part.get("enum", [part.get("const")]) if said]


def _const(member: Schema, name: str) -> str:
    """The first value that tells `member`; empty if none does."""
    return next(iter(_consts(member, name)), "")


def _meant(
    value: Mapping[str, Any], members: Sequence[Schema], tag: str, place: Place
) -> tuple[Sequence[Schema], Flaw | None]:
    """Return the members that `value` names by its tag, or the flaw in the tag."""
    said = value.get(tag)
    if said is None:
        optional = [member for member in members if tag not in member.get("required", ())]
        return optional, None if optional else Flaw("required", (*place, tag))
    meant = [member for member in members if said in _consts(member, tag)]
    known = [name for member in members for name in _consts(member, tag)]
    return meant, None if meant else Flaw("enum", (*place, tag), known, said)


_NUMBERS = {
    "minimum": lambda value, bound: value < bound,
    "maximum": lambda value, bound: value > bound,
}
_LIMITS: Mapping[str, Mapping[str, Any]] = {
    "string": {
        "minLength": lambda value, bound: len(value) < bound,
        "maxLength": lambda value, bound: len(value) > bound,
        "pattern": lambda value, bound: re.fullmatch(bound, value) is None,
    },
    "array": {
        "minItems": lambda value, bound: len(value) < bound,
        "maxItems": lambda value, bound: len(value) > bound,
    },
    "object": {
        "minProperties": lambda value, bound: len(value) < bound,
        "maxProperties": lambda value, bound: len(value) > bound,
        "maxNameLength": lambda value, bound: any(len(name) > bound for name in value),
    },
    "integer": _NUMBERS,
    "number": _NUMBERS,
}
"""Kind of value -> keyword -> whether a value is beyond its bound."""
