"""The demo's parts: the plan, the bills, what is stored, the student."""

from __future__ import annotations

from collections import Counter

import pytest

from inferworks.demo.bills import (
    expected_bill_pico,
)
from inferworks.demo.scenario import (
    ACME,
    BARGAIN,
    FEWEST_CALLS,
    FREE_TIER,
    Ending,
    planned,
    planned_from,
    price_of,
)
from inferworks.planner.workload import Arrival, Workload
from inferworks.units import NS_PER_SECOND


@pytest.mark.parametrize("calls", [FEWEST_CALLS, 50, 400])
def test_a_plan_depends_on_the_seed_alone(calls: int) -> None:
    """The same calls in the same order; every customer calls, some leave, one at least is refused."""
    plan = planned(calls, 20, seed=3)
    assert plan == planned(calls, 20, seed=3) != planned(calls, 20, seed=4)
    assert len(plan) == calls
    assert {call.customer for call in plan} == {ACME.id, BARGAIN.id, FREE_TIER.id}
    endings = Counter(call.ending for call in plan)
    assert endings[Ending.LEFT]
    assert endings[Ending.ANSWERED] > calls * 0.8
    assert all(0 <= call.at_ns < 20 * NS_PER_SECOND for call in plan)


def test_a_trace_decides_times_and_lengths() -> None:
    """Each call has its arrival's time, and asks for exactly its number of tokens."""
    arrivals = tuple(Arrival(n * 1000, 50 + n, 7 + n) for n in range(12))
    plan = planned_from(Workload("w", arrivals), seed=1)
    for call, arrival in zip(plan, arrivals, strict=True):
        assert call.at_ns == arrival.at_ns
        if call.ending is Ending.ANSWERED:
            assert call.exact
            assert call.expected_tokens == (arrival.input_tokens, arrival.output_tokens)


def test_prices_put_a_profit_and_a_loss_beyond_doubt() -> None:
    """Acme brings in about the expected bill; bargain pays at most a hundredth of acme's price."""
    plan = planned(240, 20, seed=1)
    acme, bargain = price_of(ACME, plan, 20), price_of(BARGAIN, plan, 20)
    expected = [c.expected_tokens for c in plan if c.customer == ACME.id and c.ending == "answered"]
    revenue = sum(acme[0] * read + acme[1] * written for read, written in expected)
    assert 0.8 < revenue / expected_bill_pico(20) <= 1.0
    assert 0 < bargain[1] * 100 < acme[1]
    assert price_of(FREE_TIER, plan, 20) == (0, 0)
