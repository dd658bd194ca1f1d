"""Price plans: exact prices, and the one in force is the last that had begun."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.accounts.plan import PricePlan, plan_at
from inferworks.errors import MoneyError
from inferworks.ids import CustomerId, ModelId
from inferworks.units import Unit

INPUT, OUTPUT = Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS
ACME, OTHER = CustomerId("acme"), CustomerId("other")


def plan(effective_ns: int, customer: CustomerId = ACME, price: str = "1") -> PricePlan:
    """A plan at `price` for either direction."""
    return PricePlan.per_million(customer, effective_ns, "USD", price, price)


def test_price_per_million_is_exact():
    """Six decimals of a price per million are whole picounits per token."""
    made = PricePlan.per_million(ACME, 1, "USD", "0.000001", "12.5")
    rates = [made.terms.rate_of(unit, ModelId("any")) for unit in (INPUT, OUTPUT)]
    assert rates == [1, 12_500_000]


@pytest.mark.parametrize("price", ["0.0000001", "one", "", "NaN"])
def test_price_that_is_not_exact_is_refused(price):
    """A price that no whole number of picounits expresses is an error, never rounded."""
    with pytest.raises(MoneyError):
        plan(1, price=price)


def test_no_plan_before_the_first():
    """Before its first plan, and for a stranger, a customer has no price."""
    plans = [plan(10), plan(20, OTHER)]
    assert plan_at(plans, ACME, 9) is None
    assert plan_at(plans, CustomerId("stranger"), 99) is None
    assert plan_at([], ACME, 99) is None


def test_a_plan_is_in_force_from_its_moment_on():
    """A new plan takes over at its own nanosecond, and the past keeps the old one."""
    old, new = plan(10, price="1"), plan(20, price="2")
    assert [plan_at([new, old], ACME, at) for at in (10, 19, 20, 10**18)] == [old, old, new, new]


@pytest.mark.slow
@given(
    begins=st.lists(st.integers(0, 50), unique=True),
    others=st.lists(st.integers(0, 50)),
    at=st.integers(-5, 60),
    later=st.integers(61, 99),
)
def test_the_past_does_not_change(begins, others, at, later):
    """The plan at a moment is the last one begun by then, whatever is added after it or for others."""
    plans = [plan(begin) for begin in begins]
    found = plan_at(plans, ACME, at)
    assert (found.effective_ns if found else None) == max(
        (b for b in begins if b <= at), default=None
    )
    added = [plan(later), *[plan(begin, OTHER) for begin in others]]
    assert plan_at([*added, *plans], ACME, at) == found
