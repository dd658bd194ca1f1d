"""Amounts as text for people."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.cli.books.formatting import amount, percentage, places_for
from inferworks.money import PICO


@pytest.mark.parametrize(
    ("pico", "places", "text"),
    [
        (0, 2, "0.00"),
        (1_234_567 * PICO + PICO // 2, 2, "1,234,567.50"),
        (-1_234 * PICO, 2, "-1,234.00"),
        (-PICO // 2, 2, "-0.50"),
        (-1, 2, "0.00"),
        (1_500_000, 6, "0.000002"),
        (7 * PICO, 0, "7"),
    ],
)
def test_amounts(pico: int, places: int, text: str) -> None:
    """Rounded, thousands apart; what rounds to nothing has no sign."""
    assert amount(pico, places) == text


@settings(max_examples=20)
@given(st.integers(-(10**20), 10**20), st.integers(0, 6))
def test_an_amount_is_the_rounded_one(pico: int, places: int) -> None:
    """Read again it is within half a unit of its last place."""
    shown = Decimal(amount(pico, places).replace(",", ""))
    assert abs(shown - Decimal(pico).scaleb(-12)) <= Decimal(5).scaleb(-places - 1)


def test_cents_for_a_company_and_millionths_for_an_afternoon() -> None:
    """By the largest figure, whatever its sign; of nothing millionths."""
    assert places_for() == places_for(0, 999 * PICO) == 6
    assert places_for(1, -1000 * PICO) == 2


def test_percentages() -> None:
    """A dash where there is none."""
    assert percentage(None) == "-"
    assert percentage(Decimal("1234.5")) == "1,234.5"
