"""Offers that may serve a call at all; limits of a policy; the time to ask a refusing upstream again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from inferworks.clock import SimClock
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.filters import eligible, in_reserve
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy
from inferworks.cloud.routing.route import HedgeBudget, Router
from inferworks.errors import CallError
from inferworks.ids import ModelId
from inferworks.testing.providers import make_call, make_offer

MODEL = ModelId("m")
Run = Callable[[Coroutine[Any, Any, None]], None]
S = 1_000_000_000


def offers(**regions: str) -> list[Offer]:
    """Offers in these regions."""
    return [replace(make_offer(offer_id=name), region=r) for name, r in regions.items()]


WORLD = offers(a="eu-west-1", b="us-east-1", c="", d="eu-central-1", e="europe")


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ((), "abcde"),
        (("eu-",), "ad"),
        (("eu-west-1", "us-"), "ab"),
        (("eu",), "ade"),
    ],
)
def test_regions(regions: tuple[str, ...], expected: str) -> None:
    """A region matches by how it begins; an unknown one is nowhere where it matters."""
    found = eligible(MODEL, WORLD, RoutePolicy(regions=regions), Health(SimClock()))
    assert "".join(offer.id for offer in found) == expected


@pytest.mark.parametrize("regions", [("ap-",), ("EU-",), ("west",)])
def test_a_region_that_nobody_is_in_refuses(regions: tuple[str, ...]) -> None:
    """A prompt that may not leave a region is not answered elsewhere; the error names the regions."""
    with pytest.raises(CallError, match=regions[0]) as refused:
        eligible(MODEL, WORLD, RoutePolicy(regions=regions), Health(SimClock()))
    assert (refused.value.status, refused.value.code) == (503, "region_unavailable")


def test_without_offers() -> None:
    """A model of which no replica is ready."""
    with pytest.raises(CallError) as refused:
        eligible(MODEL, [], RoutePolicy(), Health(SimClock()))
    assert (refused.value.status, refused.value.code) == (503, "no_replica")


def test_a_full_offer_is_left_out_until_it_has_room() -> None:
    """Capacity bounds what runs at once; when all are full the client may try again."""
    health = Health(SimClock())
    full, free = replace(WORLD[0], capacity=1), replace(WORLD[1], capacity=2)
    for offer in (full, free):
        health.of(offer).begins(0)
    assert eligible(MODEL, [full, free], RoutePolicy(), health) == [free]
    health.of(free).begins(0)
    with pytest.raises(CallError) as refused:
        eligible(MODEL, [full, free], RoutePolicy(), health)
    assert (refused.value.status, refused.value.code) == (429, "offers_full")
    health.of(full).over()
    assert eligible(MODEL, [full, free], RoutePolicy(), health) == [full]


class Waiting(Health):
    """Health in which each offer's retry time is its priority."""

    def retry_ns(self, offer: Offer) -> int:
        """The priority."""
        return offer.priority


def test_a_reserve_is_what_is_left_the_soonest_first() -> None:
    """Offers that may be asked already are no reserve, nor is one where calls may not run."""
    a, b, c, d, e = (replace(o, priority=9 - n) for n, o in enumerate(WORLD))
    health = Waiting(SimClock())
    found = in_reserve(MODEL, [a, b, c, d, e], [d], RoutePolicy(), health)
    assert found == [e, c, b, a]
    found = in_reserve(MODEL, [a, b, c, d, e], [d], RoutePolicy(regions=("eu",)), health)
    assert found == [e, a]
    assert list(in_reserve(MODEL, [a], [a], RoutePolicy(), health)) == []


def test_a_reserve_that_is_full_refuses() -> None:
    """A full offer is left out, and where all that is left are full the client may try again."""
    health = Waiting(SimClock())
    full = replace(WORLD[0], capacity=1)
    health.of(full).begins(0)
    assert in_reserve(MODEL, [full, WORLD[1]], [], RoutePolicy(), health) == [WORLD[1]]
    with pytest.raises(CallError) as refused:
        in_reserve(MODEL, [full, WORLD[1]], [WORLD[1]], RoutePolicy(), health)
    error = refused.value
    assert (error.status, error.code, error.retry_after_s) == (429, "offers_full", 1)
    health.of(full).over()
    assert in_reserve(MODEL, [full], [], RoutePolicy(), health) == [full]


def test_an_open_breaker_is_left_out(run: Run) -> None:
    """A failing offer is left alone while there is another; if all fail, one is tried all the same."""

    async def main() -> None:
        clock = SimClock()
        health = Health(clock, BreakerPolicy(failures_in_row=1, cool_down_s=3.5))
        first, second = WORLD[:2]
        health.of(first).failed(0, 0)
        assert eligible(MODEL, [first, second], RoutePolicy(), health) == [second]
        await clock.advance(1.0)
        health.of(second).failed(0, clock.now_ns())
        assert eligible(MODEL, [second, first], RoutePolicy(), health) == [first]
        health.of(first).told_to_wait(clock.now_ns(), 60 * S)
        assert eligible(MODEL, [first, second], RoutePolicy(), health) == [second]
        health.of(second).told_to_wait(clock.now_ns(), 61 * S)
        assert eligible(MODEL, [first, second], RoutePolicy(), health) == [first]
        full = replace(first, capacity=0)
        assert eligible(MODEL, [full, second], RoutePolicy(), health) == [second]
        with pytest.raises(CallError) as refused:
            eligible(MODEL, [full], RoutePolicy(), health)
        assert (refused.value.status, refused.value.code) == (429, "offers_full")

    run(main())


def test_a_budget_of_hedges() -> None:
    """Hedges are the share of calls they may be, and what is saved up is bounded."""
    budget = HedgeBudget()
    spent = 0
    for _ in range(200):
        budget.earn(0.25)
        spent += budget.spend()
    assert spent == 50
    for _ in range(1000):
        budget.earn(0.25)
    assert sum(budget.spend() for _ in range(20)) == 10


@pytest.mark.parametrize(("size", "hedged"), [(100, True), (101, False)])
def test_only_small_calls_are_hedged(size: int, hedged: bool) -> None:
    """A prompt over the bound is never paid for twice."""
    policy = RoutePolicy(hedge_after_ms=50.0, hedge_prompt_bytes=100)
    router = Router(Health(SimClock()), lambda _: policy)
    call = replace(make_call(), body=b"x" * size)
    step = next(router.route(call, WORLD[:2], 0))
    assert (step.slow_after_ns is not None) is hedged


def test_a_single_offer_is_not_hedged() -> None:
    """A single offer has nobody to race."""
    router = Router(Health(SimClock()), lambda _: RoutePolicy(hedge_after_ms=50.0))
    assert next(router.route(make_call(), WORLD[:1], 0)).slow_after_ns is None


def test_a_price_reaches_the_strategy() -> None:
    """A call that would lose at a known cost goes where the cost is not known, if it has a price."""
    policy = RoutePolicy(strategy="highest_margin")  # type: ignore[arg-type]
    dear = replace(WORLD[0], rates=Rates(9, 9))
    router = Router(Health(SimClock()), lambda _: policy)
    assert next(router.route(make_call(), [dear, WORLD[1]], 0)).offer == dear
    assert next(router.route(make_call(), [dear, WORLD[1]], 0, Rates(1, 1))).offer == WORLD[1]
