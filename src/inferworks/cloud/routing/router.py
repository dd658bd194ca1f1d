"""Router: from a model's policy and the offers' health to the route of one call.

    offers --eligible--> those that may --in_order--> best first --attempts--> the route

It holds the policy of each model, the health of the offers, and the budgets for hedges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from inferworks.cloud.call import Call
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.filters import eligible, in_reserve
from inferworks.cloud.routing.health import Health
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.cloud.routing.route import Route, attempts
from inferworks.cloud.routing.routing_state import CallFacts
from inferworks.cloud.routing.strategies import in_order
from inferworks.ids import ModelId

_DEFAULT = RoutePolicy()
_SAVED_HEDGES = 10.0

PolicyOf = Callable[[ModelId], RoutePolicy]
"""Function from a model to its routing policy."""


class HedgeBudget:
    """A share of calls that may be hedged: each call that might be adds its share, each hedge takes one.

    So a bad hour of an upstream, in which every call is slow, does not double what is sent to the others.
    Shares that nobody uses are kept up to ten hedges.
    """

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = 0.0

    def earn(self, share: float) -> None:
        """A call comes that might be hedged."""
        self._saved = min(self._saved + share, _SAVED_HEDGES)

    def spend(self) -> bool:
        """Take a hedge; False when there is none left."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


class Router:
    """Makes the routes of calls. Another configuration is another router over the same `Health`."""

    def __init__(self, health: Health, policy_of: PolicyOf = lambda _: _DEFAULT) -> None:
        self.health = health
        self._policy_of = policy_of
        self._budgets: dict[ModelId, HedgeBudget] = {}

    def route(
        self, call: Call, offers: Sequence[Offer], began_ns: int, price: Rates | None = None
    ) -> Route:
        """The route of `call`, which came at `began_ns`, among `offers`; CallError when none may serve it.

        `price` is what its customer pays for it, where that is known.
        """
        policy = self._policy_of(call.model)
        health = self.health
        if len(offers) == 1 and not policy.regions and offers[0].capacity is None:
            may = offers  # no rule can leave it out, and a breaker never refuses the last one
        else:
            may = eligible(call.model, offers, policy, health)
        if len(may) > 1:
            may = in_order(may, health, CallFacts(call, price), policy)
        may_hedge = None
        if policy.hedge_after_ms is not None and len(may) > 1:
            may_hedge = self._may_hedge(call, policy)
        if len(may) == len(offers):
            return attempts(may, policy, health, began_ns, may_hedge)
        reserve = partial(in_reserve, call.model, offers, may, policy, health)
        return attempts(may, policy, health, began_ns, may_hedge, reserve)

    def _may_hedge(self, call: Call, policy: RoutePolicy) -> Callable[[], bool] | None:
        """Return the function that allows a hedge of `call`; None when it is too large to be sent twice."""
        if len(call.body) > policy.hedge_prompt_bytes:
            return None
        budget = self._budgets.setdefault(call.model, HedgeBudget())
        budget.earn(policy.hedge_share)
        return budget.spend
