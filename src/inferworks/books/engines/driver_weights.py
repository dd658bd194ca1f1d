"""Answers to the questions of the division of charges about calls, as weights by question and grain.

Dividing every charge without calls yields the questions (`allocation_requests.py`). Questions about
active time are answered by steps where there were any, by tokens elsewhere; those about purchases by
tokens, those about traffic by bytes. Calls are summed for all questions at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from inferworks.books.allocation.pools import CostPool, Method
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.engines.allocation_requests import (
    Active,
    Answers,
    Asking,
    Bought,
    MachineDrivers,
    Moved,
)
from inferworks.books.engines.apportion import Width, split, split_down, width_of
from inferworks.books.engines.base import Engine, total
from inferworks.books.engines.call_dimensions import CallDimensions
from inferworks.books.engines.calls import Calls, Purchase, Stay
from inferworks.books.engines.granularity import PARTY, UNPLACED, Grain, Parties, unallocated
from inferworks.books.engines.steps import Steps


class Weights(NamedTuple):
    """Weights that answer questions: rows of `question`, the keys of a grain, and `weight`."""

    rows: ir.Table
    parties: Parties


class _Stepped(NamedTuple):
    """Questions that steps answer (method M2)."""

    shares: list[ir.Table]
    """Weights that calls in steps explain."""
    unplaced: dict[int, int]
    """Nanoseconds of every such question that steps do not explain."""

    @classmethod
    def of(
        cls,
        engine: Engine,
        steps: Steps,
        active: Sequence[tuple[int, Active]],
        drivers: MachineDrivers,
    ) -> _Stepped:
        """Return the questions among `active` whose times have steps."""
        stays = [  # in which machines were provisioned
            Stay(number, q.replica, inside.start_ns, inside.end_ns)
            for number, q in active
            if q.method is Method.STEP_SHARE
            for provisioned in drivers.provisioned(q.replica, q.node)
            if (inside := q.span.meet(*provisioned)).length_ns
        ]
        if not stays:
            return cls([], {})
        pieces = steps.pieces(stays)
        sums = engine.fetch(pieces.group_by("question").agg(weight=total(pieces.inside_ns)))
        stepped = {row["question"]: int(row["weight"]) for row in sums.to_pylist()}
        if not stepped:
            return cls([], {})
        shares = steps.shares([stay for stay in stays if stay.number in stepped])
        shared, by_number = _totals(engine, shares), dict(active)
        unplaced = {
            number: max(inside_ns, drivers.worked_for_ns(by_number[number])) - shared.get(number, 0)
            for number, inside_ns in stepped.items()
        }
        return cls([shares], unplaced)

    def weights(self, calls: Calls, parties: Parties) -> Iterable[ir.Table]:
        """Return explained and unexplained time as weights."""
        for shares in self.shares:
            yield parties.numbered(shares).select("question", *calls.grain.keys, "weight")
        if self.unplaced:
            yield calls.unplaced(self.unplaced, parties)


class _Questions(NamedTuple):
    """The questions, by what answers them, each with its number."""

    stepped: _Stepped
    weighed: list[tuple[int, Active]]
    """Questions answered by tokens (M0, M1)."""
    bought: list[Purchase]
    moved: list[tuple[int, Span]]

    @classmethod
    def of(cls, dimensions: CallDimensions, drivers: MachineDrivers) -> _Questions:
        """The questions that `drivers` left open."""
        questions = [(number, question) for question, number in drivers.questions.items()]
        active = [(n, q) for n, q in questions if isinstance(q, Active)]
        stepped = _Stepped.of(dimensions.engine, Steps(dimensions), active, drivers)
        return cls(
            stepped,
            weighed=[(n, q) for n, q in active if n not in stepped.unplaced],
            bought=[Purchase(n, *q) for n, q in questions if isinstance(q, Bought)],
            moved=[(n, q.span) for n, q in questions if isinstance(q, Moved)],
        )

    def methods(self) -> dict[int, Method]:
        """The method that answers each question about active time."""
        by_tokens = {
            number: Method.FLAT if question.method is Method.FLAT else Method.WEIGHTED
            for number, question in self.weighed
        }
        return {**dict.fromkeys(self.stepped.unplaced, Method.STEP_SHARE), **by_tokens}


def answered(
    dimensions: CallDimensions, placed: Sequence[tuple[Charge, CostPool]], drivers: MachineDrivers
) -> tuple[Answers, Weights | None]:
    """The weights of every question that dividing `placed` asks, as numbers and as a table."""
    list(divisions(placed, drivers))
    questions, engine, calls = (
        _Questions.of(dimensions, drivers),
        dimensions.engine,
        Calls(dimensions),
    )
    worked = {
        number: worked_ns
        for number, question in questions.weighed
        if (worked_ns := drivers.worked_for_ns(question))
    }
    stays = [  # to weigh by tokens
        Stay(number, q.replica, q.span.start_ns, q.span.end_ns, q.method is Method.FLAT)
        for number, q in questions.weighed
        if number in worked
    ]
    tokens = calls.token_sums(stays, questions.bought) if stays or questions.bought else None
    moves = calls.byte_sums(questions.moved) if questions.moved else None
    summed = [*questions.stepped.shares, *(sums.rows for sums in (tokens, moves) if sums)]
    if not summed:
        return Answers({}, questions.methods()), None
    nobody = {UNPLACED, *(unallocated(pool.name) for _, pool in placed)}
    acting = {(a.purpose.value, a.customer or "") for a in drivers.facts.activities}
    parties = Parties(engine, summed, [*((label, "") for label in nobody), *acting])
    tables = list(questions.stepped.weights(calls, parties))
    if tokens and stays:
        tables += _by_tokens(engine, calls, calls.served(tokens, parties, stays), worked, parties)
    if tokens and questions.bought:
        tables.append(calls.bought(tokens, parties, questions.bought, drivers.billing))
    if moves:
        tables.append(calls.bytes_moved(moves, parties, questions.moved))
    weights = ibis.union(*tables) if len(tables) > 1 else tables[0]
    return Answers(_totals(engine, weights), questions.methods()), Weights(weights, parties)


def _totals(engine: Engine, weights: ir.Table) -> dict[int, int]:
    """Return the sum of `weights` of each question."""
    sums = engine.fetch(weights.group_by("question").agg(weight=total(weights.weight)))
    return {row["question"]: int(row["weight"]) for row in sums.to_pylist()}


def _by_tokens(
    engine: Engine,
    calls: Calls,
    weights: ir.Table,
    worked: Mapping[int, int],
    parties: Parties,
) -> Iterable[ir.Table]:
    """The nanoseconds that each question `worked` by its `weights`, and what no token explains."""
    totals = _totals(engine, weights)
    amounts = engine.table(amounts_of("question", worked, (totals.get(n, 0) for n in worked)))
    width = width_of(max(worked.values()), max(totals.values(), default=0))
    shares = split_to(weights.join(amounts, "question"), "question", calls.grain, width)
    shares = shares.mutate(weight=shares.part).select("question", *calls.grain.keys, "weight")
    yield engine.keep(shares.filter(shares.weight > 0))
    nobody = {number: worked_ns for number, worked_ns in worked.items() if number not in totals}
    if nobody:
        yield calls.unplaced(nobody, parties)


def divisions(
    placed: Iterable[tuple[Charge, CostPool]], drivers: MachineDrivers
) -> Iterable[Asking]:
    """Each charge divided as far as `drivers` know."""
    for charge, pool in placed:
        division = Asking(charge, pool, drivers)
        division.divide()
        yield division


def split_to(rows: ir.Table, group: str, grain: Grain, width: Width) -> ir.Table:
    """`amount` of each `group`, whose weights come to `all_weight`, by `weight` down to `grain`."""
    if not grain.rest:
        return split(rows, [group], [PARTY], by="weight", width=width, of="all_weight")
    return split_down(rows, [group], [PARTY], grain.rest, by="weight", width=width)


def amounts_of(key: str, amounts: Mapping[int, int], weights: Iterable[int]) -> pa.Table:
    """Return the amounts to divide under each `key`, with the sums of their weights."""
    return pa.table(
        {
            key: pa.array(list(amounts), pa.int64()),
            "amount": wholes(amounts.values()),
            "all_weight": wholes(weights),
        }
    )


def wholes(values: Iterable[int]) -> pa.Array:
    """`values` as WHOLEs."""
    return pa.array([Decimal(value) for value in values], pa.decimal128(38, 0))
