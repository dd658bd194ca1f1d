"""Price schemes at their edges, by hand and for any terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rated import NOVEMBER, TIERS
from tests.support.terms import some_tiers

from inferworks.accounts.plan import (
    AmountOff,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Volume,
)
from inferworks.books.revenue.price_schemes import discount_pico, scheme_pico


@pytest.mark.parametrize(
    ("scheme", "amounts"),
    [
        (PerUnit(7), {0: 0, 1: 7, 100: 700, 10**12: 7 * 10**12}),
        (Graduated(TIERS), {0: 0, 1: 10, 100: 1000, 101: 1006, 200: 1600, 201: 1603, 300: 1900}),
        (Volume(TIERS), {0: 0, 1: 10, 100: 1000, 101: 606, 200: 1200, 201: 603, 300: 900}),
        (Package(1000, 20), {0: 0, 1: 20, 1000: 20, 1001: 40, 2500: 60}),
    ],
    ids=["per unit", "graduated", "volume", "package"],
)
def test_schemes_by_hand(scheme, amounts) -> None:
    """Each kind of price at its edges, as a person would reckon it."""
    assert {quantity: scheme_pico(scheme, quantity) for quantity in amounts} == amounts


def test_a_discount_is_never_more_than_there_is() -> None:
    """An amount off stops at nothing; all off is all off; a third of 100 is 33."""
    assert discount_pico([AmountOff(70), AmountOff(70)], 100, NOVEMBER, NOVEMBER) == 100
    assert discount_pico([PercentOff(1, 1)], 100, NOVEMBER, NOVEMBER) == 100
    assert discount_pico([PercentOff(1, 3)], 100, NOVEMBER, NOVEMBER) == 33


@given(tiers=some_tiers, less=st.integers(0, 2000), more=st.integers(0, 2000))
def test_more_never_costs_less_when_graduated(tiers, less, more) -> None:
    """Graduated tiers and packages never fall; volume tiers may, which is what they are for."""
    assert scheme_pico(Graduated(tiers), less) <= scheme_pico(Graduated(tiers), less + more)
    package = Package(max(1, less), tiers[-1].pico_per_unit)
    assert scheme_pico(package, less) <= scheme_pico(package, less + more)
