"""Distances of methods from the yardstick M3."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings

from inferworks.books.accounting.policy import load_policy
from inferworks.books.allocation.pools import (
    Method,
)
from inferworks.books.analysis.method_comparison import distances
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import (
    Computation,
    Inputs,
    compute,
    shipped_rules,
)
from inferworks.books.statement.statement import whole_span
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import (
    World,
    a_charge,
    a_company,
    a_leg,
    a_step,
    a_usage,
    an_interval,
    worlds,
)

GAAP = load_policy("gaap")
RULES = shipped_rules()
thorough = settings(max_examples=40)


def _span(world: World) -> Span:
    return whole_span(world.charges, world.facts)


def worked_out(world: World) -> Computation:
    """The workings of `world` by the shipped rules."""
    return compute(Inputs(*world, GAAP, "USD", _span(world), RULES))


@pytest.mark.slow
@thorough
@given(worlds())
def test_distances_are_fractions_from_nothing_to_two(world: World) -> None:
    """Each method sums to the same active time as the yardstick, so it cannot be further than 2."""
    found = distances(worked_out(world))
    for distance in found.distances:
        assert 0 <= distance.customers_ratio <= distance.ratio <= 2
    assert [distance.method for distance in found.distances] == ["M0", "M1", "M2"]


def test_distances_by_hand() -> None:
    """One call per step: M2 is M3. By tokens, all goes to the call that has a leg here: 100 ns move."""
    found = distances(worked_out(a_company()))
    ratios = {distance.method.value: distance.ratio for distance in found.distances}
    assert ratios["M2"] == 0
    assert found.distances[2].active_ns == 400
    assert ratios["M0"] > 0
    assert found.without_steps == 0


def test_sides_that_even_out_within_a_customer_are_no_distance_between_customers() -> None:
    """Two calls in a step that only reads the model: M2 weighs a prompt of 10 tenfold, M3 equally.

    Of 110 ns M2 gives 10 : 1 to the sides of either call and M3 1 : 1; each customer has half of both.
    """
    calls = [("call-a", 10, 1, 0), ("call-b", 10, 1, 0)]
    usages = (a_usage("call-a"), a_usage("call-b", customer="burns"))
    steps = (a_step(0, 0, 220, calls),)
    facts = Facts(usages, steps, an_interval((0, 220), {State.ACTIVE: 220}), ())
    found = distances(worked_out(World((a_charge("gpu", "1", (0, 220)),), facts, ())))
    [step_share] = [d for d in found.distances if d.method is Method.STEP_SHARE]
    assert step_share.ratio == Fraction(4 * (100 - 55), 220)
    assert step_share.customers_ratio == 0


def test_a_replica_without_steps_is_left_out_of_the_distances() -> None:
    """A replica without steps has nothing to measure by, and that is said."""
    usages = (a_usage("call-a", legs=[a_leg("replica-1", (0, 100), Tokens(1, 1))]),)
    facts = Facts(usages, (), an_interval((0, 100), {State.ACTIVE: 100}), ())
    found = distances(worked_out(World((a_charge("gpu", "1", (0, 100)),), facts, ())))
    assert found.without_steps == 1
    assert {distance.ratio for distance in found.distances} == {Fraction(0)}
