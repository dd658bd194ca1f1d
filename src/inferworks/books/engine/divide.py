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
from inferworks.books.engine.calls import Calls, Purchase, Stay
from inferworks.books.engine.grain import NO_DAY, PARTY, TARGETS, UNPLACED, Grain, Parties
from inferworks.books.engine.lake import Lake
from inferworks.books.engine.machines import machines, places
from inferworks.books.engine.slots import Slots
from inferworks.books.pools import CostPool, Idle, Method
from inferworks.books.span import Span, utc_day
from inferworks.catalog.load import ModelCatalog
from inferworks.meter.lake_schema import DAY_NS
from inferworks.purpose import Purpose

_UNALLOCATED = "Unallocated:"


class Shares(NamedTuple):
    """Parts of asks."""

    parts: ir.Table
    """By ask (its place in `Divided.asks`) and the keys of a grain: `weight` and `part`."""
    parties: Parties


class Divided(NamedTuple):
    """Charges divided as far as machines go, and what calls are to answer."""

    divisions: tuple[Asking, ...]
    asks: tuple[Ask, ...]
    drivers: MachineDrivers
    shares: Shares | None
    """What answers them; None when nothing was asked."""


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
    if not asks or weights is None:
        return Divided(divisions, asks, nodes_of, None)
    parts = _parts(engine, asks, weights, answers.weights, grain)
    return Divided(divisions, asks, nodes_of, Shares(parts, weights.parties))


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
    if divided.shares is None:
        return portions
    parts, parties = divided.shares
    for row in engine.fetch(parties.named(parts)).to_pylist():
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


class _Weights(NamedTuple):
    """What answers questions: rows of `question`, the keys of a grain, and `weight`."""

    rows: ir.Table
    parties: Parties


def _answered(
    engine: Engine,
    calls: Calls,
    placed: Sequence[tuple[Charge, CostPool]],
    drivers: MachineDrivers,
) -> tuple[Answers, _Weights | None]:
    """The weights of every question that dividing `placed` asks, as numbers and as a table."""
    list(_divisions(placed, drivers))
    questions = [(number, question) for question, number in drivers.questions.items()]
    active = [(n, q) for n, q in questions if isinstance(q, Active)]
    stepped = _Stepped.of(engine, calls, active, drivers)
    rest = [(n, q) for n, q in active if n not in stepped.unplaced]
    stays, worked = _stays(rest, drivers)
    bought = [Purchase(number, *q) for number, q in questions if isinstance(q, Bought)]
    moved = [(n, q.span) for n, q in questions if isinstance(q, Moved)]
    tokens = calls.token_sums(stays, bought) if stays or bought else None
    moves = calls.byte_sums(moved) if moved else None
    summed = [*stepped.shares, *(sums.rows for sums in (tokens, moves) if sums)]
    methods = {**dict.fromkeys(stepped.unplaced, Method.STEP_SHARE), **_methods_of(rest)}
    if not summed:
        return Answers({}, methods), None
    parties = Parties(engine, summed, _others(placed, drivers))
    tables = [
        parties.numbered(shares).select("question", *calls.grain.keys, "weight")
        for shares in stepped.shares
    ]
    if stepped.unplaced:
        tables.append(calls.unplaced(stepped.unplaced, parties))
    if tokens and stays:
        tables += _by_tokens(engine, calls, calls.served(tokens, parties, stays), worked, parties)
    if tokens and bought:
        tables.append(calls.bought(tokens, parties, bought))
    if moves:
        tables.append(calls.bytes_moved(moves, parties, moved))
    weights = ibis.union(*tables) if len(tables) > 1 else tables[0]
    return Answers(_totals(engine, weights), methods), _Weights(weights, parties)


def _totals(engine: Engine, weights: ir.Table) -> dict[int, int]:
    """What all `weights` of each question come to."""
    sums = engine.fetch(weights.group_by("question").agg(weight=total(weights.weight)))
    return {row["question"]: int(row["weight"]) for row in sums.to_pylist()}


def _others(
    placed: Iterable[tuple[Charge, CostPool]], drivers: MachineDrivers
) -> Iterable[tuple[str, str]]:
    """The label and customer of whatever charges are divided among besides calls."""
    nobody = {UNPLACED, *(_UNALLOCATED + pool.name for _, pool in placed)}
    acting = {(a.purpose.value, a.customer or "") for a in drivers.facts.activities}
    return [*((label, "") for label in nobody), *acting]


class _Stepped(NamedTuple):
    """Questions that steps answer (method M2)."""

    shares: list[ir.Table]
    """What calls in steps explain."""
    unplaced: dict[int, int]
    """The nanoseconds that they do not explain, of every such question."""

    @classmethod
    def of(
        cls,
        engine: Engine,
        calls: Calls,
        active: Sequence[tuple[int, Active]],
        drivers: MachineDrivers,
    ) -> _Stepped:
        """Those of `active` that are about times in which there were steps."""
        stays = _provisioned(active, drivers)
        if not stays:
            return cls([], {})
        pieces = calls.step_pieces(stays)
        sums = engine.fetch(pieces.group_by("question").agg(weight=total(pieces.inside_ns)))
        stepped = {row["question"]: int(row["weight"]) for row in sums.to_pylist()}
        if not stepped:
            return cls([], {})
        shares = calls.step_shares([stay for stay in stays if stay.number in stepped])
        shared, by_number = _totals(engine, shares), dict(active)
        unplaced = {
            number: max(inside_ns, drivers.worked_for_ns(by_number[number])) - shared.get(number, 0)
            for number, inside_ns in stepped.items()
        }
        return cls([shares], unplaced)


def _provisioned(active: Iterable[tuple[int, Active]], drivers: MachineDrivers) -> list[Stay]:
    """The times in which machines were provisioned, of questions to be answered by steps."""
    return [
        Stay(number, q.replica, inside.start_ns, inside.end_ns)
        for number, q in active
        if q.method is Method.STEP_SHARE
        for provisioned in drivers.provisioned(q.replica, q.node)
        if (inside := q.span.meet(*provisioned)).length_ns
    ]


def _stays(
    active: Iterable[tuple[int, Active]], drivers: MachineDrivers
) -> tuple[list[Stay], dict[int, int]]:
    """What to weigh by tokens (M0, M1), and the nanoseconds that each was at work."""
    worked = {
        number: worked_ns
        for number, question in active
        if (worked_ns := drivers.worked_for_ns(question))
    }
    stays = [
        Stay(number, q.replica, q.span.start_ns, q.span.end_ns, q.method is Method.FLAT)
        for number, q in active
        if number in worked
    ]
    return stays, worked


def _methods_of(active: Iterable[tuple[int, Active]]) -> dict[int, Method]:
    """The method that answers each of `active` by tokens."""
    return {
        number: Method.FLAT if question.method is Method.FLAT else Method.WEIGHTED
        for number, question in active
    }


def _by_tokens(
    engine: Engine,
    calls: Calls,
    weights: ir.Table,
    worked: Mapping[int, int],
    parties: Parties,
) -> Iterable[ir.Table]:
    """The nanoseconds that each question `worked` by its `weights`, and what no token explains."""
    totals = _totals(engine, weights)
    amounts = engine.table(_amounts("question", worked, (totals.get(n, 0) for n in worked)))
    width = width_of(max(worked.values()), max(totals.values(), default=0))
    shares = _split_down(weights.join(amounts, "question"), "question", calls.grain, width)
    shares = shares.mutate(weight=shares.part).select("question", *calls.grain.keys, "weight")
    yield engine.keep(shares.filter(shares.weight > 0))
    nobody = {number: worked_ns for number, worked_ns in worked.items() if number not in totals}
    if nobody:
        yield calls.unplaced(nobody, parties)


# --- the split ----------------------------------------------------------------------------------------


def _parts(
    engine: Engine,
    asks: Sequence[Ask],
    weights: _Weights,
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
    unplaced, nobody = _nobody(asks, weights.parties)
    columns = ("ask", *grain.keys, "weight")
    rows = weights.rows.join(links, [("question", "source")]).select(*columns)
    known = _known_rows(asks, grain)
    if known.num_rows:
        more = weights.parties.numbered(engine.table(known))
        rows = ibis.union(rows, more.select(*columns))
    if known.num_rows or any(len(ask.sources) > 1 for ask in asks):
        rows = rows.group_by(["ask", *grain.keys]).agg(weight=total(rows.weight))
    rows = rows.join(engine.table(amounts.append_column("nobody", nobody)), "ask")
    party = ibis.ifelse(rows.party == unplaced, rows.nobody, rows.party)
    rows = rows.mutate(party=party).drop("nobody")
    width = width_of(max(abs(ask.amount_pico) for ask in asks), max(weighed))
    parts = _split_down(rows, "ask", grain, width)
    return engine.keep(parts.select("ask", *grain.keys, "weight", "part"))


def _nobody(asks: Sequence[Ask], parties: Parties) -> tuple[int, pa.Array]:
    """The party of what no call explains, and what the pool of each ask makes of it."""
    labels = [_UNALLOCATED + ask.pool.name for ask in asks]
    numbers = parties.nameless([UNPLACED, *labels])
    return numbers[UNPLACED], pa.array([numbers[label] for label in labels], pa.int64())


def _split_down(rows: ir.Table, group: str, grain: Grain, width: Width) -> ir.Table:
    """`amount` of each `group`, whose weights come to `all_weight`, by `weight` down to `grain`."""
    if not grain.rest:
        return split(rows, [group], [PARTY], by="weight", width=width, of="all_weight")
    return split_down(rows, [group], [PARTY], grain.rest, by="weight", width=width)


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
