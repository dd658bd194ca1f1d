"""Comparison of policies: money moves between functions and none is lost."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from tests.support.small_company import USD, thorough, worked_out

from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.policy_comparison import compare
from inferworks.books.statement.statement import whole_span
from inferworks.testing.books import World, a_company, worlds


def test_gaap_beside_marginal_by_hand() -> None:
    """6.80 become committed; the margin rises by what is left out: 11.80."""
    found = compare(worked_out(a_company()), load_policy("gaap"), load_policy("marginal"))
    differences = {row.name: row.difference_pico * 10 // USD for row in found.functions}
    assert differences["cost-of-revenue"] == -68
    assert differences["committed"] == 68
    assert [row.difference_pico * 10 // USD for row in found.view] == [0, -118, 118]
    moved = {(row.use, row.pool): row.amount_pico * 10 // USD for row in found.moved}
    assert moved == {
        ("serve-paid", "machines"): 30,
        ("serve-paid", "people"): 30,
        ("serve-paid", "web"): 6,
        ("serve-free", "web"): 2,
    }


@pytest.mark.slow
@thorough
@given(worlds())
def test_a_comparison_moves_money_and_loses_none(world: World) -> None:
    """Functions differ by what moves between them, and the differences sum to nothing."""
    computation = worked_out(world, whole_span(world.charges, world.facts))
    found = compare(computation, load_policy("gaap"), load_policy("marginal"))
    assert sum(row.difference_pico for row in found.functions) == 0
    for row in found.functions:
        gained = sum(item.amount_pico for item in found.moved if item.other == row.name)
        lost = sum(item.amount_pico for item in found.moved if item.one == row.name)
        assert row.difference_pico == gained - lost
    msgspec.json.encode(found.to_json())
