"""Slots of a model: of every offer that its calls go to while the others are full."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inferworks.clock import SystemClock
from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.route import Router
from inferworks.cloud.routing.slots import SlotPool, slot_pool
from inferworks.testing.providers import A_MODEL, make_offer


def an_offer(name: str = "here", **fields: Any) -> Offer:
    """An offer of that provider's."""
    offer = make_offer(offer_id=f"{name}/m", provider=name)
    return msgspec.structs.replace(offer, **fields)


HOSTED = an_offer("hosted")


@pytest.mark.parametrize(
    ("offers", "permits"),
    [
        ([], None),
        ([HOSTED], None),
        ([an_offer(capacity=4)], 4),
        ([an_offer(slots=4)], 5),
        ([an_offer(slots=4), an_offer(slots=8)], 14),
        ([an_offer(capacity=4), an_offer(capacity=2, priority=1)], 6),
        ([an_offer(capacity=4), msgspec.structs.replace(HOSTED, fallback=1)], None),
        ([an_offer(slots=4), msgspec.structs.replace(HOSTED, fallback=1)], 5),
        ([an_offer(slots=4), HOSTED], None),
        ([msgspec.structs.replace(HOSTED, priority=2), an_offer(slots=4, priority=1)], 5),
    ],
)
def test_slots(offers: list[Offer], permits: int | None) -> None:
    """None with a hosted API to go to; a replica's slots and one more; lower ranks where calls overflow."""
    pool = slot_pool(offers)
    assert (None if pool is None else pool.permits) == permits


def test_names_of_one_model_share_its_slots() -> None:
    """A pool is named by where calls go, and not by what callers name."""
    own = an_offer(slots=4)
    alias = msgspec.structs.replace(own, model="small", upstream_model=A_MODEL)
    assert slot_pool([own]) == slot_pool([alias]) == SlotPool(f"here/{A_MODEL}", 5)


def test_slots_in_other_regions_do_not_count() -> None:
    """Calls wait for no slot where their model may not run."""
    health = Health(SystemClock())
    offers = [an_offer(capacity=4, region="eu-1"), an_offer(capacity=2, region="us-1")]
    everywhere = Router(health).slots(A_MODEL, offers)
    in_europe = Router(health, lambda _: RoutePolicy(regions=("eu-",))).slots(A_MODEL, offers)
    assert everywhere is not None
    assert in_europe is not None
    assert (everywhere.permits, in_europe.permits) == (6, 4)
    assert everywhere.name != in_europe.name
    own = Router(health).slots(A_MODEL, offers[:1], ["eu-"])
    assert own is not None
    assert own.name not in {everywhere.name, in_europe.name}
