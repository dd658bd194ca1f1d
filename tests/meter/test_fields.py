"""Fields of records, as the tables of the journal and of the lake need to know them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NewType, get_args

import msgspec
import pytest

from inferworks.meter.fields import fields_of
from inferworks.meter.record import Record

Name = NewType("Name", str)


class Colour(StrEnum):
    """A choice."""

    RED = "red"


class Thing(msgspec.Struct):
    """A record with a field of each kind."""

    name: Name
    other: Name | None
    colour: Colour
    parts: tuple[int, ...] = ()
    count: int | None = None


def test_types_are_those_below_their_names() -> None:
    """A new name of a type is that type; None is told apart; a default is kept."""
    name, other, colour, parts, count = fields_of(Thing)
    assert (name.type, name.nullable, name.default) == (str, False, msgspec.NODEFAULT)
    assert (other.type, other.nullable) == (str, True)
    assert (colour.type, parts.type, parts.default) == (Colour, tuple[int, ...], ())
    assert (count.type, count.nullable, count.default) == (int, True, None)


def test_kinds_of_a_field() -> None:
    """An enumeration of text is text; a tuple of something is of no class."""
    name, _, colour, parts, count = fields_of(Thing)
    assert name.is_a(str)
    assert colour.is_a(str)
    assert not colour.is_a(int)
    assert count.is_a(str, int)
    assert not parts.is_a(tuple)


@pytest.mark.parametrize("record", get_args(Record), ids=lambda record: record.__name__)
def test_every_record_has_fields_of_one_type(record: Any) -> None:
    """So each has a column; in the order in which they are written."""
    fields = fields_of(record)
    assert tuple(field.name for field in fields) == record.__struct_fields__
