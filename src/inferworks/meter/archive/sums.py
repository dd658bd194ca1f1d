"""Sums of a segment by day, so that a statement of a month need not read every call.

Problem. A statement of a month reads every call to find sums that were the same yesterday. Most of its
time goes there.

Decision. A segment holds rows of one UTC day and never changes, so neither do their sums. When the segment
is written, its sums are written beside it, and the same commit names both (`archive.manifest`). There are
three kinds:

- `calls`: the calls by customer, purpose, model and outcome;
- `attempts`: the tokens of attempts by customer, purpose, model and place. An attempt that reaches out of
  the day of its call stands by itself, with its times, to be divided at an edge;
- `intervals`: rows of capacity, merged where they follow each other without a gap. A row that reaches out
  of the day, overlaps, or does not fill its interval is left as it is. The merged rows are rows of
  capacity again, and are read in the place of the original ones.

Sums are exact: integers, each of which is the sum of integers. Where a sum might leave 64 bits there are no
sums. A query with an edge within a day cannot use them; it reads the rows.

A file of sums belongs to one segment, whose name is within it: rows archived late for a day, or put into
one file with others, have sums of their own, and nothing is ever subtracted. Sums are derived: without
them every figure is the same, from the rows. A kind whose columns change gets another name.

Rejected. Sums by day of all segments together (a late row would have them rewritten); columns of sums in
the segment's own footer (read whole by everybody who opens it); sums by hour (as many as the calls).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Final, TypeAlias

from inferworks.arrow import compute, pa, pq
from inferworks.catalog.units import DIRECTIONS, PARTS, buckets
from inferworks.meter.archive.manifest import Segment, Sums
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES
from inferworks.meter.usage import COUNT_COLUMNS, ITEM_UNITS, TOKEN_UNITS
from inferworks.on_demand import OnDemand

if TYPE_CHECKING:
    import numpy as np
else:
    np = OnDemand("numpy")

SUMS_FOLDER: Final = "sums"
"""Folder of the files of sums, by kind and day."""
_BATCH_ROWS: Final = 131_072
_GROUP_ROWS: Final = 122_880
"""Rows of a row group: DuckDB gives one group to one thread."""
_OF: Final = b"segment"
"""The key of a file's metadata that names the segment."""

TOKENS: Final = tuple(unit.value for unit in DIRECTIONS)
"""The buckets of `catalog.units`: each token of a call is in exactly one."""
ITEMS: Final = tuple(unit.value for unit in ITEM_UNITS)
_TOLD: Final = tuple(unit.value for unit in TOKEN_UNITS)
"""The counts of tokens that a call, or an attempt, tells."""
_BYTES: Final = ("request_bytes", "response_bytes")

_Columns: TypeAlias = Mapping[str, "pa.Array"]


class TooLargeError(Exception):
    """A sum might leave 64 bits."""


@dataclass(frozen=True, slots=True)
class SumKind:
    """One kind of sums, and how rows become them."""

    name: str
    table: str
    """The table whose segments it sums."""
    sums_of: Callable[[pq.ParquetFile, int], pa.Table]
    """The sums of a file whose rows are of a day (days since 1970)."""


def make_sums(segment: Segment, file: pq.ParquetFile) -> Iterator[tuple[Sums, bytes]]:
    """Yield the sums of `segment`, whose rows are in `file`: the manifest's entry and the bytes of each."""
    for kind in KINDS.values():
        if kind.table != segment.table:
            continue
        try:
            rows = kind.sums_of(file, segment.start_ns // DAY_NS)
        except TooLargeError:
            continue
        sink = pa.BufferOutputStream()
        named = rows.replace_schema_metadata({_OF: segment.name.encode()})
        pq.write_table(named, sink, compression="zstd", row_group_size=_GROUP_ROWS)
        data = sink.getvalue().to_pybytes()
        digest = hashlib.sha256(data).hexdigest()
        sums = Sums(
            name=f"{SUMS_FOLDER}/{kind.name}/day={segment.day}/{digest[:32]}.parquet",
            kind=kind.name,
            of=segment.name,
            rows=rows.num_rows,
            bytes=len(data),
            sha256=digest,
        )
        yield sums, data


def kinds_of(table: str) -> Iterator[str]:
    """The kinds of sums of `table`."""
    return (kind.name for kind in KINDS.values() if kind.table == table)


def segment_of(sums: pq.ParquetFile) -> str:
    """The name of the segment that a file of sums says it is of; empty when it says none."""
    return str((sums.schema_arrow.metadata or {}).get(_OF, b"").decode(errors="replace"))


def same_sums(segment: Segment, file: pq.ParquetFile, kind: str, found: pa.Table) -> bool:
    """Return whether `found` equals the sums of the rows of `segment`, which are in `file`."""
    try:
        return bool(KINDS[kind].sums_of(file, segment.start_ns // DAY_NS).equals(found))
    except TooLargeError:
        return False


# --- calls and attempts -------------------------------------------------------------------------------

_CALL_KEYS: Final = ("customer", "purpose", "model", "outcome")
_CALL_SUMS: Final = ("calls", *_BYTES, *TOKENS, *ITEMS)
_ATTEMPT_KEYS: Final = ("customer", "purpose", "model", "place", "bought")
_ATTEMPT_SUMS: Final = ("computed", "produced", *TOKENS)
_LEG: Final = ("replica", "provider", "started_ns", "ended_ns", *_TOLD)


def _calls_of(file: pq.ParquetFile, day: int) -> pa.Table:
    """Sum the calls in `file` by customer, purpose, model and outcome.

    `least` is below zero where the counts of a call contradict themselves, by as much.
    """
    names = (*_CALL_KEYS, *_BYTES, *_TOLD, *ITEMS)
    parts = [
        grouped(pa.table(summands(batch)), _CALL_KEYS, _CALL_SUMS, ("least",))
        for batch in batches(file, names)
    ]
    joined = _joined(parts, _CALL_KEYS, (*_CALL_SUMS, "least"))
    return _dated(grouped(joined, _CALL_KEYS, _CALL_SUMS, ("least",)), day)


def summands(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Return the columns of calls, their tokens in buckets, with `calls` (1 each) and `least`."""
    columns = _filled(batch.schema.names, batch.columns, (*_TOLD, *ITEMS), batch.num_rows)
    found = {**columns, **_buckets(columns), "calls": _all(1, batch.num_rows)}
    rests = [  # excess of each whole over its parts
        reduce(compute.subtract, (columns[part.value] for part in parted), columns[whole.value])
        for parted, whole in PARTS.items()
    ]
    counts = map(columns.__getitem__, COUNT_COLUMNS)
    found["least"] = compute.min_element_wise(*rests, *counts)
    return found


def _attempts_of(file: pq.ParquetFile, day: int) -> pa.Table:
    """The attempts in `file`; `started_ns` and `ended_ns` are null where they all lie within the day."""
    parts, apart = [], []
    begins, ends = day * DAY_NS, (day + 1) * DAY_NS
    for batch in batches(file, ("customer", "purpose", "model"), _LEG):
        legs = _legs(batch)
        started_ns, ended_ns = legs["started_ns"], legs["ended_ns"]
        within = reduce(
            compute.and_,
            (
                compute.greater_equal(started_ns, begins),
                compute.less(started_ns, ends),
                compute.or_(  # one that ends before it starts is a moment
                    compute.less_equal(ended_ns, ends), compute.less_equal(ended_ns, started_ns)
                ),
            ),
        )
        parts.append(grouped(legs.filter(within), _ATTEMPT_KEYS, _ATTEMPT_SUMS))
        apart.append(legs.filter(compute.invert(within)))
    numbers = (*_ATTEMPT_SUMS, "started_ns", "ended_ns")
    names = [*_ATTEMPT_KEYS, *numbers]
    rows = grouped(_joined(parts, _ATTEMPT_KEYS, numbers), _ATTEMPT_KEYS, _ATTEMPT_SUMS)
    never = pa.nulls(rows.num_rows, pa.int64())
    rows = rows.append_column("started_ns", never).append_column("ended_ns", never)
    alone = _joined(apart, _ATTEMPT_KEYS, numbers).select(names)
    alone = alone.sort_by([(name, "ascending") for name in names])
    return _dated(pa.concat_tables([rows.select(names), alone]).combine_chunks(), day)


def _legs(batch: pa.RecordBatch) -> pa.Table:
    """Return the attempts of the calls in `batch`, each with its customer and its place."""
    legs = batch.column("legs")
    parents, fields = compute.list_parent_indices(legs), legs.flatten()
    given = [fields.type.field(n).name for n in range(fields.type.num_fields)]
    columns = _filled(given, fields.flatten(), _TOLD, len(fields))
    replica = columns["replica"]
    return pa.table(
        {
            **{name: batch.column(name).take(parents) for name in ("customer", "purpose", "model")},
            "place": compute.coalesce(replica, columns["provider"]),
            "bought": replica.is_null(),
            "computed": compute.subtract(columns["input_tokens"], columns["cache_read_tokens"]),
            "produced": columns["output_tokens"],
            **_buckets(columns),
            "started_ns": columns["started_ns"],
            "ended_ns": columns["ended_ns"],
        }
    )


def _buckets(columns: _Columns) -> dict[str, pa.Array]:
    """Return the tokens of each row in exactly one bucket each."""
    found = buckets(lambda unit: columns[unit.value], compute.subtract, compute.min_element_wise)
    return {unit.value: values for unit, values in found.items()}


def grouped(
    rows: pa.Table, keys: Sequence[str], summed: Sequence[str], least: Sequence[str] = ()
) -> pa.Table:
    """Return `rows` by `keys`, in their order; TooLargeError when a sum might leave 64 bits."""
    for name in summed:
        _refuse_large(rows, name)
    measures = [*((name, "sum") for name in summed), *((name, "min") for name in least)]
    found = rows.group_by(list(keys), use_threads=False).aggregate(measures)
    found = found.select([*keys, *(f"{name}_{how}" for name, how in measures)])
    found = found.rename_columns([*keys, *(name for name, _ in measures)])
    return found.sort_by([(key, "ascending") for key in keys]).combine_chunks()


def _refuse_large(rows: pa.Table, name: str) -> None:
    ends = compute.min_max(rows[name])
    least, most = ends["min"].as_py(), ends["max"].as_py()
    if most is not None and max(-least, most) * rows.num_rows >= 2**63:
        raise TooLargeError(name)


def _dated(rows: pa.Table, day: int) -> pa.Table:
    """`rows` with their day. Its name is not `day`, which readers take from a file's folder."""
    return rows.add_column(0, "utc_day", _all(day, rows.num_rows))


def _joined(parts: Sequence[pa.Table], keys: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """`parts` as one table; without any, one of `keys` and `numbers` that has no rows."""
    if parts:
        return pa.concat_tables(parts).combine_chunks()
    columns = [(key, pa.bool_() if key == "bought" else pa.string()) for key in keys]
    return pa.schema([*columns, *((name, pa.int64()) for name in numbers)]).empty_table()


def _filled(
    given: Sequence[str], columns: Sequence[pa.Array], counts: Sequence[str], rows: int
) -> dict[str, pa.Array]:
    """`columns` by name; a count that a file of a former version lacks is zero."""
    found = dict(zip(given, columns, strict=True))
    return found | {
        name: compute.fill_null(found[name], 0) if name in found else _all(0, rows)
        for name in counts
    }


def batches(
    file: pq.ParquetFile, columns: Sequence[str], of_leg: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `file` with `columns`, and with the fields `of_leg` of their attempts."""
    paths = [
        path
        for path in (file.schema.column(n).path for n in range(len(file.schema)))
        if path in columns or (path.startswith("legs.") and path.rpartition(".")[2] in of_leg)
    ]
    yield from file.iter_batches(_BATCH_ROWS, columns=paths)


def _all(value: int, rows: int) -> pa.Array:
    return pa.array(np.full(rows, value, np.int64))


# --- intervals ----------------------------------------------------------------------------------------


def _intervals_of(file: pq.ParquetFile, day: int) -> pa.Table:
    """Return the rows of `file`, with rows that follow each other without a gap merged."""
    schema = LAKE_TABLES["capacity"].schema
    rows = file.read(columns=schema.names).cast(schema).combine_chunks()
    _refuse_large(rows, "duration_ns")
    runs = _runs(rows, (day + 1) * DAY_NS)
    joins = compute.is_valid(runs)
    joined = rows.append_column("run", runs).filter(joins)
    sums = joined.group_by(["run", "replica", "node", "state"], use_threads=False).aggregate(
        [("start_ns", "min"), ("end_ns", "max"), ("duration_ns", "sum")]
    )
    whole = joined.group_by(["run"], use_threads=False).aggregate(
        [("start_ns", "min"), ("end_ns", "max")]
    )
    sums = sums.select(["run", "replica", "node", "state", "duration_ns_sum"]).join(whole, "run")
    sums = sums.rename_columns({f"{n}_{how}": n for n, how in _OF_A_RUN})
    found = pa.concat_tables(
        [sums.select(schema.names).cast(schema), rows.filter(compute.invert(joins))]
    )
    order = ("replica", "start_ns", "end_ns", "node", "state", "duration_ns")
    return found.sort_by([(name, "ascending") for name in order]).combine_chunks()


_OF_A_RUN: Final = (("start_ns", "min"), ("end_ns", "max"), ("duration_ns", "sum"))


def _runs(rows: pa.Table, day_ends_ns: int) -> pa.Array:
    """Return the number of each row's run; null for a row that stands by itself."""
    replica, node = (
        rows[name].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        for name in ("replica", "node")
    )
    number = replica * (rows.num_rows + 1) + node  # a number for each replica on a node
    starts, ends, lasts = (rows[name].to_numpy() for name in ("start_ns", "end_ns", "duration_ns"))
    order = np.lexsort((ends, starts, number))
    number, starts, ends, lasts = (column[order] for column in (number, starts, ends, lasts))
    begins = _differs(number) | _differs(starts) | _differs(ends)
    interval = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    whose, start, end = number[first], starts[first], ends[first]
    filled = np.add.reduceat(lasts, first) if len(first) else lasts
    least = np.minimum.reduceat(lasts, first) if len(first) else lasts
    sound = (filled == end - start) & (least >= 0) & (end > start) & (end <= day_ends_ns)
    # the mask of intervals on machines of which two intervals overlap
    overlaps = np.zeros(len(start), bool)
    overlaps[1:] = (whose[1:] == whose[:-1]) & (start[1:] < end[:-1])
    alone = ~sound | np.isin(whose, whose[overlaps])
    # An interval begins a run unless the one before it is of the same machine and ends where it starts.
    follows = np.zeros(len(start), bool)
    follows[1:] = (whose[1:] == whose[:-1]) & (end[:-1] == start[1:]) & ~alone[1:] & ~alone[:-1]
    run = np.cumsum(~follows)[interval]
    found, mask = np.empty(len(order), np.int64), np.empty(len(order), bool)
    found[order], mask[order] = run, alone[interval]
    return pa.array(found, mask=mask)


def _differs(values: np.ndarray) -> np.ndarray:
    """Return the mask of `values` that differ from the one before."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


KINDS: Final[Mapping[str, SumKind]] = {
    kind.name: kind
    for kind in (
        SumKind("calls", "usage", _calls_of),
        SumKind("attempts", "usage", _attempts_of),
        SumKind("intervals", "capacity", _intervals_of),
    )
}
"""The kinds of sums by name."""
