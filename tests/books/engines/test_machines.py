"""Machines condensed: fewer rows, and the same answers to every question over whole slots."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.allocation.drivers import Drivers, Place
from inferworks.books.calendar.span import Span
from inferworks.books.engines.call_dimensions import CallDimensions
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.granularity import TARGETS
from inferworks.books.engines.lake import lake_of
from inferworks.books.engines.machines import Machines, machines, places
from inferworks.books.engines.time_buckets import Slots
from inferworks.catalog.load import model_catalog
from inferworks.errors import BooksError
from inferworks.ids import ReplicaId
from inferworks.meter.capacity import Capacity, State
from inferworks.meter.facts import Facts
from inferworks.testing.books import (
    World,
    a_step,
    an_activity,
    an_interval,
    worlds,
)

pytestmark = pytest.mark.slow

ONE = ReplicaId("replica-1")
CATALOG = model_catalog()


def spans_of(*edges: int) -> list[Span]:
    """The spans between edges."""
    return [Span(*ends) for ends in pairwise(edges)]


def condensed(duck: DuckEngine, facts: Facts, *edges: int) -> Machines:
    """The machines of `facts` that questions between these edges need."""
    return machines(duck, lake_of(duck, {}, facts), Slots(spans_of(*edges)))


def capacity(*rows: tuple[Capacity, ...]) -> Facts:
    """Facts of these intervals alone."""
    return Facts((), (), tuple(row for interval in rows for row in interval), ())


def test_no_machines_are_none(duck: DuckEngine) -> None:
    """Steps without an interval are outside of all of them."""
    assert condensed(duck, Facts((), (), (), ()), 0, 100) == (Facts((), (), (), ()), 0)
    assert condensed(duck, Facts((), (a_step(0, 5, 7, []),), (), ()), 0, 100).unprovisioned_ns == 7


def test_intervals_that_follow_each_other_are_one_within_a_slot(duck: DuckEngine) -> None:
    """State by state; an edge divides them."""
    facts = capacity(
        an_interval((0, 10), {State.IDLE: 4, State.ACTIVE: 6}),
        an_interval((10, 20), {State.IDLE: 10}),
        an_interval((20, 30), {State.LOADING: 10}),
    )
    found = condensed(duck, facts, 0, 20, 100).facts.capacity
    assert sorted((row.state, row.start_ns, row.end_ns, row.duration_ns) for row in found) == [
        ("active", 0, 20, 6),
        ("idle", 0, 20, 14),
        ("loading", 20, 30, 10),
    ]


def test_an_interval_across_an_edge_is_kept_with_its_steps(duck: DuckEngine) -> None:
    """By which its work is divided there; steps of whole intervals are not needed."""
    facts = Facts(
        (),
        (a_step(0, 5, 3, []), a_step(1, 18, 5, [("call-1", 1, 0, 0)])),
        (
            *an_interval((0, 10), {State.ACTIVE: 3, State.IDLE: 7}),
            *an_interval((10, 30), {State.ACTIVE: 5, State.IDLE: 15}),
        ),
        (),
    )
    found = condensed(duck, facts, 0, 20, 100)
    assert [(step.start_ns, step.duration_ns, step.calls) for step in found.facts.steps] == [
        (18, 5, ())
    ]
    assert {(row.start_ns, row.end_ns) for row in found.facts.capacity} == {(0, 10), (10, 30)}
    assert found.unprovisioned_ns == 0


def test_gaps_between_intervals_are_kept(duck: DuckEngine) -> None:
    """The states stand on the first run, and the other runs say only when the replica was there."""
    facts = capacity(
        an_interval((0, 10), {State.IDLE: 10}), an_interval((40, 50), {State.ACTIVE: 10})
    )
    found = condensed(duck, facts, 0, 100).facts
    assert sorted((row.start_ns, row.end_ns, row.duration_ns) for row in found.capacity) == [
        (0, 10, 10),
        (0, 10, 10),
        (40, 50, 0),
    ]
    drivers = Drivers(found, CATALOG)
    assert drivers.states(ONE, "node-1", Span(0, 100)) == {State.IDLE: 10, State.ACTIVE: 10}
    assert drivers.occupants("node-1", Span(0, 100))["unused", "unoccupied"] == 80


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            capacity(an_interval((0, 10), {State.IDLE: 9})),
            "replica replica-1 from 0 to 10: its states sum to 9 ns",
        ),
        (
            capacity(an_interval((0, 10), {State.IDLE: 11, State.ACTIVE: -1})),
            "replica replica-1 from 0 to 10: its states sum to 10 ns",
        ),
        (
            capacity(
                an_interval((0, 10), {State.IDLE: 10}), an_interval((5, 15), {State.IDLE: 10})
            ),
            "from 5 to 15: its states sum to 10 ns and the interval before ends at 10",
        ),
        (
            capacity(
                an_interval((0, 10), {State.IDLE: 10}),
                an_interval((5, 15), {State.IDLE: 10}, node="node-2"),
            ),
            "from 5 to 15",
        ),
    ],
    ids=["not filled", "negative", "overlap", "on two nodes"],
)
def test_states_that_do_not_partition_time_are_refused(
    duck: DuckEngine, facts: Facts, text: str
) -> None:
    """Theorem 5, with the replica and its interval."""
    with pytest.raises(BooksError, match=r"^theorem 5 \(time\): ") as refused:
        condensed(duck, facts, 0, 100)
    assert text in str(refused.value)


def test_activities_are_those_of_the_lake(duck: DuckEngine) -> None:
    """As they were reported."""
    use = an_activity("descent", "node-1", (5, 9), 4)
    assert condensed(duck, Facts((), (), (), (use,)), 0, 100).facts.activities == (use,)


@settings(max_examples=6)
@given(worlds(), st.lists(st.integers(1, 2_500), max_size=3))
def test_every_question_over_whole_slots_has_the_same_answer(
    duck: DuckEngine, world: World, cuts: list[int]
) -> None:
    """Of any world: who was on a node, and in which states, to the nanosecond."""
    edges = sorted({0, 20_000, *cuts})
    found = condensed(duck, world.facts, *edges)
    whole, few = Drivers(world.facts, CATALOG), Drivers(found.facts, CATALOG)
    assert found.unprovisioned_ns == whole.unprovisioned_ns()
    assert few.nodes == whole.nodes
    replicas = {row.replica for row in world.facts.capacity}
    for span in [*spans_of(*edges), Span(0, 20_000)]:
        for node in whole.nodes:
            assert few.occupants(node, span) == whole.occupants(node, span)
            for replica in replicas:
                assert few.states(replica, node, span) == whole.states(replica, node, span)


@settings(max_examples=4)
@given(worlds())
def test_replicas_are_where_their_last_attempt_was(duck: DuckEngine, world: World) -> None:
    """As the definition has it."""
    lake = lake_of(duck, {}, world.facts)
    found = places(duck, CallDimensions(duck, lake, CATALOG, TARGETS).places())
    drivers = Drivers(world.facts, CATALOG)
    for replica, place in found.items():
        assert place == drivers.replica_place(replica) != Place()
    legs = {leg.replica for usage in world.facts.usages for leg in usage.legs if leg.replica}
    assert set(found) == legs
