"""Division as relations: the same integers as `money.split` and `tree.split_down`."""

from __future__ import annotations

import random
from decimal import Decimal

import pyarrow as pa
import pytest

from inferworks.books.allocation.hierarchical_split import split_down as split_down_in_python
from inferworks.books.engines.apportion import Width, split_down, width_of
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.errors import BooksError

pytestmark = pytest.mark.slow


def wholes(values: list[int]) -> pa.Array:
    """A column of DECIMAL(38, 0)."""
    return pa.array([Decimal(value) for value in values], pa.decimal128(38, 0))


@pytest.mark.parametrize("width", Width)
def test_parts_are_those_of_the_definition(duck: DuckEngine, width: Width) -> None:
    """Ties, zeros, credits and one-leaf trees come out as `tree.split_down` has them."""
    dice = random.Random(2)
    rows: list[tuple[int, str, str, int, int]] = []
    expected: dict[tuple[int, str, str], int] = {}
    for number in range(200):
        amount = dice.randrange(-(10**15), 10**15) if number else 0
        weights = {
            (dice.choice("abc"), f"leaf-{n}"): dice.choice([0, 1, 1, dice.randrange(10**12)])
            for n in range(dice.randrange(1, 12))
        } | {("z", "leaf"): 1}
        parts = split_down_in_python(amount, weights, lambda leaf: ((leaf[0],),))
        for leaf, weight in weights.items():
            rows.append((number, *leaf, amount, weight))
            expected[number, *leaf] = parts[leaf]
    dice.shuffle(rows)
    group, first, then, amounts, weighed = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"g": group, "a": first, "b": then, "amount": wholes(amounts), "w": weighed})
    found = duck.fetch(split_down(duck.table(table), ["g"], ["a"], ["b"], by="w", width=width))
    parts = {(row["g"], row["a"], row["b"]): int(row["part"]) for row in found.to_pylist()}
    assert {leaf: part for leaf, part in expected.items() if part} == {
        leaf: part for leaf, part in parts.items() if part
    }


def test_an_amount_too_large_for_128_bits_is_refused() -> None:
    """Up to a sextillion it is halved; beyond, the error says what to do."""
    assert width_of(10**18 - 1, 10**18 - 1) is Width.NARROW
    assert width_of(10**18, 10**19) is Width.USUAL
    assert width_of(10**29, 10**18) is Width.WIDE
    with pytest.raises(BooksError, match="cut the charge"):
        width_of(10**31, 10**3)
