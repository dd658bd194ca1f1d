"""Revenue of calls by customer, as relations: the same amounts as the definition, to the picounit."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from tests.support.small_company import RULES

from inferworks.accounts.credit import Credit
from inferworks.accounts.plan import (
    Graduated,
    PercentOff,
    PerUnit,
    Price,
    PricePlan,
    Terms,
    Tier,
)
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid
from inferworks.books.calendar.span import Span
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import lake_of
from inferworks.books.engines.revenue import Earned, earned
from inferworks.books.revenue.rating import rate
from inferworks.books.statement.computation import Inputs
from inferworks.errors import BooksError
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.books import World, a_usage, worlds
from inferworks.units import Unit

pytestmark = pytest.mark.slow

SPAN = Span(0, 10_000)
ACME, BURNS = CustomerId("acme"), CustomerId("burns")
MILLION = 10**6
USD = 10**12


def found(
    duck: DuckEngine, usages: tuple[Usage, ...], plans: tuple[PricePlan, ...], span: Span = SPAN,
    **changes: Any,
) -> Earned:  # fmt: skip
    """Earnings of calls, by relations."""
    inputs = Inputs((), Facts(usages, (), (), ()), plans, load_policy("gaap"), "USD", span, RULES)
    inputs = replace(inputs, **changes)
    return earned(duck, lake_of(duck, {}, inputs.facts), inputs)


def by_customer(
    usages: tuple[Usage, ...], plans: tuple[PricePlan, ...], span: Span
) -> dict[str, int]:
    """Earnings of calls, by definition."""
    sums: dict[str, int] = defaultdict(int)
    for row in rate(usages, plans, span, "USD").rated:
        sums[row.customer] += row.amount_pico
    return {name: pico for name, pico in sums.items() if pico}


def a_call(name: str, customer: str = "acme", tokens: int = MILLION, **more: Any) -> Usage:
    """A call of so many tokens of input."""
    return a_usage(name, customer=customer, tokens=Tokens(tokens), **more)


def plan(customer: str = "acme", price: str = "2", from_ns: int = 0) -> PricePlan:
    """A plan of so much for a million tokens of input."""
    return PricePlan.per_million(CustomerId(customer), from_ns, "USD", price, "0")


def test_no_calls_earn_nothing(duck: DuckEngine) -> None:
    """With plans and without."""
    for plans in ((), (plan(),)):
        nothing = found(duck, (), plans)
        assert (nothing.total_pico, dict(nothing.by_customer), nothing.opened) == (0, {}, 0)
        assert (list(nothing.foreign), nothing.unrated.unpriced) == ([], ())


def test_calls_earn_by_the_plan_that_was_in_force(duck: DuckEngine) -> None:
    """By customer; what was opened in the span and earns nothing is counted all the same."""
    usages = (
        a_call("a"), a_call("b", opened_ns=60), a_call("c", "burns", 5),
        a_call("d", purpose=Purpose.SERVE_FREE), a_call("e", opened_ns=SPAN.end_ns),
    )  # fmt: skip
    plans = (plan(), plan(price="3", from_ns=50), plan("burns", "1"))
    earnings = found(duck, usages, plans)
    assert earnings.by_customer == {"acme": 5 * USD, "burns": 5 * MILLION}
    assert (earnings.total_pico, earnings.opened) == (5 * USD + 5 * MILLION, 4)


def test_use_without_a_plan_or_a_price_is_told(duck: DuckEngine) -> None:
    """And never silently zero."""
    only_output = PricePlan(BURNS, 0, Terms("USD", (Price(Unit.OUTPUT_TOKENS, PerUnit(1)),)))
    earnings = found(duck, (a_call("a"), a_call("b"), a_call("c", "burns", 7)), (only_output,))
    assert earnings.unrated.unpriced == ((ACME, 2),)
    assert [(u.customer, u.unit, u.quantity) for u in earnings.unrated.unpriced_units] == [
        (BURNS, Unit.INPUT_TOKENS, 7)
    ]
    assert earnings.total_pico == 0


def test_tiers_fees_and_discounts_are_those_of_the_definition(duck: DuckEngine) -> None:
    """For customers who have them; the others are rated beside them."""
    terms = Terms(
        currency="USD",
        prices=(Price(Unit.INPUT_TOKENS, Graduated((Tier(MILLION, 9), Tier(None, 7)))),),
        subscription_pico=25 * USD,
        minimum_pico=50 * USD,
        discounts=(PercentOff(1, 7),),
    )
    plans = (PricePlan(ACME, 0, terms), plan("burns"))
    usages = (a_call("a", tokens=3 * MILLION), a_call("b", "burns"))
    assert found(duck, usages, plans).by_customer == by_customer(usages, plans, SPAN)


def test_credit_of_a_buyer_changes_no_revenue(duck: DuckEngine) -> None:
    """Credit is used up by day, and what expires is revenue too."""
    usages, plans = (a_call("a"), a_call("b", "burns")), (plan(), plan("burns"))
    credit = Credit("c-1", ACME, 0, 5 * USD, "USD", None, "")
    earnings = found(duck, usages, plans, prepaid=Prepaid((credit,)))
    assert earnings.by_customer == {"acme": 2 * USD, "burns": 2 * USD}
    expiring = replace(credit, expires_ns=100)
    earnings = found(duck, usages, plans, prepaid=Prepaid((expiring,)))
    assert earnings.by_customer["burns"] == 2 * USD
    assert earnings.by_customer["acme"] >= 2 * USD


def test_counts_that_contradict_themselves_are_refused(duck: DuckEngine) -> None:
    """Theorem 4."""
    odd = a_usage("a", tokens=Tokens(10, cache_read=12))
    with pytest.raises(BooksError, match=r"theorem 4 \(bucket\): customer acme"):
        found(duck, (odd, a_call("b")), (plan(),))


@settings(max_examples=5)
@given(worlds())
def test_revenue_by_customer_is_that_of_the_definition(duck: DuckEngine, world: World) -> None:
    """Of any world: amounts, use without a price, and calls opened."""
    span = Span(200, 1_800)
    usages = world.facts.usages
    earnings = found(duck, usages, world.plans, span)
    assert {k: v for k, v in earnings.by_customer.items() if v} == by_customer(
        usages, world.plans, span
    )
    wanted = rate(usages, world.plans, span, "USD")
    assert earnings.unrated.unpriced == wanted.unpriced
    assert set(earnings.unrated.unpriced_units) == set(wanted.unpriced_units)
    assert earnings.opened == sum(span.holds(usage.opened_ns) for usage in usages)
