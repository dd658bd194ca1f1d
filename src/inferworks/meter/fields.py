"""Fields of the meter's records, as the tables of the journal and of the lake need to know them."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

import msgspec


class Field(NamedTuple):
    """Field of a record."""

    name: str
    type: Any
    """Type of its values without None: a class, or a generic alias such as `tuple[Leg, ...]`."""
    nullable: bool
    default: Any
    """Default of the field; `msgspec.NODEFAULT` for none."""

    def is_a(self, *classes: type) -> bool:
        """Return whether every value of the field but None is of one of `classes`."""
        return isinstance(self.type, type) and issubclass(self.type, classes)


def fields_of(record: type[Any]) -> tuple[Field, ...]:
    """Return the fields of `record`, in their order."""
    fields: list[Field] = []
    for info in msgspec.structs.fields(record):
        types = {info.type}
        if get_origin(info.type) in (Union, UnionType):
            types = set(get_args(info.type))
        (type_,) = types - {NoneType}
        while hasattr(type_, "__supertype__"):
            type_ = type_.__supertype__
        fields.append(Field(info.name, type_, NoneType in types, info.default))
    return tuple(fields)
