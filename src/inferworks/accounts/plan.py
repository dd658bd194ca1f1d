"""A price plan: what a customer pays per token, from a moment on.

Plans are effective-dated and never edited: a new price is a new row, so what a past call was rated at
stays what it was (theorem 14).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from inferworks.ids import CustomerId
from inferworks.money import Rate


class PricePlan(msgspec.Struct, frozen=True):
    """Prices for one customer from `effective_ns` until its next plan."""

    customer: CustomerId
    effective_ns: int
    currency: str
    input_pico_per_token: int
    output_pico_per_token: int

    @classmethod
    def per_million(
        cls,
        customer: CustomerId,
        effective_ns: int,
        currency: str,
        input_price: str,
        output_price: str,
    ) -> PricePlan:
        """A plan from prices per million tokens, as decimal texts with at most six decimals."""
        return cls(
            customer,
            effective_ns,
            currency,
            Rate.per_million(input_price, currency).pico_per_unit,
            Rate.per_million(output_price, currency).pico_per_unit,
        )


def plan_at(plans: Iterable[PricePlan], customer: CustomerId, at_ns: int) -> PricePlan | None:
    """The plan of `customer` in force at `at_ns`: the last one effective by then."""
    in_force = (p for p in plans if p.customer == customer and p.effective_ns <= at_ns)
    return max(in_force, key=lambda plan: plan.effective_ns, default=None)
