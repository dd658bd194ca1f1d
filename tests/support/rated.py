"""A customer's plan, and what a month of use comes to under it."""

from __future__ import annotations

from inferworks.accounts.plan import (
    Price,
    PricePlan,
    Terms,
    Tier,
)
from inferworks.books.calendar.months import DAY_NS, month_of
from inferworks.ids import CustomerId, ModelId
from inferworks.units import Unit

ACME, SMALL = CustomerId("acme"), ModelId("small")
INPUT, CACHED = Unit.INPUT_TOKENS, Unit.CACHE_READ_TOKENS
OUTPUT, REASONING = Unit.OUTPUT_TOKENS, Unit.REASONING_TOKENS
NOVEMBER = month_of(20_410 * DAY_NS)
TIERS = (Tier(100, 10), Tier(200, 6), Tier(None, 3))


def a_plan(*prices: Price, since_ns: int = 0, **terms: object) -> PricePlan:
    """A plan of ACME."""
    return PricePlan(ACME, since_ns, Terms("USD", prices, **terms))
