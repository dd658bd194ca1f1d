"""Depreciation: an asset as one charge a month, exact to the picounit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.own_bills import ASSETS, DAY_NS, problems, read

from inferworks.books.bills.assets import declining, straight_line
from inferworks.books.charge import NaturalClass
from inferworks.money import PICO, format_pico


def test_an_asset_becomes_one_charge_a_month() -> None:
    """From its day to the same day of the next month, or the last; the parts sum to what is lost."""
    charges = read(ASSETS)
    server = [charge for charge in charges if dict(charge.other)["asset"] == "GPU server 3"]
    switch = [charge for charge in charges if dict(charge.other)["asset"] == "Switch 1"]
    assert (len(server), len(switch)) == (36, 24)
    assert sum(charge.amount_pico for charge in server) == 90_000 * PICO
    assert sum(charge.amount_pico for charge in switch) == 8_900 * PICO
    assert {format_pico(charge.amount_pico) for charge in server} == {"2500.00"}
    assert format_pico(switch[0].amount_pico) == "750.00"
    for charges in (server, switch):
        for before, after in itertools.pairwise(charges):
            assert before.period_end_ns == after.period_start_ns
    assert [(c.period_end_ns - c.period_start_ns) // DAY_NS for c in server[:4]] == [28, 31, 30, 31]
    assert {charge.natural_class for charge in charges} == {NaturalClass.DEPRECIATION}


amounts = st.integers(0, 10**20)


@given(amounts, amounts, st.integers(1, 120))
def test_depreciation_sums_to_cost_less_salvage(one: int, other: int, months: int) -> None:
    """Depreciation by either method is exact; never negative, never below the salvage value."""
    salvage, cost = sorted((one, other))
    for parts in (straight_line(cost - salvage, months), declining(cost, salvage, months)):
        assert len(parts) == months
        assert sum(parts) == cost - salvage
        assert min(parts) >= 0
    falling = declining(cost, salvage, months)
    assert all(after <= before + 1 for before, after in itertools.pairwise(falling))


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (("100000.00", "-1"), "salvage"),
        ((",36,", ",0,"), "life_months"),
        ((",36,", ",1e3,"), "life_months"),
        ((",36,", f",{'0' * 5000}36,"), "life_months"),
        (("straight-line", "sum-of-digits"), "method"),
        (("2026-01-31", "2026-01-31T09:00Z"), "in_service"),
        (("2026-01-31", "9999-01-31"), "in_service"),
        (("10000.00", "100000.01"), "salvage"),
    ],
)
def test_a_schedule_that_cannot_be_meant(change: tuple[str, str], column: str) -> None:
    """A senseless schedule is refused with line and column."""
    assert f"line 2, column {column}" in problems(ASSETS.replace(*change))[0]
