"""The facts of the meter as tables: from the lake's files, from memory, or both.

Where the lake has sums by day (`archive.sums`), they stand in for the rows of every file that has them,
unless an edge lies within their day: of the span, of a charge, of a merger of customers, or a call that
was taken back. Then the rows of that day are read, and of no other (`Lake.by_day`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.accounts.directory import ALONE, Directory
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, small_table, whole_divide
from inferworks.meter.archive.reader import LakeReader, Snapshot
from inferworks.meter.archive.schema import (
    DAY_NS,
    LAKE_TABLES,
    Fact,
    batch_of,
    missing,
    records_of,
)
from inferworks.meter.archive.sums import KINDS
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Usage


class DaySums(NamedTuple):
    """A file of sums, and the file of the lake whose rows it sums."""

    of: str
    kind: str
    day: int
    """Days since 1970-01-01 UTC."""
    path: str


class ByDay(NamedTuple):
    """The rows of a table: some of them as their sums by day."""

    sums: ir.Table | None
    rows: ir.Table | None
    """Rows that are not summed; None where there are none. `sums` and `rows` are never both None."""

    def united(self, columns: Sequence[str]) -> ir.Table:
        """Return both as one table."""
        parts = [part.select(*columns) for part in (self.sums, self.rows) if part is not None]
        return ibis.union(*parts) if len(parts) > 1 else parts[0]


class Apart(NamedTuple):
    """Customers and days (since 1970) whose calls are not to be summed, in two columns of equal length."""

    customers: Sequence[str]
    days: Sequence[int]


NOBODY_APART = Apart((), ())


@dataclass(frozen=True)
class Lake:
    """The facts of the meter as tables, with the columns of `archive.schema`.

    What was taken back is left out. BooksError when a file cannot be read, once its table is asked for.
    """

    engine: Engine
    files: Mapping[str, Sequence[str]]
    """Paths by table."""
    recent: Facts
    """Facts that are in none of the files; and retractions."""
    sums: Sequence[DaySums] = ()
    span: Span | None = None
    """Span of all tables; None for everything."""
    customers: Directory = ALONE
    """Customers for whom calls and activities count, after mergers."""

    @cached_property
    def usage(self) -> ir.Table:
        """The calls opened in the span."""
        return self._rows("usage", self.files.get("usage", ()))

    @cached_property
    def step(self) -> ir.Table:
        """The steps that overlap the span."""
        return self._rows("step", self.files.get("step", ()))

    @cached_property
    def capacity(self) -> ir.Table:
        """The rows of capacity that overlap the span."""
        return self._rows("capacity", self.files.get("capacity", ()))

    @cached_property
    def activity(self) -> ir.Table:
        """The activities that overlap the span."""
        return self._rows("activity", self.files.get("activity", ()))

    def within(self, start_ns: int, end_ns: int) -> Lake:
        """Return the calls opened in the interval and the other facts that overlap it, as `Facts` does."""
        return replace(self, span=Span(start_ns, end_ns))

    def counted(self, customers: Directory) -> Lake:
        """Return the lake with facts mapped to the customers for whom they count, as `counted_facts.py`."""
        return replace(self, customers=customers)

    def by_day(self, kind: str, edges_ns: Iterable[int], apart: Apart = NOBODY_APART) -> ByDay:
        """The rows of a table, as sums of `kind` where these can answer what has `edges_ns`.

        A day amid which an edge lies has rows, and so have the calls of those `apart`.
        """
        table = KINDS[kind].table
        edges = {*edges_ns, *(self.span or ())}  # at which what is true of a row may change
        cut: set[int] = set()
        if table == "usage":
            edges |= {edge for c in self.customers.counted() for edge in (c.from_ns, c.until_ns)}
            cut = {report.start_ns // DAY_NS for report in self.recent.retracted}
        cut |= {edge // DAY_NS for edge in edges if edge % DAY_NS}
        chosen = [sums for sums in self.sums if sums.kind == kind and sums.day not in cut]
        summed = {sums.of for sums in chosen}
        others = [path for path in self.files.get(table, ()) if path not in summed]
        alone = [sums.of for sums in chosen if sums.day in set(apart.days)]
        if self.span is not None and table == "usage":
            chosen = [sums for sums in chosen if self.span.holds(sums.day * DAY_NS)]
        sums: ir.Table | None = None
        if chosen:
            sums = self.engine.parquet([sums.path for sums in chosen])
            if table == "usage":
                opened_ns = sums.utc_day * ibis.literal(DAY_NS, "int64")
                sums = self._whose(sums.mutate(opened_ns=opened_ns), "opened_ns")
            else:
                sums = self._overlapping(table, sums)
        if others or self._recent(table) or sums is None:
            rows: ir.Table | None = self._rows(table, others)
        else:
            rows = None
        if sums is None or not alone:
            return ByDay(sums, rows)
        pairs = small_table(self.engine, {"of_customer": apart.customers}, {"of_day": apart.days})
        sums = sums.anti_join(pairs, [("customer", "of_customer"), ("utc_day", "of_day")])
        own = self._shaped("usage", self._all("usage", alone, ()))
        own = own.mutate(utc_day=whole_divide(own.opened_ns, DAY_NS))
        own = own.semi_join(pairs, [("customer", "of_customer"), ("utc_day", "of_day")])
        own = own.drop("utc_day")
        return ByDay(sums, own if rows is None else ibis.union(rows, own))

    def whole_span(self) -> Span:
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
        bounds = [row for row in self.engine.fetch(ibis.union(*rows)).to_pylist() if row["end_ns"]]
        start_ns = min((row["start_ns"] for row in bounds), default=0)
        return Span(start_ns, max((row["end_ns"] for row in bounds), default=start_ns))

    def bought(self) -> tuple[Usage, ...]:
        """The calls of which somebody else's API served an attempt.

        Files of days on which, by their sums, nobody's did are not opened.
        """
        table = LAKE_TABLES["usage"]
        files = self.files.get("usage", ())
        known = [sums for sums in self.sums if sums.kind == "attempts"]
        if known:
            sums = self.engine.parquet([sums.path for sums in known])
            days = self.engine.fetch(sums.filter(sums.bought).select("utc_day").distinct())
            bought = set(days["utc_day"].to_pylist())
            without = {sums.of for sums in known if sums.day not in bought}
            files = [path for path in files if path not in without]
        usage = self._rows("usage", files)
        legs = usage.legs.filter(lambda leg: leg.replica.isnull())
        rows = self.engine.fetch(usage.filter(legs.length() > 0).select(table.schema.names))
        facts = (fact for batch in rows.to_batches() for fact in records_of(table, batch))
        usages = (fact for fact in facts if isinstance(fact, Usage))
        return tuple(sorted(usages, key=lambda usage: (usage.opened_ns, usage.call_id)))

    def _recent(self, table: str) -> Sequence[Fact]:
        facts = self.recent
        tables: Mapping[str, Sequence[Fact]] = {
            "usage": facts.usages,
            "step": facts.steps,
            "capacity": facts.capacity,
            "activity": facts.activities,
        }
        return tables[table]

    def _rows(self, name: str, files: Sequence[str]) -> ir.Table:
        """The rows of the table `name` in `files` and in memory."""
        return self._shaped(name, self._all(name, files, self._recent(name)))

    def _all(self, name: str, files: Sequence[str], recent: Sequence[Fact]) -> ir.Table:
        """The rows of the table `name` in `files`, and those of `recent`.

        What files of a former version lack is zero, or empty. Within `legs` the books read no column that
        was added since, and filling such columns into every attempt takes longer than reading it: so it is
        done only for rows in memory to stand beside, which have them all.
        """
        table, parts = LAKE_TABLES[name], list[ir.Table]()
        if files:
            lacking = table.schema if recent else pa.schema(table.added)
            rows = self.engine.parquet(sorted(files), lacking if table.added else None)
            added = {f.name: ibis.coalesce(rows[f.name], missing(f)) for f in table.added}
            parts.append(rows.mutate(added).select(table.schema.names))
        if recent or not parts:
            held = pa.Table.from_batches([batch_of(table, recent)])
            parts.append(self.engine.table(held).select(table.schema.names))
        return ibis.union(*parts) if len(parts) > 1 else parts[0]

    def _shaped(self, name: str, rows: ir.Table) -> ir.Table:
        """Return the rows that are in force, each with the customer for whom it counts."""
        reports = [(report.source, report.id) for report in self.recent.retracted]
        if reports and name in ("usage", "activity"):
            names: dict[str, Sequence[str]] = {
                "source": [source for source, _ in reports],
                "id": [id_ for _, id_ in reports],
            }
            if name == "usage":
                names = {"call_id": [reported_call_id(*report) for report in reports]}
            rows = rows.anti_join(small_table(self.engine, names, {}), list(names))
        if name != "usage":
            rows = self._overlapping(name, rows)
            return self._whose(rows, "start_ns") if name == "activity" else rows
        if self.span is not None:
            opened = rows.opened_ns
            rows = rows.filter((opened >= self.span.start_ns) & (opened < self.span.end_ns))
        return self._whose(rows, "opened_ns")

    def _overlapping(self, name: str, rows: ir.Table) -> ir.Table:
        if self.span is None:
            return rows
        stop_ns = rows.start_ns + rows.duration_ns if name == "step" else rows.end_ns
        inside = (rows.start_ns >= self.span.start_ns) | (stop_ns > self.span.start_ns)
        return rows.filter((rows.start_ns < self.span.end_ns) & inside)

    def _whose(self, rows: ir.Table, at_ns: str) -> ir.Table:
        """`rows` with the customers for whom they count."""
        counted = self.customers.counted()
        if not counted:
            return rows
        merged = small_table(
            self.engine,
            {
                "of_customer": (c.customer for c in counted),
                "survivor": (c.survivor for c in counted),
            },
            {"from_ns": (c.from_ns for c in counted), "until_ns": (c.until_ns for c in counted)},
        )
        columns = rows.columns
        joined = rows.left_join(
            merged,
            [
                rows.customer == merged.of_customer,
                rows[at_ns] >= merged.from_ns,
                rows[at_ns] < merged.until_ns,
            ],
        )
        customer = ibis.coalesce(joined.survivor, joined.customer)
        return joined.mutate(customer=customer).select(*columns)


def day_sums(reader: LakeReader, moment: Snapshot) -> list[DaySums]:
    """The files of sums of `moment` that are what was written."""
    return [
        DaySums(reader.locate(segment), sums.kind, segment.start_ns // DAY_NS, reader.locate(sums))
        for segments in moment.segments.values()
        for segment in segments
        for sums in moment.sums[segment.name]
        if sums.kind in KINDS and reader.sound(sums)
    ]


def lake_of(
    engine: Engine,
    files: Mapping[str, Iterable[str]],
    recent: Facts | None = None,
    sums: Iterable[DaySums] = (),
) -> Lake:
    """The Parquet `files` of each table by its name, and `recent` facts that are in none of them.

    `sums` are of some of the files. A table without a file is empty.
    """
    paths_of = {name: tuple(paths) for name, paths in files.items()}
    return Lake(engine, paths_of, recent or Facts((), (), (), ()), tuple(sums))
