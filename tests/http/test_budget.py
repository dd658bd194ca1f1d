"""Bytes held for clients: what fits, what does not, and that all of it is given back."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.http.budget import Budget, Held, Places


def test_what_fits() -> None:
    """Bytes are taken up to the whole, and up to half of it for one owner."""
    budget = Budget(100)
    assert budget.take("a", 50)
    assert not budget.take("a", 1)
    assert budget.take("b", 50)
    assert not budget.take("c", 1)
    budget.give_back("a", 50)
    assert budget.take("c", 1)
    assert budget.held_bytes == 51


@pytest.mark.slow
@given(st.integers(2, 200), st.integers(1, 12), st.randoms(use_true_random=False))
def test_places_are_left(most: int, owners: int, chance: random.Random) -> None:
    """Each owner that takes all it gets leaves half of what was left; one alone gets half of all."""
    places = Places(most)
    for _ in range(most * owners):
        places.take(chance.randrange(owners), 1)
    left = most - places.held_bytes
    assert left >= most / 2**owners
    assert places.take("newcomer", 1) == (left >= 2)
    if owners == 1:
        assert left == most - most // 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 60), st.booleans()), max_size=60))
def test_what_was_taken_is_given_back(steps: list[tuple[int, int, bool]]) -> None:
    """Bounds hold whatever is held and released, and in the end nothing is counted."""
    budget = Budget(100)
    helds = [Held(budget, owner // 2) for owner in range(4)]
    counted = [0] * 4
    for which, n_bytes, release in steps:
        if release:
            helds[which].release()
            counted[which] = 0
        elif helds[which].more(n_bytes):
            counted[which] += n_bytes
        assert budget.held_bytes == sum(counted) <= 100
        assert max(counted[0] + counted[1], counted[2] + counted[3]) <= 50
    for held in helds:
        held.release()
    assert budget.held_bytes == 0
    assert budget.take("anybody", 50)
