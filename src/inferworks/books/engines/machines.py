"""The machines' facts of a lake, condensed: the replicas and nodes that `drivers.py` needs.

A replica writes an interval every few seconds, but a charge asks for hours. Intervals that follow each
other without a gap, inside one slot between the edges of charges, are joined into one: for every question
whose span consists of whole slots the answer stays the same, to the nanosecond. An interval that reaches
over an edge is kept as it is, with the times of the steps in it, by which its work is divided there.

Intervals are many and machines are few, so intervals are sorted and summed by the number of their
machine, which is a replica on a node, and not by two names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.allocation.drivers import Place
from inferworks.books.calendar.span import Span, merged
from inferworks.books.engines.base import Engine, small_table, total, whole
from inferworks.books.engines.lake import Lake
from inferworks.books.engines.time_buckets import Slots
from inferworks.errors import BooksError
from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.archive.schema import LAKE_TABLES, records_of
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.facts import Facts

_MACHINE = ("machine", "server")
"""The numbers of a replica on a node, and of the replica wherever it stands."""
_STRETCH = (*_MACHINE, "slot", "cut_start_ns", "cut_end_ns")
Key: TypeAlias = tuple[Any, ...]
"""Names a stretch: its values in the columns of `_STRETCH`."""
States: TypeAlias = dict[Key, dict[State, int]]
Names: TypeAlias = Mapping[int, Mapping[str, str]]
"""The `replica` and the `node` of each machine, by its number."""


_STATES = {state.value: state for state in State}


class Machines(NamedTuple):
    """The facts of machines, and how many nanoseconds of steps were outside provisioned time."""

    facts: Facts
    unprovisioned_ns: int


def machines(engine: Engine, lake: Lake, slots: Slots) -> Machines:
    """The capacity, activities and step times of `lake` that questions over `slots` need.

    BooksError when the states of an interval do not fill it, or intervals overlap (theorem 5).
    """
    rows_of = lake.by_day("intervals", slots.edges_ns).united(LAKE_TABLES["capacity"].schema.names)
    pairs = rows_of.select("replica", "node").distinct()
    numbers = engine.keep(
        pairs.mutate(
            machine=ibis.row_number().over(order_by=[pairs.replica, pairs.node]),
            server=ibis.dense_rank().over(order_by=pairs.replica),
        )
    )  # of the machines, in the order of their names
    names = {row["machine"]: row for row in engine.fetch(numbers).to_pylist()}
    capacity = rows_of.join(numbers, ["replica", "node"]).drop("replica", "node")
    quickly = _intervals(capacity).drop("filled_ns", "least_ns")
    intervals = _marked(_in_order(quickly, ("start_ns",)), slots)
    stretches = [
        row | names[row["machine"]] for row in engine.fetch(_stretches(intervals)).to_pylist()
    ]
    if any(stretch["wrong"] for stretch in stretches):
        _refuse(engine, capacity, names)
    states = _states(engine, _marked(capacity, slots))
    rows: list[Capacity] = []
    for stretch in stretches:
        if stretch["runs"] == 1:
            rows += _capacity(stretch, Span(stretch["start_ns"], stretch["end_ns"]), states)
    rows += _broken(engine, intervals, [s for s in stretches if s["runs"] > 1], states)
    cut = [row for row in stretches if row["cut_start_ns"] >= 0]
    table = LAKE_TABLES["activity"]
    batches = engine.fetch(lake.activity.select(table.schema.names)).to_batches()
    activities = (fact for batch in batches for fact in records_of(table, batch))
    facts = Facts(
        usages=(),
        steps=tuple(_step_times(engine, lake, cut)),
        capacity=tuple(rows),
        activities=tuple(fact for fact in activities if isinstance(fact, Activity)),
    )
    return Machines(facts, _unprovisioned_ns(engine, lake, rows))


def places(engine: Engine, of_replicas: ir.Table) -> Mapping[ReplicaId, Place]:
    """Return the location of each replica, from the rows of `Calls.places`."""
    rows = engine.fetch(of_replicas).to_pylist()
    return {
        ReplicaId(row["replica"]): Place(row["provider"], row["region"], row["chip"])
        for row in rows
    }


def _marked(rows: ir.Table, slots: Slots) -> ir.Table:
    """`rows` with their slot; what an edge cuts is told apart by `cut_start_ns` and `cut_end_ns`.

    Those two are -1 elsewhere.
    """
    last_ns = ibis.greatest(rows.start_ns, rows.end_ns - 1)
    slot = slots.passed(rows.start_ns)
    cut = slot != slots.passed(last_ns)
    return rows.mutate(
        slot=slot,
        cut_start_ns=ibis.ifelse(cut, rows.start_ns, -1),
        cut_end_ns=ibis.ifelse(cut, rows.end_ns, -1),
    )


def _intervals(capacity: ir.Table) -> ir.Table:
    """One row for each interval of a replica; `uneven` where its states do not fill it (theorem 5)."""
    rows = capacity.group_by([*_MACHINE, "start_ns", "end_ns"]).agg(
        filled_ns=total(capacity.duration_ns), least_ns=capacity.duration_ns.min()
    )
    uneven = (rows.filled_ns != whole(rows.end_ns - rows.start_ns)) | (rows.least_ns < 0)
    return rows.mutate(uneven=uneven)


def _in_order(intervals: ir.Table, order: Sequence[str]) -> ir.Table:
    """`intervals` with the end of the one before; `wrong` is 1 where theorem 5 may not hold."""
    window = ibis.window(group_by="server", order_by=list(order))
    rows = intervals.mutate(before_ns=intervals.end_ns.lag().over(window))
    overlaps = ibis.coalesce(rows.before_ns, rows.start_ns) > rows.start_ns
    return rows.mutate(wrong=ibis.ifelse(rows.uneven | overlaps, 1, 0))


def _stretches(intervals: ir.Table) -> ir.Table:
    """The intervals of a replica in one slot taken together; what is cut stands by itself.

    `runs` is 1 where each follows the one before without a gap.
    """
    return (
        intervals.group_by(list(_STRETCH))
        .agg(
            start_ns=intervals.start_ns.min(),
            end_ns=intervals.end_ns.max(),
            covered_ns=total(intervals.end_ns - intervals.start_ns),
            wrong=intervals.wrong.max(),
        )
        .mutate(
            runs=lambda rows: ibis.ifelse(
                whole(rows.end_ns - rows.start_ns) == rows.covered_ns, 1, 2
            )
        )
    )


def _states(engine: Engine, capacity: ir.Table) -> States:
    """The nanoseconds of each stretch by state."""
    sums = capacity.group_by([*_STRETCH, "state"]).agg(ns=total(capacity.duration_ns))
    states: States = defaultdict(dict)
    columns = (column.to_pylist() for column in engine.fetch(sums).columns)
    for *stretch, state, ns in zip(*columns, strict=True):
        states[tuple(stretch)][_STATES[state]] = int(ns)
    return states


def _key(row: Mapping[str, Any]) -> Key:
    return tuple(row[name] for name in _STRETCH)


def _capacity(stretch: Mapping[str, Any], span: Span, states: States) -> Iterable[Capacity]:
    """The states of a stretch, over `span`."""
    machine = ReplicaId(stretch["replica"]), NodeId(stretch["node"])
    for state, duration_ns in states[_key(stretch)].items():
        yield Capacity(*machine, state, *span, duration_ns)


def _broken(
    engine: Engine, intervals: ir.Table, stretches: Sequence[Mapping[str, Any]], states: States
) -> Iterable[Capacity]:
    """Stretches with gaps: the states of each stand on its first run, the others only say when."""
    if not stretches:
        return
    types = intervals.schema()
    keys = pa.table(
        {
            name: pa.array([stretch[name] for stretch in stretches], types[name].to_pyarrow())
            for name in _STRETCH
        }
    )
    runs = intervals.semi_join(engine.table(keys), _STRETCH)
    times: dict[Key, list[tuple[int, int]]] = defaultdict(list)
    for row in engine.fetch(runs.select(*_STRETCH, "start_ns", "end_ns")).to_pylist():
        times[_key(row)].append((row["start_ns"], row["end_ns"]))
    for stretch in stretches:
        first, *others = merged(times[_key(stretch)])
        yield from _capacity(stretch, first, states)
        machine = ReplicaId(stretch["replica"]), NodeId(stretch["node"])
        for span in others:
            yield Capacity(*machine, State.IDLE, *span, 0)


def _step_times(engine: Engine, lake: Lake, cut: Sequence[Mapping[str, Any]]) -> Iterable[Step]:
    """Yield the times of the steps that overlap an interval that is cut; their calls are left out."""
    if not cut:
        return
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in cut:
        spans[row["replica"]].append((row["start_ns"], row["end_ns"]))
    step = lake.step.select("replica", "seq", "start_ns", "duration_ns")
    near = step.join(_ranges(engine, spans), [("replica", "of_replica")])
    near = near.filter(
        (near.start_ns <= near.until_ns) & (near.start_ns + near.duration_ns >= near.from_ns)
    )
    for row in engine.fetch(near.select(*step.columns).distinct()).to_pylist():
        yield Step(ReplicaId(row["replica"]), row["seq"], row["start_ns"], row["duration_ns"], ())


def _ranges(engine: Engine, spans: Mapping[str, Iterable[tuple[int, int]]]) -> ir.Table:
    """Return the `spans` of replicas, merged, as a table."""
    rows = [(name, *span) for name, pairs in sorted(spans.items()) for span in merged(pairs)]
    bounds = {"from_ns": (row[1] for row in rows), "until_ns": (row[2] for row in rows)}
    return small_table(engine, {"of_replica": (row[0] for row in rows)}, bounds)


def _unprovisioned_ns(engine: Engine, lake: Lake, capacity: Iterable[Capacity]) -> int:
    """Nanoseconds of steps outside every interval of their replica."""
    step = lake.step.select("replica", "start_ns", "duration_ns")
    whole_ns = int(engine.fetch(step.agg(ns=total(step.duration_ns)))["ns"][0].as_py())
    if not whole_ns:
        return 0
    spans: dict[str, set[tuple[int, int]]] = {}
    for row in capacity:
        spans.setdefault(row.replica, set()).add((row.start_ns, row.end_ns))
    inside = step.join(_ranges(engine, spans), [("replica", "of_replica")])
    inside_ns = ibis.least(inside.start_ns + inside.duration_ns, inside.until_ns) - ibis.greatest(
        inside.start_ns, inside.from_ns
    )
    inside = inside.mutate(inside_ns=ibis.greatest(inside_ns, 0))
    sums = engine.fetch(inside.agg(ns=total(inside.inside_ns)))
    return whole_ns - int(sums["ns"][0].as_py())


def _refuse(engine: Engine, capacity: ir.Table, names: Names) -> None:
    """Theorem 5: states partition provisioned time; nothing is negative, nothing overlaps.

    Checks closely where the quick check failed: an empty interval does not overlap the one after it.
    """
    order = ("start_ns", "end_ns")
    intervals = _in_order(_intervals(capacity), order)
    wrong = intervals.filter(intervals.wrong == 1).order_by(["server", *order])
    for row in engine.fetch(wrong.limit(1)).to_pylist():
        replica = names[row["machine"]]["replica"]
        raise BooksError(
            f"theorem 5 (time): replica {replica} from {row['start_ns']} to {row['end_ns']}: its "
            f"states sum to {row['filled_ns']} ns and the interval before ends at "
            f"{row['before_ns']}"
        )
