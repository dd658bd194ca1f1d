"""The amounts of many lines, divided each on its own: `money.split` for all of them at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.amounts import LARGEST, Amounts
from inferworks.errors import MoneyError
from inferworks.money import split

SMALL = st.integers(-(2**40), 2**40)
ANY = st.integers(-LARGEST + 1, LARGEST - 1)
WEIGHTS = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2**20), min_size=1).filter(
    lambda weights: any(weights.values())
)


def check_split(values: list[int], weights: dict[str, int]) -> None:
    """Check the split of `values` against that of each value."""
    found = Amounts(values).split(weights)
    expected = [split(value, weights) for value in values]
    assert {key: part.each() for key, part in found.items()} == {
        key: [row[key] for row in expected] for key in weights
    }


@settings(max_examples=15)
@given(st.lists(SMALL, max_size=6), WEIGHTS)
def test_a_split_of_many_is_many_splits(values: list[int], weights: dict[str, int]) -> None:
    """The guess in floating point is corrected to the last picounit, remainders and ties included."""
    check_split(values, weights)


@settings(max_examples=15)
@given(st.lists(ANY, min_size=1, max_size=3), WEIGHTS)
def test_large_amounts_are_split_one_by_one(values: list[int], weights: dict[str, int]) -> None:
    """Parts are the same where the product would not fit into 64 bits."""
    check_split(values, weights)


@settings(max_examples=15)
@given(st.lists(ANY, max_size=20))
def test_the_sum_is_exact_beyond_64_bits(values: list[int]) -> None:
    """Amounts fit into 64 bits and their sum need not."""
    assert int(Amounts(values)) == sum(values)
    assert len(Amounts(values)) == len(values)


@settings(max_examples=15)
@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=5))
def test_they_add_up_line_by_line(pairs: list[tuple[int, int]]) -> None:
    """A sum begins with nothing; then each line adds to its own."""
    left, right = (Amounts(side) for side in zip(*pairs, strict=True))
    assert sum([left, right], 0).each() == [one + other for one, other in pairs]


def test_the_largest_stand_first_whatever_their_sign() -> None:
    """Of equals the first; asked for more than there are, all."""
    amounts = Amounts([1, -5, 3, 5, 0])
    assert amounts.largest(3) == [1, 3, 2]
    assert amounts.largest(9) == [1, 3, 2, 0, 4]
    assert amounts.at([3, 0]) == [5, 1]


def test_one_who_bears_alone_bears_all() -> None:
    """A single weight, whatever it is, takes the amounts as they are."""
    assert Amounts([7, -7]).split({"a": 3})["a"].each() == [7, -7]


@pytest.mark.parametrize("weights", [{"a": 0, "b": 0}, {"a": 3, "b": -1}, {}])
def test_weights_that_divide_nothing_are_refused(weights: dict[str, int]) -> None:
    """As `money.split` refuses them."""
    with pytest.raises(MoneyError, match="cannot split"):
        Amounts([1]).split(weights)
