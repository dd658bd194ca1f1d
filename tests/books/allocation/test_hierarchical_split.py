"""Theorem 8: a coarser figure does not depend on how finely one looks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.allocation.hierarchical_split import split_down, split_each_down
from inferworks.books.amounts import Amounts
from inferworks.errors import MoneyError
from inferworks.money import split

LEAVES = st.dictionaries(
    st.tuples(
        st.sampled_from(["acme", "burns", "corvid"]), st.sampled_from("xyz"), st.integers(0, 3)
    ),
    st.integers(0, 1000),
    min_size=1,
).filter(lambda weights: any(weights.values()))
Leaf = tuple[str, str, int]


def by_model(leaf: Leaf) -> tuple[tuple[str, ...], ...]:
    """Path by customer, then by model."""
    return ((leaf[0],), (leaf[1],))


@settings(max_examples=15)
@given(st.integers(-(10**15), 10**15), LEAVES)
def test_sums_of_a_finer_split_are_the_coarser_split(total: int, weights: dict[Leaf, int]) -> None:
    """A customer bears the same whether or not the models and calls below are looked at."""
    parts = split_down(total, weights, by_model)
    assert sum(parts.values()) == total
    customers: Counter[str] = Counter()
    for leaf, part in parts.items():
        customers[leaf[0]] += part
    sums: Counter[str] = Counter()
    for leaf, weight in weights.items():
        sums[leaf[0]] += weight
    assert customers == Counter(split(total, sums))


@settings(max_examples=15)
@given(st.integers(-(10**15), 10**15), LEAVES)
def test_a_leaf_without_weight_bears_nothing(total: int, weights: dict[Leaf, int]) -> None:
    """Each leaf has its part in the order of the weights, and one without weight has zero."""
    parts = split_down(total, weights, by_model)
    assert list(parts) == list(weights)
    assert all(not part for leaf, part in parts.items() if not weights[leaf])


@settings(max_examples=15)
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=5), LEAVES)
def test_many_lines_are_divided_each_on_its_own(
    totals: list[int], weights: dict[Leaf, int]
) -> None:
    """The amounts of many lines come to what each line comes to alone."""
    together = split_each_down(Amounts(totals), weights, by_model)
    alone = [split_down(total, weights, by_model) for total in totals]
    for leaf, part in together.items():
        parts = [0] * len(totals) if isinstance(part, int) else part.each()
        assert parts == [one[leaf] for one in alone]


def test_without_a_path_it_is_a_plain_split() -> None:
    """Leaves that stand alone share the total directly."""
    assert split_down(100, {"a": 1, "b": 2}, lambda _: ()) == {"a": 33, "b": 67}


def test_a_total_needs_someone_to_bear_it() -> None:
    """No weight at all, or a negative one, is an error and no guess."""
    for weights in ({"a": 0}, {"a": 2, "b": -1}):
        with pytest.raises(MoneyError):
            split_down(1, weights, lambda _: ())
