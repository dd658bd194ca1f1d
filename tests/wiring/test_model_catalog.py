"""The catalogue of one plan, over replicas that come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy
from inferworks.ids import ModelId, ReplicaId
from inferworks.testing.providers import make_offer
from inferworks.wiring.model_catalog import Catalogue
from inferworks.wiring.plan import Own, Place, Plan

TINY, LARGE = ModelId("tiny"), ModelId("large")


class Replicas:
    """Our own replicas of `TINY`, as many as are ready."""

    def __init__(self) -> None:
        self.ready: list[Offer] = []
        self.asked: list[ModelId] = []

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The replicas that are ready."""
        self.asked.append(model)
        return self.ready if model == TINY else []

    def status(self) -> Mapping[str, str]:
        """Every one of them."""
        return {"replica-0": "ready" if self.ready else "starting"}


def offer(name: str, model: ModelId) -> Offer:
    """An offer of `model`."""
    return msgspec.structs.replace(make_offer(offer_id=name), model=model)


def replica(number: int) -> Offer:
    """A replica that is ready."""
    name = f"replica-{number}"
    return msgspec.structs.replace(offer(name, TINY), replica=ReplicaId(name))


def catalogue(
    own: Replicas,
    places: Mapping[ModelId, tuple[Place, ...]],
    policies: Mapping[ModelId, RoutePolicy] | None = None,
) -> Catalogue:
    """The catalogue of a plan with these places."""
    return Catalogue(Plan((), places, policies or {}, BreakerPolicy()), own)


def test_an_empty_plan_offers_nothing() -> None:
    """No models, and no offers of one that nobody has."""
    empty = catalogue(Replicas(), {})
    assert list(empty.models()) == []
    assert list(empty.offers(TINY)) == []
    assert empty.policy(TINY) == RoutePolicy()


def test_models_are_listed_by_name_ready_or_not() -> None:
    """A model whose replicas still start is listed, and has no offer yet."""
    own = Replicas()
    listed = catalogue(own, {TINY: (Own(TINY),), LARGE: (offer("a", LARGE),)})
    assert list(listed.models()) == [LARGE, TINY]
    assert list(listed.offers(TINY)) == []
    assert listed.status() == {"replica-0": "starting"}
    own.ready.append(replica(0))
    assert list(listed.offers(TINY)) == [replica(0)]
    assert listed.status() == {"replica-0": "ready"}


def test_offers_of_upstreams_are_made_once() -> None:
    """A model without replicas costs no look at them, and has the same offers each time."""
    own = Replicas()
    places = (offer("b", LARGE), offer("a", LARGE))
    listed = catalogue(own, {LARGE: places})
    assert listed.offers(LARGE) == places
    assert listed.offers(LARGE) is listed.offers(LARGE)
    assert own.asked == []


def test_replicas_take_their_place_among_offers() -> None:
    """Offers come in the order of the places; a place of replicas is as wide as there are any."""
    own = Replicas()
    first, last = offer("first", TINY), offer("last", TINY)
    listed = catalogue(own, {TINY: (first, Own(TINY), last)})
    for ready in ([], [replica(0)], [replica(0), replica(1)]):
        own.ready = ready
        assert list(listed.offers(TINY)) == [first, *ready, last]


@pytest.mark.parametrize("fallback", [0, 2])
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("model", [TINY, LARGE])
def test_a_replica_is_offered_as_the_place_says(
    model: ModelId, fallback: int, lenient: bool
) -> None:
    """Under another model's name it is asked by its own; the rest of the offer stays as it is."""
    own = Replicas()
    own.ready = [replica(0)]
    (found,) = catalogue(own, {model: (Own(TINY, fallback, lenient),)}).offers(model)
    assert (found.model, found.fallback, found.lenient) == (model, fallback, lenient)
    assert found.upstream_model == ("" if model == TINY else TINY)
    assert (found.id, found.replica, found.origin) == (
        replica(0).id,
        replica(0).replica,
        replica(0).origin,
    )
    assert own.ready == [replica(0)], "the replica's own offer is not changed"


def test_a_model_has_its_own_policy() -> None:
    """Models without a table of their own are routed as ever."""
    policy = msgspec.structs.replace(RoutePolicy(), attempts=9)
    listed = catalogue(Replicas(), {TINY: (), LARGE: ()}, {LARGE: policy})
    assert listed.policy(LARGE) is policy
    assert listed.policy(TINY) == RoutePolicy()
