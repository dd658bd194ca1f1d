"""Who may serve a call at all, before any strategy ranks them.

A rule that leaves nobody refuses the call in the caller's terms; it is never bent. That matters most for
regions: a prompt that may not leave a region is better not answered than answered elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.cloud.offer import Offer
from inferworks.cloud.policy import RoutePolicy
from inferworks.cloud.sight import Sight
from inferworks.errors import CallError
from inferworks.ids import ModelId
from inferworks.units import NS_PER_SECOND


def eligible(
    model: ModelId, offers: Sequence[Offer], policy: RoutePolicy, sight: Sight
) -> Sequence[Offer]:
    """Those of `offers` that may be sent a call now, in their order.

    CallError: 503 `no_replica` when there are no offers, 503 `region_unavailable` when none lies where
    calls of this model may run, 503 `offers_failing` when each one's breaker is open or it said to wait,
    429 `offers_full` when each one runs as many calls as it may.
    """
    regions = policy.regions
    may = [
        offer
        for offer in offers
        if (not regions or in_regions(offer, regions))
        and sight.passes(offer)
        and (offer.capacity is None or sight.running(offer) < offer.capacity)
    ]
    if not may:
        raise _nobody(model, offers, policy, sight)
    return may


def _nobody(
    model: ModelId, offers: Sequence[Offer], policy: RoutePolicy, sight: Sight
) -> CallError:
    """Why none of `offers` may be sent a call."""
    if not offers:
        return CallError(
            503, f"no replica of {model} is ready", kind="server_error", code="no_replica"
        )
    allowed = [offer for offer in offers if in_regions(offer, policy.regions)]
    if not allowed:
        return _no_region(model, policy.regions)
    if not any(sight.passes(offer) for offer in allowed):
        return _failing(model, allowed, sight)
    return _full(model)


def in_regions(offer: Offer, regions: Sequence[str]) -> bool:
    """Whether calls may run where `offer` is; an unknown region is in none."""
    return not regions or any(offer.region and offer.region.startswith(r) for r in regions)


def _no_region(model: ModelId, regions: Sequence[str]) -> CallError:
    allowed = ", ".join(regions)
    return CallError(503, f"No offer of {model} is in a region where its calls may run ({allowed}).",
                     kind="server_error", code="region_unavailable")  # fmt: skip


def _failing(model: ModelId, offers: Sequence[Offer], sight: Sight) -> CallError:
    wait_ns = min(sight.retry_ns(offer) for offer in offers) - sight.now_ns()
    return CallError(503, f"Every offer of {model} fails or is at its limit; try again later.",
                     kind="server_error", code="offers_failing",
                     retry_after_s=max(1, -(-wait_ns // NS_PER_SECOND)))  # fmt: skip


def _full(model: ModelId) -> CallError:
    return CallError(429, f"Every offer of {model} runs as many calls as it may; try again later.",
                     kind="rate_limit_error", code="offers_full", retry_after_s=1)  # fmt: skip
