"""Revenue by the location of its calls: summed, and changed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.statement.revenue_by_location import (
    LocationRevenue,
    placed_change,
    placed_sum,
)

ROWS = st.lists(
    st.builds(
        LocationRevenue,
        st.sampled_from(["own", "openai"]),
        st.sampled_from(["", "eu"]),
        st.just(""),
        st.integers(-5, 5),
    ),
    max_size=8,
)


@settings(max_examples=20)
@given(ROWS)
def test_a_location_has_one_row_or_none(rows: list[LocationRevenue]) -> None:
    """In one order whatever it was before; nothing is lost, and what comes to nothing is left out."""
    found = placed_sum(rows)
    assert found == placed_sum(rows[::-1])
    assert [row[:3] for row in found] == sorted({row[:3] for row in found})
    assert all(row.amount_pico for row in found)
    assert sum(row.amount_pico for row in found) == sum(row.amount_pico for row in rows)


@settings(max_examples=20)
@given(ROWS, ROWS)
def test_a_change_takes_what_was_booked_to_what_is_restated(
    booked: list[LocationRevenue], restated: list[LocationRevenue]
) -> None:
    """Location by location; where nothing is known by location nothing is moved."""
    change = placed_change(booked, restated)
    if not restated:
        assert change == ()
        return
    assert placed_sum((*booked, *change)) == placed_sum(restated)


def test_no_change_is_no_row() -> None:
    """The same revenue in other parts is the same revenue."""
    one = LocationRevenue("own", "eu", "gpu", 6)
    halves = [one._replace(amount_pico=3)] * 2
    assert placed_change([one], halves) == ()
