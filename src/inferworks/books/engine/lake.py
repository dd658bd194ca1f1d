"""The facts of the meter as tables: from the lake's files, from memory, or both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.directory import Directory
from inferworks.books.engine.base import Engine
from inferworks.books.span import Span
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import Facts
from inferworks.meter.lake_schema import LAKE_TABLES, Fact, LakeTable, batch_of, missing, records_of
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage


class Lake(NamedTuple):
    """The facts of the meter as tables, with the columns of `meter.lake_schema`."""

    usage: ir.Table
    step: ir.Table
    capacity: ir.Table
    activity: ir.Table

    def within(self, start_ns: int, end_ns: int) -> Lake:
        """The calls opened in the interval, and what else overlaps it: as `Facts` of it would have."""
        opened = self.usage.opened_ns
        step, capacity, activity = self.step, self.capacity, self.activity
        return Lake(
            self.usage.filter((opened >= start_ns) & (opened < end_ns)),
            _overlapping(step, step.start_ns + step.duration_ns, start_ns, end_ns),
            _overlapping(capacity, capacity.end_ns, start_ns, end_ns),
            _overlapping(activity, activity.end_ns, start_ns, end_ns),
        )

    def whole_span(self, engine: Engine) -> Span:
        """The smallest span that holds every call, machine interval and activity; empty for none."""
        spans = (
            (self.usage.opened_ns, ibis.greatest(self.usage.closed_ns, self.usage.opened_ns + 1)),
            (self.capacity.start_ns, self.capacity.end_ns),
            (self.activity.start_ns, self.activity.end_ns),
        )
        rows = [
            table.agg(start_ns=start.min(), end_ns=end.max())
            for table, (start, end) in zip(
                (self.usage, self.capacity, self.activity), spans, strict=True
            )
        ]
        found = [row for row in engine.fetch(ibis.union(*rows)).to_pylist() if row["end_ns"]]
        start_ns = min((row["start_ns"] for row in found), default=0)
        return Span(start_ns, max((row["end_ns"] for row in found), default=start_ns))

    def bought(self, engine: Engine) -> tuple[Usage, ...]:
        """The calls of which somebody else's API served an attempt."""
        table = LAKE_TABLES["usage"]
        legs = self.usage.legs.filter(lambda leg: leg.replica.isnull())
        rows = engine.fetch(self.usage.filter(legs.length() > 0).select(table.schema.names))
        facts = (fact for batch in rows.to_batches() for fact in records_of(table, batch))
        return tuple(sorted((f for f in facts if isinstance(f, Usage)), key=_by_opening))


def lake_of(
    engine: Engine, files: Mapping[str, Iterable[str]], recent: Facts | None = None
) -> Lake:
    """The Parquet `files` of each table by its name, and `recent` facts that are in none of them.

    What was taken back is left out. A table without a file is empty. BooksError when a file cannot be read.
    """
    facts = recent or Facts((), (), (), ())
    in_memory: Mapping[str, Sequence[Fact]] = {
        "usage": facts.usages,
        "step": facts.steps,
        "capacity": facts.capacity,
        "activity": facts.activities,
    }
    tables: dict[str, ir.Table] = {}
    for name, rows in in_memory.items():
        table, sealed = LAKE_TABLES[name], sorted(files.get(name, ()))
        lacking = table.schema if rows else pa.schema(table.added)
        parts = [_sealed(engine, table, sealed, lacking)] if sealed else []
        if rows or not parts:
            held = pa.Table.from_batches([batch_of(table, rows)])
            parts.append(engine.table(held).select(table.schema.names))
        tables[name] = ibis.union(*parts) if len(parts) > 1 else parts[0]
    return _in_force(engine, Lake(**tables), facts.retracted)


def counted_lake(engine: Engine, lake: Lake, directory: Directory) -> Lake:
    """`lake` with the customers for whom its calls and activities count: `whose.py` as relations."""
    counted = directory.counted()
    if not counted:
        return lake
    names = [(one.customer, one.survivor) for one in counted]
    times = [(one.from_ns, one.until_ns) for one in counted]
    table = pa.table(
        {
            "of_customer": pa.array([customer for customer, _ in names], pa.string()),
            "survivor": pa.array([survivor for _, survivor in names], pa.string()),
            "from_ns": pa.array([from_ns for from_ns, _ in times], pa.int64()),
            "until_ns": pa.array([until_ns for _, until_ns in times], pa.int64()),
        }
    )

    def whose(rows: ir.Table, at_ns: str) -> ir.Table:
        merged = engine.table(table)
        columns = rows.columns
        joined = rows.left_join(
            merged,
            [
                rows.customer == merged.of_customer,
                rows[at_ns] >= merged.from_ns,
                rows[at_ns] < merged.until_ns,
            ],
        )
        return joined.mutate(customer=ibis.coalesce(joined.survivor, joined.customer)).select(
            *columns
        )

    return lake._replace(
        usage=whose(lake.usage, "opened_ns"), activity=whose(lake.activity, "start_ns")
    )


def _in_force(engine: Engine, lake: Lake, retracted: Sequence[Retracted]) -> Lake:
    """`lake` without the reports that were taken back, wherever they are."""
    if not retracted:
        return lake
    names = [(one.source, one.id) for one in retracted]
    calls = pa.table({"call_id": [reported_call_id(*name) for name in names]})
    activities = pa.table(list(map(list, zip(*names, strict=True))), ["source", "id"])
    return lake._replace(
        usage=lake.usage.anti_join(engine.table(calls), "call_id"),
        activity=lake.activity.anti_join(engine.table(activities), ["source", "id"]),
    )


def _sealed(engine: Engine, table: LakeTable, files: Sequence[str], lacking: pa.Schema) -> ir.Table:
    """The rows in `files`; what those of a former version lack is zero, or empty.

    What they may lack is `lacking`. Within `legs` the books read no column that was added since, and
    filling such columns into every attempt takes longer than reading it: so it is done only for rows in
    memory to stand beside, which have them all.
    """
    rows = engine.parquet(files, lacking if table.added else None)
    given = {field.name: ibis.coalesce(rows[field.name], missing(field)) for field in table.added}
    return rows.mutate(given).select(table.schema.names)


def _overlapping(table: ir.Table, stop_ns: ir.Value, start_ns: int, end_ns: int) -> ir.Table:
    inside = (table.start_ns >= start_ns) | (stop_ns > start_ns)
    return table.filter((table.start_ns < end_ns) & inside)


def _by_opening(usage: Usage) -> tuple[int, str]:
    return usage.opened_ns, usage.call_id
