"""Breakers and moving averages as tables of what happens when."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.clock import SimClock
from inferworks.cloud.routing.health import BreakerState, Health, PeakEwma
from inferworks.cloud.routing.policy import BreakerPolicy
from inferworks.testing.providers import make_offer

Run = Callable[[Coroutine[Any, Any, None]], None]
S = 1_000_000_000
MS = 1_000_000
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
POLICY = BreakerPolicy(
    failures_in_row=3, failure_share=0.5, least_calls=10, window_s=20.0, cool_down_s=2.0,
    longest_cool_down_s=8.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "at_s", "value_ms"),
    [
        ([], 5.0, 0),
        ([(1.0, 100)], 1.0, 100),
        ([(1.0, 100), (2.0, 900)], 2.0, 900),
        ([(1.0, 900), (1.0, 100)], 1.0, 900),
        ([(1.0, 900), (11.0, 100)], 11.0, 394),
        ([(1.0, 900)], 11.0, 331),
        ([(1.0, 900)], 101.0, 0),
    ],
)
def test_an_average_rises_at_once_and_falls_slowly(
    samples: list[tuple[float, int]], at_s: float, value_ms: int
) -> None:
    """A peak counts whole; in ten seconds 63 % of it is gone, with samples or without."""
    average = PeakEwma()
    for when_s, sample_ms in samples:
        average.take(round(when_s * S), sample_ms * MS)
    assert round(average.read(round(at_s * S)) / MS) == value_ms


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10)), min_size=1))
def test_an_average_stays_among_its_samples(samples: list[tuple[int, int]]) -> None:
    """The average is never above the greatest sample, nor below the last one at its own time."""
    average, now_ns = PeakEwma(), 0
    for step_ns, sample_ns in samples:
        now_ns += step_ns
        average.take(now_ns, sample_ns)
        assert sample_ns - 1 <= average.read(now_ns) <= max(s for _, s in samples) + 1


def test_what_health_shows(run: Run) -> None:
    """Calls, averages and breakers of an offer, as attempts tell them."""

    async def main() -> None:
        clock = SimClock()
        health = Health(clock, POLICY, seed=1)
        offer = make_offer()
        standing = health.of(offer)
        standing.begins(0)
        await clock.advance(0.5)
        standing.answered(0, clock.now_ns())
        assert (health.running(offer), health.first_byte_ns(offer)) == (1, 500 * MS)
        standing.over()
        assert health.running(offer) == 0
        for _ in range(3):
            standing.failed(1, clock.now_ns())
        assert not health.passes(offer)
        assert health.states() == {offer.id: OPEN}
        assert health.retry_ns(offer) == clock.now_ns() + 2 * S
        assert health.first_byte_ns(offer) == 500 * MS, "how soon it fails is no speed"

    run(main())


def test_a_race_lost_is_learnt_from(run: Run) -> None:
    """An attempt that was outrun shows that its offer takes at least so long, never that it is quick."""

    async def main() -> None:
        clock = SimClock()
        health = Health(clock)
        offer = make_offer()
        standing = health.of(offer)
        await clock.advance(1.0)
        standing.outrun(0, clock.now_ns())
        assert health.first_byte_ns(offer) == S
        standing.outrun(clock.now_ns() - 10 * MS, clock.now_ns())
        assert health.first_byte_ns(offer) == S

    run(main())


def test_another_policy_takes_effect_at_once() -> None:
    """A changed configuration holds for offers that are known already and for new ones."""
    health = Health(SimClock(), POLICY)
    known, new = make_offer(offer_id="a"), make_offer(offer_id="b")
    health.of(known).failed(0, 0)
    health.use(BreakerPolicy(failures_in_row=2))
    for offer in (known, new):
        health.of(offer).failed(0, 0)
    assert [health.passes(offer) for offer in (known, new)] == [False, True]
