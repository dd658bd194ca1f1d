"""Requests to the relations: a charge on its way down, up to where the calls begin.

Machines are few and calls are many. So a charge is divided among occupants and states by the defining
code itself (`allocate.Division`), with drivers that know the machines but no calls; where that code would
divide among calls, it leaves an *ask* instead: an amount, the numbers of its weights, and a method. The
asks of all charges are then answered together (`calls.py`, `apportion.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from inferworks.accounts.directory import ALONE, Directory
from inferworks.books.allocation import drivers as d
from inferworks.books.allocation.allocate import Division, Target, by_target
from inferworks.books.allocation.billed_usage import Sale
from inferworks.books.allocation.drivers import (
    ActiveTime,
    Drivers,
    Leaf,
    PathOf,
    Place,
    Shares,
)
from inferworks.books.allocation.hierarchical_split import Amount
from inferworks.books.allocation.pools import CostPool, Method
from inferworks.books.calendar.span import Span, merged
from inferworks.books.charge import Charge
from inferworks.catalog.billing import Billing
from inferworks.catalog.load import ModelCatalog
from inferworks.errors import BooksError
from inferworks.ids import ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts

ASKED = "asked"
"""The first word of a leaf that stands for the answer to a question."""


class Active(NamedTuple):
    """Question: the calls that `replica` was active for on `node` in `span`, by the pool's `method`."""

    replica: ReplicaId
    node: str
    span: Span
    method: Method


class Moved(NamedTuple):
    """Question: the bytes that calls moved in `span`."""

    span: Span


class Bought(NamedTuple):
    """Question: the calls whose tokens in `span` a bill line is for."""

    sale: Sale
    span: Span


Question = Active | Moved | Bought


class AllocationRequest(NamedTuple):
    """An amount to be divided by the weights of `sources` (question numbers) and of `known` targets.

    Of a bundle those of its lines, each on its own.
    """

    charge: Charge
    pool: CostPool
    stage: str
    method: str
    unit: str
    amount: Amount
    sources: tuple[int, ...]
    known: tuple[tuple[Target, int], ...]


class Answers(NamedTuple):
    """Known answers to questions when charges are divided: their weight, and the method that was used."""

    weights: Mapping[int, int]
    methods: Mapping[int, Method]


class MachineDrivers(Drivers):
    """Drivers that know capacity and activities, and leave a question where they would need calls."""

    def __init__(
        self,
        facts: Facts,
        catalog: ModelCatalog,
        places: Mapping[ReplicaId, Place],
        unprovisioned_ns: int = 0,
        billing: Billing | None = None,
        customers: Directory = ALONE,
    ) -> None:
        super().__init__(facts, catalog, billing, customers)
        self.facts = facts
        self._placed, self._lost_ns = places, unprovisioned_ns
        self.questions: dict[Question, int] = {}
        self.answers = Answers({}, {})

    def replica_place(self, replica: ReplicaId) -> Place:
        """Return the location of `replica`."""
        return self._placed.get(replica, d.NOWHERE)

    def unprovisioned_ns(self) -> int:
        """Nanoseconds of steps outside every interval of their replica."""
        return self._lost_ns

    def active(
        self,
        replica: ReplicaId,
        node: str,
        span: Span,
        method: Method,
        path_of: PathOf | None = None,
    ) -> ActiveTime:
        """The active nanoseconds of `replica` as one share, to be divided among calls elsewhere."""
        if method is Method.SHAPLEY:
            raise BooksError(
                "method M3 samples orders of calls, which DuckDB and Spark cannot do; use --engine "
                "reference, or method M2"
            )
        number = self._number(Active(replica, node, span, method))
        active_ns = self.states(replica, node, span).get(State.ACTIVE, 0)
        shares = {_leaf(number): active_ns} if active_ns else {}
        return ActiveTime(self.answers.methods.get(number, method), shares)

    def call_bytes(self, span: Span) -> Shares:
        """The bytes of all calls as one share."""
        return self._whole(Moved(span))

    def provider_tokens(self, sale: Sale, span: Span) -> Shares:
        """The tokens of all calls that were bought, as one share."""
        return self._whole(Bought(sale, span))

    def provisioned(self, replica: ReplicaId, node: str) -> list[Span]:
        """Return the spans in which `replica` was provisioned on `node`."""
        return merged(self._intervals(replica, node))

    def worked_for_ns(self, question: Active) -> int:
        """The active nanoseconds that the answer to `question` must sum to."""
        states = self.states(question.replica, question.node, question.span)
        return states.get(State.ACTIVE, 0)

    def _whole(self, question: Question) -> Shares:
        number = self._number(question)
        weight = self.answers.weights.get(number, 0)
        return {_leaf(number): weight} if weight else {}

    def _number(self, question: Question) -> int:
        return self.questions.setdefault(question, len(self.questions))


class Asking(Division):
    """A division that stops where the calls begin."""

    def __init__(self, charge: Charge, pool: CostPool, drivers: MachineDrivers) -> None:
        super().__init__(charge, pool, drivers)
        self.asks: list[AllocationRequest] = []

    def divide_among(
        self, stage: str, shares: Shares, method: str, unit: str, amount: Amount
    ) -> None:
        """Leave an ask when a share stands for calls; else divide."""
        sources = tuple(int(leaf[1]) for leaf in shares if leaf[0] == ASKED)
        if not sources:
            super().divide_among(stage, shares, method, unit, amount)
            return
        others = {leaf: weight for leaf, weight in shares.items() if leaf[0] != ASKED}
        grouped = by_target(others, self.pool.name, self.drivers)
        known = tuple((target, grouped.weights[key]) for key, target in grouped.targets.items())
        method_id = f"{self.pool.driver}/{method}"
        self.asks.append(
            AllocationRequest(
                self.charge, self.pool, stage, method_id, unit, amount, sources, known
            )
        )


def _leaf(number: int) -> Leaf:
    return (ASKED, str(number))
