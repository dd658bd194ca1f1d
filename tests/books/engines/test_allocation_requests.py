"""Requests to relations: a charge divided up to where the calls begin, and a question left there."""

from __future__ import annotations

from typing import Any

import pytest

from inferworks.books.allocation.allocate import Allocation, Target, allocate
from inferworks.books.allocation.drivers import NOWHERE, Drivers, Place, Unused
from inferworks.books.allocation.pools import CostPool, Method, default_pools, pool_of
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
from inferworks.catalog.load import model_catalog
from inferworks.errors import BooksError
from inferworks.ids import ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.testing.books import a_charge, a_shift, an_activity, an_interval

pytestmark = pytest.mark.slow

SPAN = Span(0, 100)
ONE, TWO = ReplicaId("replica-1"), ReplicaId("replica-2")
POOLS = {pool.name: pool for pool in default_pools()}
MACHINES = Facts(
    (),
    (),
    (
        *an_interval((0, 60), {State.ACTIVE: 40, State.IDLE: 20}),
        *an_interval((0, 30), {State.IDLE: 30}, replica="replica-2"),
    ),
    (an_activity("descent", "node-1", (80, 90), 10),),
)


def drivers(facts: Facts = MACHINES, answers: Answers | None = None, **more: Any) -> MachineDrivers:
    """Drivers that know machines, and perhaps answers."""
    found = MachineDrivers(facts, model_catalog(), {}, **more)
    if answers is not None:
        found.answers = answers
    return found


def asking(charge: Charge, of: MachineDrivers) -> Asking:
    """The division of a charge by its pool."""
    pool = pool_of(charge, default_pools(), of.nodes)
    division = Asking(charge, pool, of)
    division.divide()
    return division


def test_questions_are_numbered_as_they_are_first_asked() -> None:
    """The same question again is the same number."""
    found = drivers()
    for span in (SPAN, Span(0, 50), SPAN):
        found.call_bytes(span)
    found.active(ONE, "node-1", SPAN, Method.STEP_SHARE)
    assert list(found.questions.items()) == [
        (Moved(SPAN), 0),
        (Moved(Span(0, 50)), 1),
        (Active(ONE, "node-1", SPAN, Method.STEP_SHARE), 2),
    ]


def test_active_time_is_one_share_that_stands_for_calls() -> None:
    """Its weight is known from the machines; where there is none, there is no share."""
    found = drivers()
    assert found.active(ONE, "node-1", SPAN, Method.STEP_SHARE) == (
        Method.STEP_SHARE,
        {("asked", "0"): 40},
    )
    assert found.active(TWO, "node-1", SPAN, Method.STEP_SHARE).shares == {}
    assert found.worked_for_ns(Active(ONE, "node-1", SPAN, Method.FLAT)) == 40
    assert found.worked_for_ns(Active(TWO, "node-1", SPAN, Method.FLAT)) == 0


def test_the_method_is_that_by_which_a_question_was_answered() -> None:
    """Weighted tokens where a replica had no steps."""
    found = drivers(answers=Answers({}, {0: Method.WEIGHTED}))
    assert found.active(ONE, "node-1", SPAN, Method.STEP_SHARE).method is Method.WEIGHTED
    assert found.active(TWO, "node-1", SPAN, Method.STEP_SHARE).method is Method.STEP_SHARE


def test_sampled_orders_of_calls_are_left_to_the_definition() -> None:
    """The refusal says what to do."""
    with pytest.raises(BooksError) as refused:
        drivers().active(ONE, "node-1", SPAN, Method.SHAPLEY)
    assert str(refused.value) == (
        "method M3 samples orders of calls, which DuckDB and Spark cannot do; use --engine reference, "
        "or method M2"
    )


def test_bytes_and_purchases_have_the_weight_of_their_answer() -> None:
    """Nothing until they are answered, and nothing where nobody moved or bought anything."""
    sale: Any = "a sale"
    found = drivers()
    assert found.call_bytes(SPAN) == found.provider_tokens(sale, SPAN) == {}
    assert list(found.questions) == [Moved(SPAN), Bought(sale, SPAN)]
    found.answers = Answers({0: 7}, {})
    assert found.call_bytes(SPAN) == {("asked", "0"): 7}
    assert found.provider_tokens(sale, SPAN) == {}


def test_places_and_lost_steps_are_those_that_relations_found() -> None:
    """Drivers without calls cannot know them."""
    place = Place("own", "eu", "gpu-a")
    found = MachineDrivers(MACHINES, model_catalog(), {ONE: place}, unprovisioned_ns=9)
    assert (found.replica_place(ONE), found.replica_place(TWO)) == (place, NOWHERE)
    assert found.unprovisioned_ns() == 9
    assert found.facts is MACHINES


def test_provisioned_time_is_that_of_all_intervals() -> None:
    """Merged where they adjoin; of one node alone."""
    facts = Facts(
        (),
        (),
        (
            *an_interval((0, 10), {State.IDLE: 10}),
            *an_interval((10, 20), {State.IDLE: 10}),
            *an_interval((30, 40), {State.IDLE: 10}),
            *an_interval((40, 50), {State.IDLE: 10}, node="node-2"),
        ),
        (),
    )
    assert drivers(facts).provisioned(ONE, "node-1") == [Span(0, 20), Span(30, 40)]
    assert drivers(facts).provisioned(TWO, "node-1") == []


def test_a_charge_that_no_call_bears_is_divided_at_once() -> None:
    """Nothing is asked, and the parts are those of the definition."""
    disk = a_charge("disk", "4", SPAN, category="Databases", resource="db")
    division = asking(disk, drivers())
    assert division.asks == []
    assert [portion.amount_pico for portion in division.portions] == [4 * 10**12]


def test_a_machine_is_divided_among_occupants_and_asks_for_its_calls() -> None:
    """40 of 100 ns were active: that part of the charge is left as a request, all else is divided."""
    charge = a_charge("machine", "13", SPAN)
    division = asking(charge, drivers())
    [ask] = division.asks
    assert (ask.charge, ask.pool, ask.sources) == (charge, POOLS["machines"], (0,))
    assert ask.method.startswith("node-time/M2")
    assert ask.known == ()
    divided = sum(portion.amount_pico for portion in division.portions)
    assert divided + int(ask.amount) == 13 * 10**12
    whole = allocate(charge, POOLS["machines"], Drivers(MACHINES, model_catalog()))
    unexplained = [row for row in whole.rows if row.target.unallocated]
    assert sum(row.amount_pico for row in unexplained) == int(ask.amount)


def kinds(rows: tuple[Allocation, ...]) -> set[Target]:
    """The targets of rows that are unused capacity."""
    return {row.target for row in rows if row.target.unused is not None}


def test_unused_capacity_is_placed_by_the_definition() -> None:
    """The same kinds, before any call is known."""
    charge = a_charge("machine", "13", SPAN)
    division = asking(charge, drivers())
    found = {portion.target.unused for portion in division.portions if portion.target.unused}
    assert {Unused.IDLE, Unused.UNOCCUPIED} <= found
    whole = allocate(charge, POOLS["machines"], Drivers(MACHINES, model_catalog()))
    assert {target.unused for target in kinds(whole.rows)} == found


def test_known_targets_share_with_those_that_are_asked_for() -> None:
    """People's minutes on a machine follow its work: calls that are asked for, and gradient descent."""
    shift = a_shift("repair", "5", SPAN, node="node-1")
    division = asking(shift, drivers())
    [ask] = division.asks
    assert isinstance(ask.pool, CostPool)
    assert ask.pool.name == "people"
    assert [weight for _, weight in ask.known] == [10]
    assert int(ask.amount) == 5 * 10**12
