"""Method M3: each call's contribution to a step, averaged over the orders in which calls could join."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.allocation.shapley import ORDERS, Player, Work, shapley_weights

WORKS = st.dictionaries(
    st.sampled_from("abcdefg").map(lambda name: (name,)),
    st.builds(Work, st.integers(0, 50), st.integers(0, 50)),
    max_size=6,
)


def duration(works: list[Work], fixed: int) -> int:
    """Time of a step with these calls: a roofline, and what each call's context adds."""
    if not works:
        return 0
    return max(fixed, sum(work.linear for work in works)) + sum(work.context for work in works)


@settings(max_examples=15)
@given(WORKS, st.integers(0, 100))
def test_weights_sum_to_the_step(works: dict[Player, Work], fixed: int) -> None:
    """Weights are whole and come to a multiple of the step's time, none below zero."""
    weights = shapley_weights(works, fixed, "seed")
    working = [work for work in works.values() if work != Work()]
    assert all(weight >= 0 for weight in weights.values())
    step = duration(working, fixed)
    assert sum(weights.values()) % step == 0 if step else not sum(weights.values())


@settings(max_examples=15)
@given(WORKS, st.integers(0, 100))
def test_who_does_nothing_bears_nothing_and_equals_bear_alike(
    works: dict[Player, Work], fixed: int
) -> None:
    """A call without work has no weight; calls that bring the same have the same."""
    weights = shapley_weights(works, fixed, "seed")
    assert weights.keys() == {player for player, work in works.items() if work != Work()}
    for one, other in itertools.combinations(weights, 2):
        if works[one] == works[other]:
            assert weights[one] == weights[other]


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.sampled_from("abcd").map(lambda name: (name,)),
        st.builds(Work, st.integers(1, 50), st.integers(0, 50)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 100),
)
def test_of_few_calls_it_is_the_value_itself(works: dict[Player, Work], fixed: int) -> None:
    """Shapley's formula over all subsets gives the same shares for four calls or fewer."""
    weights = shapley_weights(works, fixed, "seed")
    players = sorted(works)
    orders = list(itertools.permutations(players))
    whole = duration(list(works.values()), fixed)
    for player in players:
        contributions = sum(
            duration([works[one] for one in order[: order.index(player) + 1]], fixed)
            - duration([works[one] for one in order[: order.index(player)]], fixed)
            for order in orders
        )
        value = Fraction(contributions, len(orders) * whole)
        assert Fraction(weights[player], sum(weights.values())) == value


def test_a_draw_is_the_same_on_every_machine() -> None:
    """Of many calls orders are drawn from the seed alone, whatever the order of the calls."""
    works = {(name,): Work(number, 2 * number) for number, name in enumerate("abcdef", start=1)}
    turned = dict(reversed(works.items()))
    assert shapley_weights(works, 10, "step-1") == shapley_weights(turned, 10, "step-1")
    assert sum(shapley_weights(works, 10, "step-1").values()) == 2 * ORDERS * duration(
        list(works.values()), 10
    )
    assert shapley_weights(works, 10, "step-1") != shapley_weights(works, 10, "step-2")


def test_a_step_of_nobody_has_no_weights() -> None:
    """Nor has one whose calls do nothing."""
    assert shapley_weights({}, 10, "") == shapley_weights({("a",): Work()}, 10, "") == {}
