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
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from inferworks.arrow import compute, pa
from inferworks.ids import CallId, CustomerId, KeyId, ModelId, NodeId, OfferId, ProjectId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step, StepCall
from inferworks.meter.usage import (
    COUNT_COLUMNS,
    NO_ITEMS,
    Confidence,
    Items,
    Leg,
    Outcome,
    Tokens,
    Usage,
)
from inferworks.purpose import Purpose
from inferworks.units import Unit

Fact: TypeAlias = Usage | Step | Capacity | Activity

DAY_NS: Final = 86_400 * 1_000_000_000
"""A UTC day; leap seconds are not counted, as everywhere in Unix time."""


class Column(NamedTuple):
    """One column of a table, or one field of a list's elements."""

    name: str
    kind: Literal["text", "count", "flag"] | tuple[Column, ...]
    """Fields are a list of elements that have them."""
    nullable: bool = False

    def field(self) -> pa.Field:
        """The column as Arrow says it."""
        return pa.field(self.name, self._type(), nullable=self.nullable)

    def _type(self) -> pa.DataType:
        match self.kind:
            case "text":
                return pa.string()
            case "count":
                return pa.int64()
            case "flag":
                return pa.bool_()
            case fields:
                element = pa.struct([column.field() for column in fields])
                return pa.list_(pa.field("element", element, nullable=False))


def _text(name: str, *, nullable: bool = False) -> Column:
    return Column(name, "text", nullable)


def _count(name: str, *, nullable: bool = False) -> Column:
    return Column(name, "count", nullable)


_N_FIRST: Final = 4
"""Number of the counts that there were from the beginning; the others were added at the end."""
_TOKENS: Final = tuple(map(_count, COUNT_COLUMNS[:_N_FIRST]))
_ADDED_COUNTS: Final = tuple(map(_count, COUNT_COLUMNS[_N_FIRST:]))
_LEG: Final = (
    _text("offer"),
    _text("provider"),
    _text("replica", nullable=True),
    _count("started_ns"),
    _count("first_token_ns", nullable=True),
    _count("ended_ns"),
    _text("outcome"),
    _count("status"),
    *_TOKENS,
    _text("confidence"),
    _text("region"),
    _text("chip"),
    *_ADDED_COUNTS,
    _text("service_tier"),
    _count("told_cost_pico", nullable=True),
    _text("told_currency"),
    _text("ended_by"),
    _text("left_out"),
)
_STEP_CALL: Final = (
    _text("call_id"),
    _count("prefill_tokens"),
    _count("decode_tokens"),
    _count("context_tokens"),
)
_ADDED_TO_USAGE: Final = (*_ADDED_COUNTS, _text("end_user"))

_USAGE: Final = (
    _text("call_id"),
    _text("customer"),
    _text("project"),
    _text("key_id"),
    _text("purpose"),
    _text("endpoint"),
    _text("model"),
    Column("stream", "flag"),
    _count("opened_ns"),
    _count("first_byte_ns", nullable=True),
    _count("closed_ns"),
    _text("outcome"),
    _count("status"),
    _text("error_code", nullable=True),
    *_TOKENS,
    _text("confidence"),
    _count("request_bytes"),
    _count("response_bytes"),
    # The last leg: the one that served the call, or failed it last. Empty when none was tried.
    _text("provider"),
    _text("offer"),
    _text("replica", nullable=True),
    _text("region"),
    _text("chip"),
    Column("legs", _LEG),
    *_ADDED_TO_USAGE,
)  # fmt: skip
"""One row per call that ended."""

_STEP: Final = (
    _text("replica"),
    _count("seq"),
    _count("start_ns"),
    _count("duration_ns"),
    Column("calls", _STEP_CALL),
)  # fmt: skip
"""One row per engine step."""

_CAPACITY: Final = (
    _text("replica"),
    _text("node"),
    _text("state"),
    _count("start_ns"),
    _count("end_ns"),
    _count("duration_ns"),
)  # fmt: skip
"""One row per replica, interval and state."""

_ADDED_TO_ACTIVITY: Final = (_count("quantity_high"),)
"""Columns for the part of a quantity beyond 63 bits, in units of 2^63."""

_ACTIVITY: Final = (
    _text("source"),
    _text("id"),
    _text("resource"),
    _text("purpose"),
    _text("customer", nullable=True),
    _count("start_ns"),
    _count("end_ns"),
    _count("quantity"),
    _text("unit"),
    _text("description"),
    *_ADDED_TO_ACTIVITY,
)  # fmt: skip
"""One row per use of a resource by something that is no call."""

_Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class LakeTable:
    """One table of the lake, and how its facts become columns and facts again."""

    name: str
    """Name of its folder in the lake, and of the journal's table it comes from."""
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """The columns that name a row; the same as in the journal."""
    day_column: str
    """The column whose UTC day the row is filed under."""
    to_row: Callable[[Any], _Row]
    """A fact's values in the order of `columns`; a list of structs as a sequence of tuples."""
    from_row: Callable[[_Row], Fact]
    """The other way round."""
    added_columns: tuple[Column, ...] = ()
    """The last of `columns`, which files of a former version lack."""

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns as Arrow says them."""
        return pa.schema([column.field() for column in self.columns])

    @cached_property
    def added(self) -> tuple[pa.Field, ...]:
        """The added columns as Arrow says them."""
        return tuple(column.field() for column in self.added_columns)


def batch_of(table: LakeTable, facts: Sequence[Fact]) -> pa.RecordBatch:
    """`facts` as columns of `table`, in their order."""
    columns = zip(*map(table.to_row, facts), strict=True) if facts else [()] * len(table.schema)
    arrays = [_array(field, values) for field, values in zip(table.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def records_of(table: LakeTable, batch: pa.RecordBatch) -> Iterator[Fact]:
    """The facts in `batch`, whose columns are those of `table` or of a former version, in their order."""
    columns = [
        [missing(field)] * batch.num_rows
        if field in table.added and field.name not in batch.schema.names
        else _values(batch.column(field.name))
        for field in table.schema
    ]
    return map(table.from_row, zip(*columns, strict=True))


def missing(field: pa.Field) -> int | str:
    """Value assumed for a column that a file of a former version lacks."""
    return 0 if pa.types.is_integer(field.type) else ""


def is_version_of(table: LakeTable, schema: pa.Schema) -> bool:
    """Return whether `schema` is that of `table`, or was: the same but for columns added at the end."""
    return len(schema) <= len(table.schema) and all(
        field.name == known.name and _is_version(field.type, known.type)
        for field, known in zip(schema, table.schema, strict=False)
    )


def _is_version(type_: pa.DataType, known: pa.DataType) -> bool:
    if not (pa.types.is_list(type_) and pa.types.is_list(known)):
        return bool(type_.equals(known))
    fields, known_fields = list(type_.value_type), list(known.value_type)
    return fields == known_fields[: len(fields)]


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


def _array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    """One column; a list of structs is put together from its children, which is ten times as fast."""
    if not pa.types.is_list(field.type):
        return pa.array(values, field.type)
    element = field.type.value_type
    rows = [row for value in values for row in value]
    children = zip(*rows, strict=True) if rows else [()] * element.num_fields
    arrays = [pa.array(column, child.type) for child, column in zip(element, children, strict=True)]
    structs = pa.StructArray.from_arrays(arrays, fields=list(element))
    offsets = pa.array([0, *accumulate(map(len, values))], pa.int32())
    return pa.ListArray.from_arrays(offsets, structs, type=field.type)


def _values(column: pa.Array) -> Sequence[Any]:
    """A column as Python values; a list of structs as lists of tuples."""
    if not pa.types.is_list(column.type):
        values: list[Any] = column.to_pylist()
        return values
    structs = column.flatten()
    children = [child.to_pylist() for child in structs.flatten()]
    rows = list(zip(*children, strict=True))
    ends = accumulate(column.value_lengths().to_pylist(), initial=0)
    return [rows[begin:end] for begin, end in pairwise(ends)]


def _counts(tokens: Tokens, items: Items) -> tuple[int, ...]:
    """Return the counts of a call or a leg, in the order of `COUNT_COLUMNS`."""
    return (*msgspec.structs.astuple(tokens), *msgspec.structs.astuple(items))


def _leg_row(leg: Leg) -> _Row:
    counts = _counts(leg.tokens, leg.items)
    return (
        leg.offer,
        leg.provider,
        leg.replica,
        leg.started_ns,
        leg.first_token_ns,
        leg.ended_ns,
        leg.outcome,
        leg.status,
        *counts[:_N_FIRST],
        leg.confidence,
        leg.region,
        leg.chip,
        *counts[_N_FIRST:],
        leg.service_tier,
        leg.told_cost_pico,
        leg.told_currency,
        leg.ended_by,
        leg.left_out,
    )


_NEW_IN_LEG: Final = (*(0,) * 10, "", None, "USD", "", "")
"""The columns of a leg that were added since, as a file of before is read."""
_FIRST_LEG_COLUMNS: Final = len(_LEG) - len(_NEW_IN_LEG)


def _leg(row: _Row) -> Leg:
    first, new = row[:_FIRST_LEG_COLUMNS], row[_FIRST_LEG_COLUMNS:]
    if len(new) < len(_NEW_IN_LEG) or new[-1] is None:  # of before, by itself or beside newer ones
        given = (*new, *_NEW_IN_LEG[len(new) :])
        new = tuple(
            before if value is None else value
            for value, before in zip(given, _NEW_IN_LEG, strict=True)
        )
    return Leg(
        offer=OfferId(first[0]),
        provider=first[1],
        replica=None if first[2] is None else ReplicaId(first[2]),
        started_ns=first[3],
        first_token_ns=first[4],
        ended_ns=first[5],
        outcome=Outcome(first[6]),
        status=first[7],
        tokens=Tokens(*first[8:12], *new[:6]),
        confidence=Confidence(first[12]),
        region=first[13],
        chip=first[14],
        items=_items(new[6:10]),
        service_tier=new[10],
        told_cost_pico=new[11],
        told_currency=new[12],
        ended_by=new[13],
        left_out=new[14],
    )


def _items(counts: _Row) -> Items:
    return Items(*counts) if any(counts) else NO_ITEMS


def _usage_row(usage: Usage) -> _Row:
    served = usage.legs[-1] if usage.legs else None
    counts = _counts(usage.tokens, usage.items)
    return (
        usage.call_id,
        usage.customer,
        usage.project,
        usage.key_id,
        usage.purpose,
        usage.endpoint,
        usage.model,
        usage.stream,
        usage.opened_ns,
        usage.first_byte_ns,
        usage.closed_ns,
        usage.outcome,
        usage.status,
        usage.error_code,
        *counts[:_N_FIRST],
        usage.confidence,
        usage.request_bytes,
        usage.response_bytes,
        *(_served_row(served) if served else ("", "", None, "", "")),
        [_leg_row(leg) for leg in usage.legs],
        *counts[_N_FIRST:],
        usage.end_user,
    )


def _served_row(leg: Leg) -> _Row:
    return (leg.provider, leg.offer, leg.replica, leg.region, leg.chip)


def _usage(row: _Row) -> Usage:
    return Usage(
        call_id=CallId(row[0]),
        customer=CustomerId(row[1]),
        project=ProjectId(row[2]),
        key_id=KeyId(row[3]),
        purpose=Purpose(row[4]),
        endpoint=row[5],
        model=ModelId(row[6]),
        stream=row[7],
        opened_ns=row[8],
        first_byte_ns=row[9],
        closed_ns=row[10],
        outcome=Outcome(row[11]),
        status=row[12],
        error_code=row[13],
        tokens=Tokens(*row[14:18], *row[27:33]),
        confidence=Confidence(row[18]),
        request_bytes=row[19],
        response_bytes=row[20],
        legs=tuple(map(_leg, row[26])),
        items=_items(row[33:37]),
        end_user=row[37],
    )


def _step_row(step: Step) -> _Row:
    calls = [
        (call.call_id, call.prefill_tokens, call.decode_tokens, call.context_tokens)
        for call in step.calls
    ]
    return (step.replica, step.seq, step.start_ns, step.duration_ns, calls)


def _step(row: _Row) -> Step:
    replica, seq, start_ns, duration_ns, calls = row
    parts = tuple(StepCall(CallId(call[0]), *call[1:]) for call in calls)
    return Step(ReplicaId(replica), seq, start_ns, duration_ns, parts)


def _capacity_row(row: Capacity) -> _Row:
    return (row.replica, row.node, row.state, row.start_ns, row.end_ns, row.duration_ns)


def _capacity(row: _Row) -> Capacity:
    replica, node, state, start_ns, end_ns, duration_ns = row
    return Capacity(ReplicaId(replica), NodeId(node), State(state), start_ns, end_ns, duration_ns)


_HIGH: Final = 1 << 63


def _activity_row(activity: Activity) -> _Row:
    return (
        activity.source,
        activity.id,
        activity.resource,
        activity.purpose,
        activity.customer,
        activity.start_ns,
        activity.end_ns,
        activity.quantity % _HIGH,
        activity.unit,
        activity.description,
        activity.quantity // _HIGH,
    )


def _activity(row: _Row) -> Activity:
    source, id_, resource, purpose, customer, start_ns, end_ns, low, unit, description, high = row
    return Activity(
        source=source,
        id=id_,
        resource=resource,
        purpose=Purpose(purpose),
        customer=None if customer is None else CustomerId(customer),
        start_ns=start_ns,
        end_ns=end_ns,
        quantity=low + (high or 0) * _HIGH,
        unit=Unit(unit),
        description=description,
    )


_TABLES: Final = (
    LakeTable("usage", _USAGE, ("call_id",), "opened_ns", _usage_row, _usage, _ADDED_TO_USAGE),
    LakeTable("step", _STEP, ("replica", "start_ns", "seq"), "start_ns", _step_row, _step),
    LakeTable(
        "capacity",
        _CAPACITY,
        ("replica", "start_ns", "state"),
        "start_ns",
        _capacity_row,
        _capacity,
    ),
    LakeTable(
        *("activity", _ACTIVITY, ("source", "id"), "start_ns", _activity_row, _activity),
        added_columns=_ADDED_TO_ACTIVITY,
    ),
)
LAKE_TABLES: Final[Mapping[str, LakeTable]] = {table.name: table for table in _TABLES}
"""The tables by name."""
