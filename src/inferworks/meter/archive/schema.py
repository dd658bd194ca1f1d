"""The lake's tables: the Parquet columns of a segment, and the conversion of facts to columns.

The contract between the meter, the books' engine and a stranger's DuckDB or Spark. Each table is a
folder of the lake, cut by the UTC day of its `day_column`:

    <lake>/usage/day=2026-11-21/<segment>.parquet

Times are integer nanoseconds since 1970-01-01 UTC, enumerations are their text, counts are 64-bit
integers: nothing is rounded on the way in or out, `records_of(batch_of(facts)) == facts`. The quantity of
an activity may be larger (four terabytes for a month): `quantity + quantity_high * 2^63`. A usage is flat,
with the columns of the leg that served it beside the tokens it is charged for; every attempt is in `legs`.
A column is added at the end, also within `legs`, and never changes its meaning or type; in an older file,
a column that was added since reads as zero, or as the empty text.

Columns are those of the facts' fields, but for a few exceptions that stand beside the tables. So a field
that is added to a fact becomes a column, at the place where the field stands: at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from inferworks.arrow import compute, pa
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.fields import fields_of
from inferworks.meter.record import Retracted
from inferworks.meter.usage import (
    COUNT_COLUMNS,
    ITEM_UNITS,
    NO_ITEMS,
    TOKEN_UNITS,
    Items,
    Leg,
    Tokens,
    Usage,
)

Fact: TypeAlias = Usage | Step | Capacity | Activity | Retracted

DAY_NS: Final = 86_400 * 1_000_000_000
"""A UTC day; leap seconds are not counted, as everywhere in Unix time."""


class Column(NamedTuple):
    """One column of a table, or one field of a list's elements."""

    name: str
    kind: Literal["text", "count", "flag"] | Layout
    """A layout is that of the elements of a list."""
    value: Callable[[Any], Any]
    """Value of a record."""
    nullable: bool = False
    before: Any = msgspec.NODEFAULT
    """Value in files of a former version, which lack the column."""

    def field(self) -> pa.Field:
        """The column as Arrow says it."""
        if isinstance(self.kind, Layout):
            element = pa.struct([column.field() for column in self.kind.columns])
            type_ = pa.list_(pa.field("element", element, nullable=False))
        else:
            type_ = {"text": pa.string, "count": pa.int64, "flag": pa.bool_}[self.kind]()
        return pa.field(self.name, type_, nullable=self.nullable)


class Part(NamedTuple):
    """Columns of which a field of a record is made, with the function of their values that makes it."""

    columns: tuple[str, ...]
    make: Callable[..., Any]


@dataclass(frozen=True)
class Layout:
    """Columns of the records of one type, and the fields that are not simply the column of their name."""

    record: type[msgspec.Struct]
    columns: tuple[Column, ...]
    parts: Mapping[str, Part]

    def records(self, values: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
        """Yield the records with these `values` by column."""
        fields = (
            map(part.make, *(values[name] for name in part.columns))
            if (part := self.parts.get(field))
            else values[field]
            for field in self.record.__struct_fields__
        )
        return map(self.record, *fields)


_KINDS: Final[Sequence[tuple[type, Literal["text", "count", "flag"]]]] = (
    (bool, "flag"),  # before int, which it is too
    (int, "count"),
    (str, "text"),
)


def layout_of(
    record: type[msgspec.Struct],
    exceptions: Mapping[str, Sequence[Column]] | None = None,
    parts: Mapping[str, Part] | None = None,
) -> Layout:
    """Return the columns of `record`: one for each field, or those that `exceptions` have for it."""
    fields, others = fields_of(record), exceptions or {}
    columns: list[Column] = []
    for of in fields:
        kind = next((kind for type_, kind in _KINDS if of.is_a(type_)), None)
        value = attrgetter(of.name)
        if of.name in others:
            columns += others[of.name]
        elif kind is None:
            columns.append(Column(of.name, layout_of(get_args(of.type)[0]), value))
        else:
            columns.append(Column(of.name, kind, value, of.nullable, of.default))
    made = {of.name: Part((of.name,), of.type) for of in fields if of.is_a(StrEnum)}
    return Layout(record, tuple(columns), {**made, **(parts or {})})


def _count(name: str, value: Callable[[Any], int]) -> Column:
    return Column(name, "count", value, before=0)


_N_FIRST: Final = 4
"""Number of the counts that there were from the beginning; the others were added at the end."""
_COUNTS: Final = (
    *(_count(f"{name}_tokens", attrgetter(f"tokens.{name}")) for name in Tokens.__struct_fields__),
    *(_count(name, attrgetter(f"items.{name}")) for name in Items.__struct_fields__),
)


_OF_COUNTS: Final = {
    "tokens": Part(tuple(unit.value for unit in TOKEN_UNITS), Tokens),
    "items": Part(
        tuple(unit.value for unit in ITEM_UNITS),
        lambda *counts: Items(*counts) if any(counts) else NO_ITEMS,
    ),
}
_LEG: Final = layout_of(
    Leg, {"tokens": _COUNTS[:_N_FIRST], "items": _COUNTS[_N_FIRST:]}, _OF_COUNTS
)


def _served(name: str, unserved: str | None = "") -> Column:
    """Return a column of the last leg: the one that served the call, or failed it last."""
    value = attrgetter(name)
    return Column(
        name,
        "text",
        lambda usage: value(usage.legs[-1]) if usage.legs else unserved,
        unserved is None,
    )


_SERVED: Final = (
    _served("provider"),
    _served("offer"),
    _served("replica", None),
    _served("region"),
    _served("chip"),
)
_USAGE: Final = layout_of(
    Usage,
    {
        "tokens": _COUNTS[:_N_FIRST],
        "legs": (*_SERVED, Column("legs", _LEG, attrgetter("legs"))),
        "items": _COUNTS[_N_FIRST:],
    },
    _OF_COUNTS,
)
"""One row per call that ended."""

_HIGH: Final = 1 << 63


_ACTIVITY: Final = layout_of(
    Activity,
    {
        "quantity": [_count("quantity", lambda activity: activity.quantity % _HIGH)],
        "description": [
            Column("description", "text", attrgetter("description")),
            _count("quantity_high", lambda activity: activity.quantity // _HIGH),
        ],
    },
    {"quantity": Part(("quantity", "quantity_high"), lambda low, high: low + high * _HIGH)},
)
"""One row per use of a resource by something that is no call."""


@dataclass(frozen=True)
class LakeTable:
    """One table of the lake, and how its facts become columns and facts again."""

    name: str
    """Name of its folder in the lake, and of the journal's table it comes from."""
    layout: Layout
    key: tuple[str, ...]
    """The columns that name a row; the same as in the journal."""
    day_column: str
    """The column whose UTC day the row is filed under."""
    n_added: int = 0
    """Number of the last columns that files of a former version lack."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns as Arrow says them."""
        return pa.schema([column.field() for column in self.layout.columns])

    @cached_property
    def added(self) -> tuple[pa.Field, ...]:
        """The added columns as Arrow says them."""
        return tuple(self.schema)[len(self.schema) - self.n_added :]


def batch_of(table: LakeTable, facts: Sequence[Fact]) -> pa.RecordBatch:
    """`facts` as columns of `table`, in their order."""
    arrays = [_array(column, facts) for column in table.layout.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def records_of(table: LakeTable, batch: pa.RecordBatch) -> Iterator[Fact]:
    """The facts in `batch`, whose columns are those of `table` or of a former version, in their order."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    return _records(table.layout, columns, batch.num_rows)


def missing(field: pa.Field) -> int | str:
    """Value assumed for a column that a file of a former version lacks."""
    return 0 if pa.types.is_integer(field.type) else ""


def is_version_of(table: LakeTable, schema: pa.Schema) -> bool:
    """Return whether `schema` is that of `table`, or was: the same but for columns added at the end."""
    if len(schema) > len(table.schema):
        return False
    for field, known in zip(schema, table.schema, strict=False):
        is_same = field.type.equals(known.type)
        if pa.types.is_list(field.type) and pa.types.is_list(known.type):
            elements, known_elements = list(field.type.value_type), list(known.type.value_type)
            is_same = elements == known_elements[: len(elements)]
        if field.name != known.name or not is_same:
            return False
    return True


def spans_of(table: LakeTable, batch: pa.RecordBatch | pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return the start and end of each row of `batch`, half-open, in nanoseconds.

    A usage counts at the moment its call was opened; a moment is one nanosecond long.
    """
    start_ns = batch.column(table.day_column)
    least_ns = compute.add(start_ns, 1)
    if "end_ns" in table.schema.names:
        return start_ns, compute.max_element_wise(batch.column("end_ns"), least_ns)
    if "duration_ns" in table.schema.names:
        end_ns = compute.add(start_ns, batch.column("duration_ns"))
        return start_ns, compute.max_element_wise(end_ns, least_ns)
    return start_ns, least_ns


def key_of(table: LakeTable, fact: Fact) -> tuple[str | int, ...]:
    """The values that name `fact` in `table`."""
    return tuple(getattr(fact, column) for column in table.key)


def _array(column: Column, records: Sequence[Any]) -> pa.Array:
    """One column; a list of structs is put together from its children, which is ten times as fast."""
    values, type_ = list(map(column.value, records)), column.field().type
    if not isinstance(column.kind, Layout):
        return pa.array(values, type_)
    elements = [element for value in values for element in value]
    children = [_array(child, elements) for child in column.kind.columns]
    structs = pa.StructArray.from_arrays(children, fields=list(type_.value_type))
    offsets = pa.array([0, *accumulate(map(len, values))], pa.int32())
    return pa.ListArray.from_arrays(offsets, structs, type=type_)


def _records(layout: Layout, columns: Mapping[str, pa.Array], rows: int) -> Iterator[Any]:
    return layout.records(
        {column.name: _values(column, columns.get(column.name), rows) for column in layout.columns}
    )


def _values(column: Column, array: pa.Array | None, rows: int) -> Sequence[Any]:
    """A column as Python values; of a file of before, which lacks it or has null for it, as it was then."""
    if array is None:
        if column.before is msgspec.NODEFAULT:
            raise KeyError(column.name)
        return [column.before] * rows
    if isinstance(column.kind, Layout):
        structs = array.flatten()
        children = dict(zip((one.name for one in structs.type), structs.flatten(), strict=True))
        elements = list(_records(column.kind, children, len(structs)))
        ends = accumulate(array.value_lengths().to_pylist(), initial=0)
        return [tuple(elements[begin:end]) for begin, end in pairwise(ends)]
    values: list[Any] = array.to_pylist()
    if array.null_count and not column.nullable and column.before is not msgspec.NODEFAULT:
        return [column.before if value is None else value for value in values]
    return values


_TABLES: Final = (
    LakeTable("usage", _USAGE, ("call_id",), "opened_ns", len(COUNT_COLUMNS) - _N_FIRST + 1),
    LakeTable("step", layout_of(Step), ("replica", "start_ns", "seq"), "start_ns"),
    LakeTable("capacity", layout_of(Capacity), ("replica", "start_ns", "state"), "start_ns"),
    LakeTable("activity", _ACTIVITY, ("source", "id"), "start_ns", 1),
    LakeTable("retracted", layout_of(Retracted), ("source", "id"), "start_ns"),
)
LAKE_TABLES: Final[Mapping[str, LakeTable]] = {table.name: table for table in _TABLES}
"""The tables by name."""
