"""Models on offer at this moment: those of the plan, and our own replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.ids import ModelId
from inferworks.wiring.plan import Own, Place, Plan

_DEFAULT_POLICY = RoutePolicy()


class OwnReplicas(Protocol):
    """Part of the fleet that a catalogue needs."""

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The replicas of `model` that are ready."""
        ...

    def status(self) -> Mapping[str, str]:
        """The state of each replica."""
        ...


class Catalogue:
    """Catalogue of one plan. Offers of upstreams are made once; those of replicas are looked up."""

    def __init__(self, plan: Plan, own: OwnReplicas) -> None:
        self._own = own
        self._places = plan.places
        self._policies = plan.policies
        self._fixed = {
            model: fixed for model, places in plan.places.items() if (fixed := _fixed(places))
        }
        self._models = tuple(sorted(plan.places))

    def models(self) -> Sequence[ModelId]:
        """Every model, ready or not, by name."""
        return self._models

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The offers of `model` that are ready, in the order of its places."""
        fixed = self._fixed.get(model)
        if fixed is not None:
            return fixed
        return [offer for place in self._places.get(model, ()) for offer in self._at(place, model)]

    def policy(self, model: ModelId) -> RoutePolicy:
        """Return the routing policy of `model`."""
        return self._policies.get(model, _DEFAULT_POLICY)

    def status(self) -> Mapping[str, str]:
        """The state of each of our own replicas."""
        return self._own.status()

    def _at(self, place: Place, model: ModelId) -> Sequence[Offer]:
        if not isinstance(place, Own):
            return (place,)
        ready = self._own.offers(place.model)
        if place.model == model and not place.fallback and not place.lenient:
            return ready
        known_as = "" if place.model == model else place.model
        return [
            msgspec.structs.replace(
                offer,
                model=model,
                upstream_model=known_as,
                fallback=place.fallback,
                lenient=place.lenient,
            )
            for offer in ready
        ]


def _fixed(places: Sequence[Place]) -> tuple[Offer, ...]:
    """`places` when all of them are offers; nothing when replicas are among them."""
    offers = tuple(place for place in places if isinstance(place, Offer))
    return offers if len(offers) == len(places) else ()
