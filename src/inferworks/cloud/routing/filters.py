"""Filters: the offers that may serve a call, before any strategy ranks them.

A rule that leaves no offer refuses the call in the caller's terms; it is never bent. That matters most for
regions: a prompt that may not leave a region is better not answered than answered elsewhere.

A breaker is no such rule. It predicts that another offer will do better, and where no other is left, the
call is sent to the offer whose retry time comes first. So a breaker never causes a refusal, however wrong
it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.routing_state import RoutingState
from inferworks.errors import CallError
from inferworks.ids import ModelId


def eligible(
    model: ModelId, offers: Sequence[Offer], policy: RoutePolicy, state: RoutingState
) -> Sequence[Offer]:
    """Return the ones of `offers` that may be sent a call now, in their order; never none.

    Where each one's breaker is open, or it said to wait, that is the one whose retry time comes first.
    CallError: 503 `no_replica` when there are no offers, 503 `region_unavailable` when none lies where
    calls of this model may run, 429 `offers_full` when each one runs as many calls as it may.
    """
    regions = policy.regions
    may: list[Offer] = []
    for offer in offers:
        if (
            (not regions or in_regions(offer, regions))
            and state.passes(offer)
            and (offer.capacity is None or state.running(offer) < offer.capacity)
        ):
            may.append(offer)  # noqa: PERF401 a comprehension costs a call of its own
    if may:
        return may
    if not offers:
        raise CallError(
            503, f"no replica of {model} is ready", kind="server_error", code="no_replica"
        )
    allowed = [offer for offer in offers if in_regions(offer, regions)]
    if not allowed:
        where = ", ".join(regions)
        raise CallError(503, f"No offer of {model} is in a region where its calls may run ({where}).",
                        kind="server_error", code="region_unavailable")  # fmt: skip
    free = _free(allowed, state)
    if not free:
        raise _full(model)
    return [min(free, key=state.retry_ns)]


def in_reserve(
    model: ModelId,
    offers: Sequence[Offer],
    may: Sequence[Offer],
    policy: RoutePolicy,
    state: RoutingState,
) -> Sequence[Offer]:
    """Return the allowed ones of `offers` that `may` leaves out: for when none of `may` can be asked.

    The one whose retry time comes first is the first. CallError 429 `offers_full` when each one runs as
    many calls as it may.
    """
    left = [o for o in offers if o not in may and in_regions(o, policy.regions)]
    free = _free(left, state)
    if left and not free:
        raise _full(model)
    return sorted(free, key=state.retry_ns)


def _free(offers: Sequence[Offer], state: RoutingState) -> list[Offer]:
    """Return the ones of `offers` that run fewer calls than they may."""
    return [o for o in offers if o.capacity is None or state.running(o) < o.capacity]


def _full(model: ModelId) -> CallError:
    return CallError(429, f"Every offer of {model} is at its limit of concurrent calls; try again later.",
                     kind="rate_limit_error", code="offers_full", retry_after_s=1)  # fmt: skip


def in_regions(offer: Offer, regions: Sequence[str]) -> bool:
    """Return True when `offer` lies in one of `regions`; an unknown region is in none."""
    return not regions or any(offer.region and offer.region.startswith(r) for r in regions)
