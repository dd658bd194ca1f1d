"""The books on an engine: charges among targets, calls into revenue, and both into a statement.

Problem. `workings.py` defines the figures, with every call in hand. At ten million calls a period that is
hours and tens of gigabytes.

Decision. The same figures in four moves. The machines' side is made small (`machines.py`) and divided by
the defining code, which leaves an *ask* wherever calls would come in (`asks.py`). The weights of all calls
for all asks are summed in one pass (`calls.py`). The asks are answered together, largest remainders and
all, by window functions (`apportion.py`). What comes back are the same `Allocated` values, so that
everything after (entries, statement, bridge) is the code that was there already.

At the grain of customers only the first step of each split is taken, which by `tree.py` is final: the
statement by customer of a month of a hundred million calls never tells two calls apart.

Rejected. Rewriting the whole of the books in SQL (two definitions of one figure, of which one is wrong);
sampling (a statement that sums up but does not say for whom).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
import msgspec
import pyarrow as pa

from inferworks.books.allocate import Portion, Target
from inferworks.books.charge import Charge
from inferworks.books.engine.apportion import Width, split, split_down, width_of
from inferworks.books.engine.asks import (
    Active,
    Answers,
    Ask,
    Asking,
    Bought,
    MachineDrivers,
    Moved,
)
from inferworks.books.engine.base import Engine, total
from inferworks.books.engine.calls import (
    FIRST,
    NO_DAY,
    TARGETS,
    UNPLACED,
    Calls,
    Grain,
    Purchase,
    Stay,
)
from inferworks.books.engine.lake import Lake
from inferworks.books.engine.machines import machines, places
from inferworks.books.engine.slots import Slots
from inferworks.books.pools import CostPool, Idle, Method
from inferworks.books.span import Span, utc_day
from inferworks.catalog.load import ModelCatalog
from inferworks.meter.lake_schema import DAY_NS
from inferworks.purpose import Purpose

_UNALLOCATED = "Unallocated:"


class Divided(NamedTuple):
    """Charges divided as far as machines go, and what calls are to answer."""

    divisions: tuple[Asking, ...]
    asks: tuple[Ask, ...]
    drivers: MachineDrivers
    parts: ir.Table | None
    """By ask (its place in `asks`) and grain: `weight` and `part`. None when nothing was asked."""


def divide(
    engine: Engine,
    lake: Lake,
    placed: Sequence[tuple[Charge, CostPool]],
    catalog: ModelCatalog,
    grain: Grain,
    nodes_of: MachineDrivers,
) -> Divided:
    """Each charge of a final pool divided by the driver of its pool."""
    calls = Calls(engine, lake, catalog, grain)
    answers, weights = _answered(engine, calls, placed, nodes_of)
    nodes_of.answers = answers
    divisions = tuple(_divisions(placed, nodes_of))
    asks = tuple(ask for division in divisions for ask in division.asks)
    parts = (
        _parts(engine, asks, weights, answers.weights, grain)
        if asks and weights is not None
        else None
    )
    return Divided(divisions, asks, nodes_of, parts)


def machine_drivers(
    engine: Engine,
    lake: Lake,
    charges: Iterable[Charge],
    pools: Iterable[CostPool],
    catalog: ModelCatalog,
    grain: Grain,
) -> MachineDrivers:
    """The machines' side of `lake`, for the spans of `charges`."""
    spans = [Span(charge.period_start_ns, charge.period_end_ns) for charge in charges]
    if any(pool.idle is Idle.PEAK for pool in pools):
        spans += [hour for span in spans for hour in span.hours()]
    small = machines(engine, lake, Slots(spans))
    calls = Calls(engine, lake, catalog, grain)
    where = places(engine, calls.places()) if grain is TARGETS else {}
    return MachineDrivers(small.facts, catalog, where, small.unprovisioned_ns)


def portions_of(divided: Divided, engine: Engine) -> Mapping[str, list[Portion]]:
    """The portions of every charge, by its id; at the grain of targets."""
    portions: dict[str, list[Portion]] = {}
    for division in divided.divisions:
        portions.setdefault(division.charge.id, []).extend(division.portions)
    if divided.parts is None:
        return portions
    for row in engine.fetch(divided.parts).to_pylist():
        ask = divided.asks[row["ask"]]
        portion = Portion(
            ask.stage,
            _target(row),
            ask.method,
            ask.unit,
            int(row["weight"]),
            int(row["part"]),
            {},
        )
        portions[ask.charge.id].append(portion)
    return portions


def _divisions(
    placed: Iterable[tuple[Charge, CostPool]], drivers: MachineDrivers
) -> Iterable[Asking]:
    for charge, pool in placed:
        division = Asking(charge, pool, drivers)
        division.divide()
        yield division


# --- questions and their answers ----------------------------------------------------------------------


def _answered(
    engine: Engine,
    calls: Calls,
    placed: Sequence[tuple[Charge, CostPool]],
    drivers: MachineDrivers,
) -> tuple[Answers, ir.Table | None]:
    """The weights of every question that dividing `placed` asks, as numbers and as a table."""
    list(_divisions(placed, drivers))
    questions = [(number, question) for question, number in drivers.questions.items()]
    active = [(n, q) for n, q in questions if isinstance(q, Active)]
    tables: list[ir.Table] = []
    methods: dict[int, Method] = {}
    stepped = _by_steps(engine, calls, active, drivers, tables)
    methods.update(dict.fromkeys(stepped, Method.STEP_SHARE))
    rest = [(n, q) for n, q in active if n not in stepped]
    for number, question in rest:
        methods[number] = Method.FLAT if question.method is Method.FLAT else Method.WEIGHTED
    bought = [(n, q) for n, q in questions if isinstance(q, Bought)]
    if rest or bought:
        tables.append(_by_tokens(engine, calls, rest, bought, drivers))
    moved = [(n, q.span) for n, q in questions if isinstance(q, Moved)]
    if moved:
        tables.append(calls.bytes_moved(moved))
    if not tables:
        return Answers({}, methods), None
    weights = ibis.union(*tables) if len(tables) > 1 else tables[0]
    sums = engine.fetch(weights.group_by("question").agg(weight=total(weights.weight)))
    found = {row["question"]: int(row["weight"]) for row in sums.to_pylist()}
    return Answers(found, methods), weights


def _by_steps(
    engine: Engine,
    calls: Calls,
    active: Sequence[tuple[int, Active]],
    drivers: MachineDrivers,
    tables: list[ir.Table],
) -> frozenset[int]:
    """Adds the shares by steps (method M2) to `tables`; the questions that have any."""
    stays = [
        Stay(number, q.replica, inside.start_ns, inside.end_ns)
        for number, q in active
        if q.method is Method.STEP_SHARE
        for provisioned in drivers.provisioned(q.replica, q.node)
        if (inside := q.span.meet(*provisioned)).length_ns
    ]
    if not stays:
        return frozenset()
    pieces = calls.step_pieces(stays)
    sums = engine.fetch(pieces.group_by("question").agg(ns=total(pieces.inside_ns)))
    stepped = {row["question"]: int(row["ns"]) for row in sums.to_pylist()}
    if not stepped:
        return frozenset()
    shares = calls.step_shares([stay for stay in stays if stay.number in stepped])
    tables.append(shares)
    sums = engine.fetch(shares.group_by("question").agg(ns=total(shares.weight)))
    shared = {row["question"]: int(row["ns"]) for row in sums.to_pylist()}
    by_number = dict(active)
    tables.append(
        calls.unplaced(
            {
                number: max(inside_ns, drivers.worked_for_ns(by_number[number]))
                - shared.get(number, 0)
                for number, inside_ns in stepped.items()
            }
        )
    )
    return frozenset(stepped)


def _by_tokens(
    engine: Engine,
    calls: Calls,
    active: Sequence[tuple[int, Active]],
    bought: Sequence[tuple[int, Bought]],
    drivers: MachineDrivers,
) -> ir.Table:
    """The nanoseconds of `active` by weighted tokens (M0, M1), and the tokens of what was `bought`."""
    worked = {number: drivers.worked_for_ns(question) for number, question in active}
    stays = [
        Stay(n, q.replica, q.span.start_ns, q.span.end_ns, q.method is Method.FLAT)
        for n, q in active
        if worked[n]
    ]
    purchases = [Purchase(number, *question) for number, question in bought]
    weights = calls.tokens(stays, purchases)
    if not stays:
        return weights
    sums = engine.fetch(weights.group_by("question").agg(weight=total(weights.weight)))
    totals = {row["question"]: int(row["weight"]) for row in sums.to_pylist()}
    asked = {n: ns for n, ns in worked.items() if ns}
    amounts = engine.table(_amounts("question", asked, (totals.get(n, 0) for n in asked)))
    width = width_of(max(worked.values()), max(totals.values(), default=0))
    of_stays = weights.join(amounts, "question")
    grain = calls.grain
    shares = _split_down(of_stays, "question", grain, width)
    shares = shares.mutate(weight=shares.part).select("question", *grain.columns, "weight")
    rest = weights.anti_join(amounts, "question").select(*shares.columns)
    nobody = {n: ns for n, ns in worked.items() if ns and n not in totals}
    everything = ibis.union(shares.filter(shares.weight > 0), rest, calls.unplaced(nobody))
    return engine.keep(everything)


# --- the split ----------------------------------------------------------------------------------------


def _parts(
    engine: Engine,
    asks: Sequence[Ask],
    weights: ir.Table,
    totals: Mapping[int, int],
    grain: Grain,
) -> ir.Table:
    """Every ask's amount among what its questions weigh together: `weight` and `part` by grain."""
    weighed = [_weight_of(ask, totals) for ask in asks]
    pairs = [(number, source) for number, ask in enumerate(asks) for source in ask.sources]
    links = engine.table(
        pa.table(
            {
                "ask": pa.array([pair[0] for pair in pairs], pa.int64()),
                "source": pa.array([pair[1] for pair in pairs], pa.int64()),
            }
        )
    )
    amounts = _amounts("ask", {n: ask.amount_pico for n, ask in enumerate(asks)}, weighed)
    pools = pa.array([ask.pool.name for ask in asks], pa.string())
    columns = ("ask", *grain.columns, "weight")
    rows = weights.join(links, [("question", "source")]).select(*columns)
    known = _known_rows(asks, grain)
    if known.num_rows:
        rows = ibis.union(rows, engine.table(known).select(*columns))
    if known.num_rows or any(len(ask.sources) > 1 for ask in asks):
        rows = rows.group_by(["ask", *grain.columns]).agg(weight=total(rows.weight))
    rows = rows.join(engine.table(amounts.append_column("pool", pools)), "ask")
    placed = ibis.literal(_UNALLOCATED) + rows.pool
    rows = rows.mutate(label=ibis.ifelse(rows.label == UNPLACED, placed, rows.label)).drop("pool")
    width = width_of(max(abs(ask.amount_pico) for ask in asks), max(weighed))
    parts = _split_down(rows, "ask", grain, width)
    return engine.keep(parts.select("ask", *grain.columns, "weight", "part"))


def _split_down(rows: ir.Table, group: str, grain: Grain, width: Width) -> ir.Table:
    """`amount` of each `group`, whose weights come to `all_weight`, by `weight` down to `grain`."""
    if not grain.rest:
        return split(rows, [group], FIRST, by="weight", width=width, of="all_weight")
    return split_down(rows, [group], FIRST, grain.rest, by="weight", width=width)


def _weight_of(ask: Ask, totals: Mapping[int, int]) -> int:
    """What everything that `ask` is divided by weighs."""
    return sum(totals[source] for source in ask.sources) + sum(weight for _, weight in ask.known)


def _known_rows(asks: Sequence[Ask], grain: Grain) -> pa.Table:
    """The targets that asks know already, as rows like those of calls."""
    rows = [
        {"ask": number, "weight": weight, **_row_of(target)}
        for number, ask in enumerate(asks)
        for target, weight in ask.known
    ]
    columns = {
        name: pa.array(
            [row[name] for row in rows], pa.int64() if name in ("ask", "day") else pa.string()
        )
        for name in ("ask", *grain.columns)
    }
    return pa.table({**columns, "weight": _wholes(row["weight"] for row in rows)})


def _row_of(target: Target) -> dict[str, Any]:
    day = NO_DAY if target.day is None else _day_number(target.day)
    texts = {name: getattr(target, name) or "" for name in ("customer", *TARGETS.rest[:-1])}
    return {"label": target.label, **texts, "day": day}


def _target(row: Mapping[str, Any]) -> Target:
    """The target of a row at the grain of targets."""
    day = None if row["day"] == NO_DAY else utc_day(row["day"] * DAY_NS)
    texts = {name: row[name] or None for name in ("customer", *TARGETS.rest[:-1])}
    return msgspec.structs.replace(label_target(row["label"]), day=day, **texts)


def label_target(label: str) -> Target:
    """The target that `label`, as calls and activities have it, stands for."""
    if label.startswith(_UNALLOCATED):
        return Target(unallocated=label.removeprefix(_UNALLOCATED))
    return Target(purpose=Purpose(label))


def _day_number(day: str) -> int:
    return dt.date.fromisoformat(day).toordinal() - dt.date(1970, 1, 1).toordinal()


def _amounts(key: str, amounts: Mapping[int, int], weights: Iterable[int]) -> pa.Table:
    """What is to be divided under each `key`, and what the weights that divide it come to."""
    return pa.table(
        {
            key: pa.array(list(amounts), pa.int64()),
            "amount": _wholes(amounts.values()),
            "all_weight": _wholes(weights),
        }
    )


def _wholes(values: Iterable[int]) -> pa.Array:
    return pa.array([Decimal(value) for value in values], pa.decimal128(38, 0))
