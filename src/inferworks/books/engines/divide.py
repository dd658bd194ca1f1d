"""The books on an engine: charges among targets, calls into revenue, and both into a statement.

Problem. `computation.py` defines the figures, with every call in memory. At ten million calls a period
that takes hours and tens of gigabytes.

Decision. The same figures in four steps. The facts of machines are condensed (`machines.py`). Charges are
divided by the defining code, which leaves an *ask* wherever calls are needed (`allocation_requests.py`).
The weights of all calls for all asks are summed together (`driver_weights.py`). The asks are answered
together by window functions, largest remainders included (`apportion.py`). The results are the same
`Allocated` values, so that all later stages (entries, statement, bridge) are the same code.

At the grain of customers only the first step of each split is taken, which by `hierarchical_split.py` is
final: the statement by customer of a month of a hundred million calls never distinguishes single calls.

Rejected. Rewriting the whole of the books in SQL (two definitions of one figure); sampling (correct
totals with wrong customers).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
import msgspec
import pyarrow as pa

from inferworks.books.allocation.allocate import Portion, Target
from inferworks.books.allocation.hierarchical_split import each
from inferworks.books.allocation.pools import CostPool, Idle
from inferworks.books.allocation.reserved_nodes import unmerged
from inferworks.books.calendar.span import Span, utc_day
from inferworks.books.charge import Charge
from inferworks.books.engines.allocation_requests import AllocationRequest, Asking, MachineDrivers
from inferworks.books.engines.apportion import width_of
from inferworks.books.engines.base import Engine, small_table, total
from inferworks.books.engines.call_dimensions import CallDimensions
from inferworks.books.engines.driver_weights import (
    Weights,
    answered,
    divisions,
    split_to,
    wholes,
)
from inferworks.books.engines.granularity import (
    NO_DAY,
    TARGETS,
    UNALLOCATED,
    UNPLACED,
    Grain,
    Parties,
    unallocated,
)
from inferworks.books.engines.lake import Lake
from inferworks.books.engines.machines import machines, places
from inferworks.books.engines.time_buckets import Slots
from inferworks.books.statement.computation import Rules
from inferworks.catalog.billing import billing_of
from inferworks.catalog.load import ModelCatalog
from inferworks.meter.archive.schema import DAY_NS
from inferworks.purpose import Purpose


class Shares(NamedTuple):
    """Parts of asks."""

    parts: ir.Table
    """Parts by ask (its place in `Divided.asks`) and the keys of a grain: `weight` and `part`."""
    parties: Parties


class Divided(NamedTuple):
    """Charges divided as far as machines go, and what calls are to answer."""

    divisions: tuple[Asking, ...]
    asks: tuple[AllocationRequest, ...]
    drivers: MachineDrivers
    shares: Shares | None
    """Shares that answer the asks; None if there is no ask."""


def divide(
    engine: Engine,
    lake: Lake,
    placed: Sequence[tuple[Charge, CostPool]],
    catalog: ModelCatalog,
    grain: Grain,
    nodes_of: MachineDrivers,
) -> Divided:
    """Each charge of a final pool divided by the driver of its pool."""
    dimensions = CallDimensions(engine, lake, catalog, grain)
    answers, weights = answered(dimensions, placed, nodes_of)
    nodes_of.answers = answers
    done = tuple(divisions(placed, nodes_of))
    asks = tuple(ask for division in done for ask in division.asks)
    if not asks or weights is None:
        return Divided(done, asks, nodes_of, None)
    parts = _parts(engine, asks, weights, answers.weights, grain)
    return Divided(done, asks, nodes_of, Shares(parts, weights.parties))


def machine_drivers(
    engine: Engine,
    lake: Lake,
    charges: Iterable[Charge],
    rules: Rules,
    grain: Grain,
) -> MachineDrivers:
    """The machines' side of `lake`, for the spans of `charges`."""
    spans = [Span(charge.period_start_ns, charge.period_end_ns) for charge in charges]
    if any(pool.idle is Idle.PEAK for pool in rules.pools):
        spans += [hour for span in spans for hour in span.hours()]
    if any(pool.idle is Idle.DEDICATED for pool in rules.pools):
        spans += [part for span in spans for part in unmerged(rules.reservers, span)]
    small = machines(engine, lake, Slots(spans))
    dimensions = CallDimensions(engine, lake, rules.catalog, grain)
    where = places(engine, dimensions.places()) if grain is TARGETS else {}
    billing = billing_of(rules.billing)
    return MachineDrivers(
        small.facts, rules.catalog, where, small.unprovisioned_ns, billing, rules.reservers
    )


def portions_of(divided: Divided, engine: Engine) -> Mapping[str, list[Portion]]:
    """The portions of every charge, by its id; at the grain of targets."""
    portions: dict[str, list[Portion]] = {}
    for division in divided.divisions:
        portions.setdefault(division.charge.id, []).extend(division.portions)
    if divided.shares is None:
        return portions
    parts, parties = divided.shares
    for row in engine.fetch(parties.named(parts)).to_pylist():
        ask = divided.asks[row["ask"]]
        day = None if row["day"] == NO_DAY else utc_day(row["day"] * DAY_NS)
        texts = {name: row[name] or None for name in ("customer", *TARGETS.rest[:-1])}
        if row["model"]:  # a call, which keeps its key as it is; of a reported one that is empty
            texts["key_id"] = row["key_id"]
        target = msgspec.structs.replace(label_target(row["label"]), day=day, **texts)
        divided_by = ask.stage, target, ask.method, ask.unit
        portion = Portion(*divided_by, int(row["weight"]), int(row["part"]), {})
        portions[ask.charge.id].append(portion)
    return portions


def _parts(
    engine: Engine,
    asks: Sequence[AllocationRequest],
    weights: Weights,
    totals: Mapping[int, int],
    grain: Grain,
) -> ir.Table:
    """Every ask's amount among what its questions weigh together: `weight` and `part` by grain."""
    weighed = [
        sum(totals[source] for source in ask.sources) + sum(weight for _, weight in ask.known)
        for ask in asks
    ]
    pairs = [(number, source) for number, ask in enumerate(asks) for source in ask.sources]
    numbers = {"ask": (pair[0] for pair in pairs), "source": (pair[1] for pair in pairs)}
    links = small_table(engine, {}, numbers)
    amounts = [each(ask.amount) for ask in asks]
    labels = [unallocated(ask.pool.name) for ask in asks]  # as its pool names what is unexplained
    parties = weights.parties.nameless([UNPLACED, *labels])
    columns = ("ask", *grain.keys, "weight")
    rows = weights.rows.join(links, [("question", "source")]).select(*columns)
    known = _known_rows(asks, grain)
    if known.num_rows:
        more = weights.parties.numbered(engine.table(known))
        rows = ibis.union(rows, more.select(*columns))
    if known.num_rows or any(len(ask.sources) > 1 for ask in asks):
        rows = rows.group_by(["ask", *grain.keys]).agg(weight=total(rows.weight))
    ask_of = [ask for ask, picos in enumerate(amounts) for _ in picos]
    lines = pa.table(
        {
            "line": pa.array(range(len(ask_of)), pa.int64()),
            "ask": pa.array(ask_of, pa.int64()),
            "amount": wholes(pico for picos in amounts for pico in picos),
            "all_weight": wholes(weighed[ask] for ask in ask_of),
            "nobody": pa.array([parties[labels[ask]] for ask in ask_of], pa.int64()),
        }
    )
    rows = rows.join(engine.table(lines), "ask")
    party = ibis.ifelse(rows.party == parties[UNPLACED], rows.nobody, rows.party)
    rows = rows.mutate(party=party).drop("nobody")
    width = width_of(max(abs(pico) for picos in amounts for pico in picos), max(weighed))
    parts = split_to(rows, "line", grain, width)
    if any(len(picos) > 1 for picos in amounts):
        alike = parts.group_by(["ask", *grain.keys])
        parts = alike.agg(weight=parts.weight.max(), part=total(parts.part))
    return engine.keep(parts.select("ask", *grain.keys, "weight", "part"))


def _known_rows(asks: Sequence[AllocationRequest], grain: Grain) -> pa.Table:
    """The targets that asks know already, as rows like those of calls."""
    rows: list[dict[str, Any]] = []
    for number, ask in enumerate(asks):
        for target, weight in ask.known:
            row = {name: getattr(target, name) or "" for name in ("customer", *TARGETS.rest[:-1])}
            days = NO_DAY
            if target.day is not None:
                days = (dt.date.fromisoformat(target.day) - dt.date(1970, 1, 1)).days
            rows.append(
                {"ask": number, "weight": weight, "label": target.label, **row, "day": days}
            )
    columns = {
        name: pa.array(
            [row[name] for row in rows], pa.int64() if name in ("ask", "day") else pa.string()
        )
        for name in ("ask", *grain.columns)
    }
    return pa.table({**columns, "weight": wholes(row["weight"] for row in rows)})


def label_target(label: str) -> Target:
    """The target that `label`, as calls and activities have it, stands for."""
    if label.startswith(UNALLOCATED):
        return Target(unallocated=label.removeprefix(UNALLOCATED))
    return Target(purpose=Purpose(label))
