"""The machines' side of a lake, made small: what `drivers.py` needs to know of replicas and nodes.

A replica writes an interval every few seconds, but a charge asks for hours. Intervals that follow each
other without a gap, inside one slot between the edges of charges, are joined into one: for every question
whose span consists of whole slots the answer stays the same, to the nanosecond. What reaches over an edge
is kept as it is, with the times of the steps in it, for there a cut must know where the work was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.drivers import Place
from inferworks.books.engine.base import Engine, total, whole
from inferworks.books.engine.calls import Lake
from inferworks.books.engine.slots import Slots
from inferworks.books.span import merged
from inferworks.errors import BooksError
from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.facts import Facts
from inferworks.meter.lake_schema import LAKE_TABLES, records_of

_INTERVAL = ("replica", "node", "start_ns", "end_ns")


class Machines(NamedTuple):
    """The facts of machines, and how many nanoseconds of steps were outside provisioned time."""

    facts: Facts
    unprovisioned_ns: int


def machines(engine: Engine, lake: Lake, slots: Slots) -> Machines:
    """The capacity, activities and step times of `lake` that questions over `slots` need.

    BooksError when the states of an interval do not fill it, or intervals overlap (theorem 5).
    """
    _check(engine, lake)
    marked = _marked(lake.capacity, slots)
    capacity = _capacity(engine.fetch(_joined(marked)))
    cut = engine.fetch(marked.filter(marked.cut)).select(lake.capacity.columns)
    capacity += _capacity(cut)
    facts = Facts(
        usages=(),
        steps=tuple(_step_times(engine, lake, cut)),
        capacity=tuple(capacity),
        activities=tuple(_activities(engine, lake)),
    )
    return Machines(facts, _unprovisioned_ns(engine, lake, capacity))


def places(engine: Engine, of_replicas: ir.Table) -> Mapping[ReplicaId, Place]:
    """Where each replica stands, from the rows of `Calls.places`."""
    rows = engine.fetch(of_replicas).to_pylist()
    return {
        ReplicaId(row["replica"]): Place(row["provider"], row["region"], row["chip"])
        for row in rows
    }


def _marked(capacity: ir.Table, slots: Slots) -> ir.Table:
    """`capacity` with the slot of each interval, and whether an edge cuts it."""
    last_ns = ibis.greatest(capacity.start_ns, capacity.end_ns - 1)
    slot, last_slot = slots.passed(capacity.start_ns), slots.passed(last_ns)
    return capacity.mutate(slot=slot, cut=slot != last_slot)


def _joined(marked: ir.Table) -> ir.Table:
    """The uncut intervals, those that follow each other in a slot as one, by state."""
    uncut = marked.filter(~marked.cut)
    intervals = uncut.select(*_INTERVAL, "slot").distinct()
    order = ibis.window(group_by=["replica", "node", "slot"], order_by=["start_ns", "end_ns"])
    intervals = intervals.mutate(before_ns=intervals.end_ns.lag().over(order))
    intervals = intervals.mutate(
        opens=ibis.ifelse(ibis.coalesce(intervals.before_ns, -1) == intervals.start_ns, 0, 1)
    )
    until_here = ibis.cumulative_window(
        group_by=["replica", "node", "slot"], order_by=["start_ns", "end_ns"]
    )
    intervals = intervals.mutate(run=intervals.opens.sum().over(until_here))
    runs = intervals.group_by(["replica", "node", "slot", "run"]).agg(
        run_start_ns=intervals.start_ns.min(), run_end_ns=intervals.end_ns.max()
    )
    of_interval = intervals.select(*_INTERVAL, "slot", "run").join(
        runs, ["replica", "node", "slot", "run"]
    )
    rows = uncut.select(*_INTERVAL, "state", "duration_ns").join(of_interval, _INTERVAL)
    return rows.group_by(
        ["replica", "node", "state"], start_ns=rows.run_start_ns, end_ns=rows.run_end_ns
    ).agg(duration_ns=rows.duration_ns.sum().cast("int64"))


def _capacity(rows: pa.Table) -> list[Capacity]:
    return [
        Capacity(
            ReplicaId(row["replica"]),
            NodeId(row["node"]),
            State(row["state"]),
            row["start_ns"],
            row["end_ns"],
            row["duration_ns"],
        )
        for row in rows.to_pylist()
    ]


def _activities(engine: Engine, lake: Lake) -> Iterable[Activity]:
    table = LAKE_TABLES["activity"]
    rows = engine.fetch(lake.activity.select(table.schema.names))
    for batch in rows.to_batches():
        for fact in records_of(table, batch):
            assert isinstance(fact, Activity)
            yield fact


def _step_times(engine: Engine, lake: Lake, cut: pa.Table) -> Iterable[Step]:
    """When the steps were that overlap an interval that is cut; whose they were is left out."""
    if not cut.num_rows:
        return
    spans: dict[str, list[tuple[int, int]]] = {}
    for row in cut.to_pylist():
        spans.setdefault(row["replica"], []).append((row["start_ns"], row["end_ns"]))
    asked = [(name, *span) for name, pairs in sorted(spans.items()) for span in merged(pairs)]
    ranges = engine.table(
        pa.table(
            {
                "of_replica": pa.array([row[0] for row in asked], pa.string()),
                "from_ns": pa.array([row[1] for row in asked], pa.int64()),
                "until_ns": pa.array([row[2] for row in asked], pa.int64()),
            }
        )
    )
    step = lake.step.select("replica", "seq", "start_ns", "duration_ns")
    found = step.join(ranges, [("replica", "of_replica")])
    found = found.filter(
        (found.start_ns <= found.until_ns) & (found.start_ns + found.duration_ns >= found.from_ns)
    )
    for row in engine.fetch(found.select(*step.columns).distinct()).to_pylist():
        yield Step(ReplicaId(row["replica"]), row["seq"], row["start_ns"], row["duration_ns"], ())


def _unprovisioned_ns(engine: Engine, lake: Lake, capacity: Iterable[Capacity]) -> int:
    """Nanoseconds of steps outside every interval of their replica."""
    spans: dict[str, set[tuple[int, int]]] = {}
    for row in capacity:
        spans.setdefault(row.replica, set()).add((row.start_ns, row.end_ns))
    asked = [(name, *span) for name, pairs in sorted(spans.items()) for span in merged(pairs)]
    provisioned = engine.table(
        pa.table(
            {
                "of_replica": pa.array([row[0] for row in asked], pa.string()),
                "from_ns": pa.array([row[1] for row in asked], pa.int64()),
                "until_ns": pa.array([row[2] for row in asked], pa.int64()),
            }
        )
    )
    step = lake.step.select("replica", "start_ns", "duration_ns")
    inside = step.join(provisioned, [("replica", "of_replica")])
    inside_ns = ibis.least(inside.start_ns + inside.duration_ns, inside.until_ns) - ibis.greatest(
        inside.start_ns, inside.from_ns
    )
    inside = inside.mutate(inside_ns=ibis.greatest(inside_ns, 0))
    both = (
        engine.fetch(step.agg(ns=total(step.duration_ns))),
        engine.fetch(inside.agg(ns=total(inside.inside_ns))),
    )
    whole_ns, inside_total_ns = (int(rows["ns"][0].as_py()) for rows in both)
    return whole_ns - inside_total_ns


def _check(engine: Engine, lake: Lake) -> None:
    """Theorem 5: states partition provisioned time; nothing is negative."""
    capacity = lake.capacity
    intervals = capacity.group_by(["replica", "start_ns", "end_ns"]).agg(
        filled_ns=total(capacity.duration_ns), least_ns=capacity.duration_ns.min()
    )
    order = ibis.window(group_by="replica", order_by=["start_ns", "end_ns"])
    intervals = intervals.mutate(before_ns=intervals.end_ns.lag().over(order))
    wrong = intervals.filter(
        (intervals.filled_ns != whole(intervals.end_ns - intervals.start_ns))
        | (intervals.least_ns < 0)
        | (ibis.coalesce(intervals.before_ns, intervals.start_ns) > intervals.start_ns)
    )
    for row in engine.fetch(wrong.limit(1)).to_pylist():
        raise BooksError(
            f"theorem 5 (time): replica {row['replica']} from {row['start_ns']} to {row['end_ns']}: "
            f"its states sum to {row['filled_ns']} ns and the interval before ends at "
            f"{row['before_ns']}"
        )
