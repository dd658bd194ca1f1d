"""Routing strategies: one pure function each, which orders the offers of a model.

Each takes the offers that may serve a call (`eligible`), the routing state, the facts of the call and the
policy; and returns all offers, best first. `in_order` keeps the model's own offers ahead
of its fallbacks', and offers of a better priority ahead of the others, whatever the strategy.

Affinity uses rendezvous hashing: every offer gets a score from a hash of its name and the key, and the
highest wins. An offer that comes or goes moves only the keys that were its own, and nothing is remembered,
so two gateways side by side agree. Rejected: a ring (uneven without hundreds of points per offer), a
table of sessions (must be shared, aged and bounded).
"""

# ruff: noqa: ARG001 every strategy is given the same, whatever it needs of it

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from math import inf, log
from operator import attrgetter, itemgetter

from inferworks.cloud.offer import Offer
from inferworks.cloud.routing.policy import RoutePolicy, Strategy
from inferworks.cloud.routing.routing_state import CallFacts, RoutingState

Order = Callable[[Sequence[Offer], RoutingState, CallFacts, RoutePolicy], Sequence[Offer]]
"""A strategy."""

_NS_PER_MS = 1_000_000
_HASHES = 1 << 64
_turn = attrgetter("fallback", "priority")


def in_order(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """`offers`, best first: by fallback and priority, and within one by the policy's strategy."""
    if len(offers) < 2:
        return offers
    strategy = STRATEGIES[policy.strategy]
    tiers = groupby(sorted(offers, key=_turn), _turn)
    return [offer for _, tier in tiers for offer in strategy(list(tier), state, facts, policy)]


def fallback(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order as configured."""
    return offers


def weighted(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by weighted random sampling without replacement; weight 0 last.

    An exponential variable with the weight as its rate is the smallest with just that chance: Efraimidis
    and Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    return sorted(offers, key=lambda offer: _arrival(state.random(), offer.weight))


def least_loaded(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by running calls per weight, ties by id."""
    return sorted(offers, key=lambda offer: (_load(offer, state), offer.id))


def cheapest(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by the expected cost of this call; where that is unknown or equal, by load."""
    cost = _cost_of(facts, policy)
    return sorted(offers, key=lambda offer: (cost(offer), _load(offer, state), offer.id))


def fastest(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Put the better of two random offers first, then order the others by the same measure.

    The measure is the moving average of the time to first byte, times the calls that would then be running:
    so not all calls go to the offer that was quickest a moment ago. Power of two choices: Mitzenmacher,
    2001.
    """
    best_first = sorted(
        offers, key=lambda o: (state.first_byte_ns(o) * (state.running(o) + 1), o.id)
    )
    n = len(offers)
    first = int(state.random() * n)
    second = (first + 1 + int(state.random() * (n - 1))) % n  # another than the first
    chosen = best_first.pop(min(first, second))
    return [chosen, *best_first]


def prefix_affinity(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by rendezvous hashing of the prompt's beginning; offers over the load bound come last.

    Consistent hashing with bounded loads: Mirrokni, Thorup and Zadimoghaddam, 2016.
    """
    ranked = _rendezvous(offers, facts.prefix(policy.prefix_bytes))
    mean = sum(state.running(offer) for offer in offers) / len(offers)
    bound = max(policy.spill_above, policy.spill_factor * mean)
    return sorted(ranked, key=lambda offer: state.running(offer) >= bound)


def session_affinity(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by rendezvous hashing of the session; by load for a call without one."""
    if not facts.session:
        return least_loaded(offers, state, facts, policy)
    return _rendezvous(offers, facts.session)


def highest_margin(
    offers: Sequence[Offer], state: RoutingState, facts: CallFacts, policy: RoutePolicy
) -> Sequence[Offer]:
    """Order by the expected margin of this call; offers over the latency bound last, by latency.

    An offer of which no latency is known is taken to be fast enough: else it would never be known. One
    whose cost is unknown comes after those that are known to earn, and before those known to lose.
    """
    bound_ns = policy.latency_bound_ms * _NS_PER_MS
    cost = _cost_of(facts, policy)
    output = facts.output_tokens(policy.expected_output_tokens)
    price = facts.price.of(facts.input_tokens(), output) if facts.price else None

    def loss(offer: Offer) -> float:
        """Expected cost minus price; the cost if no price is known."""
        if price is None:
            return cost(offer)
        return 0.0 if offer.rates is None else cost(offer) - price

    def rank(offer: Offer) -> tuple[float, float, float, str]:
        wait_ns = state.first_byte_ns(offer)
        late_ns = wait_ns if wait_ns > bound_ns else 0
        return late_ns, loss(offer), _load(offer, state), offer.id

    return sorted(offers, key=rank)


STRATEGIES: Mapping[Strategy, Order] = {
    Strategy.FALLBACK: fallback,
    Strategy.WEIGHTED: weighted,
    Strategy.CHEAPEST: cheapest,
    Strategy.FASTEST: fastest,
    Strategy.LEAST_LOADED: least_loaded,
    Strategy.PREFIX: prefix_affinity,
    Strategy.SESSION: session_affinity,
    Strategy.MARGIN: highest_margin,
}


def _cost_of(facts: CallFacts, policy: RoutePolicy) -> Callable[[Offer], float]:
    """Return the expected cost of a call at an offer, in picounits; infinite where unknown."""
    input_tokens = facts.input_tokens()
    output_tokens = facts.output_tokens(policy.expected_output_tokens)
    return lambda offer: offer.rates.of(input_tokens, output_tokens) if offer.rates else inf


def _load(offer: Offer, state: RoutingState) -> float:
    return state.running(offer) / offer.weight if offer.weight else inf


def _rendezvous(offers: Sequence[Offer], key: bytes) -> Sequence[Offer]:
    digest = blake2b(key, digest_size=16).digest()
    ranked: list[tuple[float, str, Offer]] = []
    for offer in offers:  # each wins in proportion to its weight
        hashed = blake2b(offer.id.encode(), digest_size=8, key=digest).digest()
        arrival = _arrival(int.from_bytes(hashed) / _HASHES, offer.weight)
        ranked.append((arrival, offer.id, offer))
    return [offer for *_, offer in sorted(ranked, key=itemgetter(0, 1))]


def _arrival(chance: float, weight: float) -> float:
    """An exponential variable of rate `weight`, made of `chance` in [0, 1); weight 0 never arrives."""
    return -log(1.0 - chance) / weight if weight and chance < 1.0 else inf
