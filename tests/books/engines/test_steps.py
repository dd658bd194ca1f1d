"""Nanoseconds by steps, as relations: the shares that the definition gives each call (theorem 6)."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings

from inferworks.books.allocation.drivers import Drivers
from inferworks.books.calendar.span import Span
from inferworks.books.engines.call_dimensions import CallDimensions
from inferworks.books.engines.calls import Stay
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.granularity import CUSTOMERS, TARGETS, Grain
from inferworks.books.engines.lake import lake_of
from inferworks.books.engines.steps import UNKNOWN, Steps
from inferworks.catalog.load import model_catalog
from inferworks.catalog.units import INPUT, OUTPUT
from inferworks.ids import CallId
from inferworks.meter.capacity import Step
from inferworks.meter.facts import Facts
from inferworks.testing.books import World, a_step, a_usage, worlds

pytestmark = pytest.mark.slow

CATALOG = model_catalog()


def steps_of(duck: DuckEngine, facts: Facts, grain: Grain = CUSTOMERS) -> Steps:
    """The steps of these facts."""
    return Steps(CallDimensions(duck, lake_of(duck, {}, facts), CATALOG, grain))


def shares(duck: DuckEngine, facts: Facts, *stays: Stay) -> dict[tuple[int, str, str], int]:
    """Nanoseconds by question, label and customer."""
    rows = duck.fetch(steps_of(duck, facts).shares(list(stays))).to_pylist()
    return {(row["question"], row["label"], row["customer"]): int(row["weight"]) for row in rows}


def of_steps(*steps: Step) -> Facts:
    """Facts of steps, and of two calls of two customers."""
    return Facts((a_usage("call-a"), a_usage("call-b", customer="burns")), steps, (), ())


STAY = Stay(7, "replica-1", 0, 100)


def test_pieces_are_the_parts_of_steps_within_a_stay(duck: DuckEngine) -> None:
    """Of that replica; a step that only touches an edge is no part of it."""
    facts = of_steps(
        a_step(0, -10, 10, []), a_step(1, -5, 10, []), a_step(2, 40, 10, []), a_step(3, 95, 50, []),
        a_step(4, 100, 5, []), a_step(0, 40, 10, [], replica="replica-2"),
    )  # fmt: skip
    rows = duck.fetch(steps_of(duck, facts).pieces([STAY]).select("seq", "inside_ns")).to_pylist()
    assert sorted((row["seq"], row["inside_ns"]) for row in rows) == [(1, 5), (2, 10), (3, 5)]


def test_a_stay_may_have_several_spans(duck: DuckEngine) -> None:
    """All are one question; others are asked beside it."""
    facts = of_steps(*(a_step(n, 10 * n, 10, [("call-a", 1, 0, 0)]) for n in range(10)))
    stays = (Stay(1, "replica-1", 0, 15), Stay(1, "replica-1", 85, 100), Stay(2, "replica-1", 5, 9))
    assert shares(duck, facts, *stays) == {
        (1, "serve-paid", "acme"): 30,
        (2, "serve-paid", "acme"): 4,
    }


def test_a_step_is_divided_among_its_calls_by_their_weight(duck: DuckEngine) -> None:
    """Summed over the steps of the stay; a call that nobody knows keeps its share."""
    step = a_step(0, 0, 90, [("call-a", 2, 0, 0), ("call-b", 3, 0, 0), ("lost", 4, 0, 0)])
    assert shares(duck, of_steps(step), STAY) == {
        (7, "serve-paid", "acme"): 20,
        (7, "serve-paid", "burns"): 30,
        (7, UNKNOWN, ""): 40,
    }


def test_a_step_without_work_has_no_shares(duck: DuckEngine) -> None:
    """Its time is what the question does not explain."""
    facts = of_steps(a_step(0, 0, 10, []), a_step(1, 10, 10, [("call-a", 0, 0, 9)]))
    assert shares(duck, facts, STAY) == {}


def test_at_the_grain_of_targets_sides_and_days_are_told_apart(duck: DuckEngine) -> None:
    """A call's input and output in one step."""
    facts = of_steps(
        a_step(0, 0, 60, [("call-a", 1, 0, 0)]), a_step(1, 60, 20, [("call-a", 0, 1, 0)])
    )
    rows = duck.fetch(steps_of(duck, facts, TARGETS).shares([STAY])).to_pylist()
    assert sorted((row["direction"], row["day"], int(row["weight"])) for row in rows) == [
        (INPUT, 0, 60),
        (OUTPUT, 0, 20),
    ]


@settings(max_examples=5)
@given(worlds())
def test_shares_of_steps_are_those_of_the_definition(duck: DuckEngine, world: World) -> None:
    """Of any world, in a span that cuts its steps."""
    drivers, span = Drivers(world.facts, CATALOG), Span(200, 900)
    wanted: dict[tuple[int, str, str], int] = defaultdict(int)
    for step in world.facts.steps:
        inside_ns = span.meet(step.start_ns, step.end_ns).length_ns
        for leaf, share_ns in drivers.step_shares(step, inside_ns).items() if inside_ns else ():
            number = int(step.replica.rpartition("-")[2])
            if leaf[0] == "unknown-call":
                wanted[number, UNKNOWN, ""] += share_ns
            elif leaf[0] == "call":
                usage = drivers.usages[CallId(leaf[1])]
                wanted[number, usage.purpose.value, usage.customer] += share_ns
    stays = [Stay(number, f"replica-{number}", *span) for number in range(3)]
    found = shares(duck, world.facts, *stays)
    assert found == {key: share_ns for key, share_ns in wanted.items() if share_ns}
