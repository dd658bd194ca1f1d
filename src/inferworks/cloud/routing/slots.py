"""Slots of a model: how many of its calls can run at once at its offers, where that has an end.

A hosted API has no end that is known here. Beyond the `max_calls` of an upstream, calls go to offers of
lower rank; only all of them together are full. One of our own replicas runs as many sequences as it has
slots and has the others wait, so its calls go nowhere else while it works, and lower ranks add nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from inferworks.cloud.offer import Offer

_AT_HAND: Final = 1
"""Calls that a replica has beyond its slots, so that none is empty from one call to the next."""


class SlotPool(NamedTuple):
    """Slots that calls share."""

    name: str
    """Name of the pool; models that lead to the same first offer share one."""
    permits: int


def slot_pool(offers: Sequence[Offer]) -> SlotPool | None:
    """Return the slots of `offers`, all of one model; None where they have no end."""
    for offer in offers:
        if offer.capacity is not None or offer.slots is not None:
            break
    else:
        return None
    permits = 0
    ranked = sorted(offers, key=_rank)
    for _, group in groupby(ranked, key=_rank):
        overflows = True
        for offer in group:
            if offer.capacity is not None:
                permits += offer.capacity
            elif offer.slots is not None:
                permits += offer.slots + _AT_HAND
                overflows = False
            else:
                return None
        if not overflows:
            break
    first = ranked[0]
    return SlotPool(f"{first.provider}/{first.upstream_model or first.model}", permits)


def _rank(offer: Offer) -> tuple[int, int]:
    return offer.fallback, offer.priority
