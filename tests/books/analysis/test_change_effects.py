"""Theorem 20: a product's change divided among its factors, exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.analysis.causes import Factor, effects_of, explain_change
from inferworks.books.analysis.change_effects import Cause
from inferworks.books.statement.statement import Statement

SIX = tuple(Cause)[:6]


@st.composite
def products(draw: st.DrawFn) -> list[Factor]:
    """Factors whose product is whole at both times."""
    causes = draw(st.lists(st.sampled_from(SIX), min_size=1, max_size=4, unique=True))
    levels = st.integers(-20, 10**6)
    whole = [(draw(levels), draw(levels)) for _ in causes]
    under = [draw(st.integers(1, 50)) for _ in causes]
    # What one factor is divided by, the next is a multiple of.
    factors = [
        Factor(cause, then * under[n - 1], now * under[n - 1], of)
        for n, (cause, (then, now), of) in enumerate(zip(causes, whole, under, strict=True))
    ]
    return draw(st.permutations(factors))


def by_orders(factors: Sequence[Factor]) -> dict[Cause, Fraction]:
    """The Shapley values by definition: what each adds, averaged over all orders."""
    sums = dict.fromkeys((factor.cause for factor in factors), Fraction(0))
    for order in permutations(range(len(factors))):
        levels = [Fraction(factor.then, factor.of) for factor in factors]
        for one in order:
            before = math.prod(levels)
            levels[one] = Fraction(factors[one].now, factors[one].of)
            sums[factors[one].cause] += math.prod(levels) - before
    return {cause: pico / math.factorial(len(factors)) for cause, pico in sums.items()}


@pytest.mark.slow
@given(products())
@settings(max_examples=60)
def test_a_products_change_is_divided_by_shapley_value(factors: list[Factor]) -> None:
    """Theorem 20: exact sum, in any order, nothing for what did not change, negated when swapped."""
    found = effects_of(factors)
    now, then = math.prod(f.now for f in factors), math.prod(f.then for f in factors)
    change = Fraction(now - then, math.prod(f.of for f in factors))
    assert sum(found.values()) == change
    exact = by_orders(factors)
    assert all(abs(found[cause] - exact[cause]) < 1 for cause in found)
    assert all(effects_of(order) == found for order in (factors[::-1], sorted(factors)))
    assert all(found[factor.cause] == 0 for factor in factors if factor.then == factor.now)
    swapped = [Factor(f.cause, f.now, f.then, f.of) for f in factors]
    assert effects_of(swapped) == {cause: -pico for cause, pico in found.items()}


def test_remainders_go_to_the_largest_then_by_name() -> None:
    """1 of three equal factors from 0 to 1: a third each, and the unit to the first name."""
    third = [Factor(cause, 0, 1) for cause in SIX[:3]]
    assert effects_of(third) == {Cause.MIX: 1, Cause.PRICE: 0, Cause.VOLUME: 0}


def causes(now: Statement, then: Statement) -> dict[str, int]:
    """Amount that each cause explains, without those that did nothing."""
    return {
        cause.value: pico for cause, pico in explain_change(now, then).by_cause().items() if pico
    }
