"""Seals: hashes of parts that do not depend on any order, and differences in words."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.closed_books import Recorded, closed

from inferworks.books.charge import Charge
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import (
    body_of_set,
    difference,
)
from inferworks.books.period import Period
from inferworks.errors import BooksError
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Usage
from inferworks.testing.books import World, a_usage, worlds


@pytest.mark.slow
@given(worlds(), st.integers(0, 99))
@settings(max_examples=25)
def test_the_order_of_arrival_leaves_no_trace_in_a_seal(world: World, seed: int) -> None:
    """Theorem 13: the hash of a close does not depend on the order of its inputs."""
    dice, hashes = Random(seed), []
    for _ in range(2):
        source = Recorded()
        source.charges = dice.sample(world.charges, len(world.charges))
        source.facts = Facts(*(tuple(dice.sample(x, len(x))) for x in facts_of(world)))
        source.plans = dice.sample(world.plans, len(world.plans))
        with Ledger(None) as ledger:
            hashes.append(closed(ledger, source, Period(0, 5_000, "all")).sha256)
    assert hashes[0] == hashes[1]


def facts_of(world: World) -> tuple[tuple[Any, ...], ...]:
    """The four kinds of facts of a world."""
    facts = world.facts
    return facts.usages, facts.steps, facts.capacity, facts.activities


def test_a_difference_is_said_in_words() -> None:
    """The path to the first place where two values differ, and both values."""
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 3, sealed as 2"
    assert difference({"a": [1]}, {"a": [1, 2]}) == "a has 2 entries, sealed with 1"
    assert difference({"a": 1}, {"a": 1}) is None


def test_a_part_is_a_set_of_lines() -> None:
    """The hash of a part does not depend on the order, and the part reads back as it was."""
    usages = [a_usage("b"), a_usage("a")]
    one, other = body_of_set("inputs/usages", usages), body_of_set("inputs/usages", usages[::-1])
    assert one == other
    assert sorted(one.rows(Usage), key=lambda u: u.call_id) == usages[::-1]
    with pytest.raises(BooksError, match="cannot read what was sealed"):
        one.rows(Charge)
