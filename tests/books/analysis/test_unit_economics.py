"""Unit economics: what customers cost, pay and cover."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from msgspec.structs import replace
from tests.support.small_company import SPAN, USD, drawn, thorough, worked_out

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.unit_economics import economics
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import build_statement, close_span, whole_span
from inferworks.ids import CustomerId
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import World, a_charge, a_company, a_usage, worlds


def test_unit_economics_by_hand() -> None:
    """Acme costs 1 to 7.60 and pays 14; burns costs 2 to 2 and pays 3; 19 are to be covered by 14."""
    found = economics(drawn())
    figures = [
        (c.customer, c.revenue_pico, c.least_cost_pico, c.most_cost_pico) for c in found.customers
    ]
    assert figures == [
        ("acme", 14 * USD, USD, 76 * USD // 10),
        ("burns", 3 * USD, 2 * USD, 2 * USD),
    ]
    assert found.least_cost_per_customer_pico == Fraction(3 * USD, 2)
    assert found.most_cost_per_customer_pico == Fraction(96 * USD, 20)
    assert found.contribution_per_customer_pico == 7 * USD
    assert found.free_cost_per_customer_pico == Fraction(USD, 10)
    assert (found.fixed_pico, found.to_cover_pico) == (118 * USD // 10, 19 * USD)
    assert found.break_even == "3 customers like these cover it; there are 2"


def test_economics_without_customers_has_words() -> None:
    """No revenue: means are nothing, and break-even says why."""
    world = World((a_charge("gpu", "1", SPAN),), NO_FACTS, ())
    found = economics(build_statement(worked_out(world)))
    assert found.contribution_per_customer_pico is None
    assert found.break_even_customers is None
    assert found.break_even == "no customer has paid yet, so there is no contribution to count on"
    assert found.to_json()["contribution_per_customer"] is None


def test_economics_of_customers_who_cost_more_than_they_pay() -> None:
    """A contribution that is not positive never breaks even, and is said so."""
    world = a_company()
    dear = tuple(
        replace(charge, amount_pico=1_000 * charge.amount_pico) for charge in world.charges
    )
    found = economics(build_statement(worked_out(world._replace(charges=dear))))
    assert found.contribution_pico < 0
    assert found.break_even_customers is None
    assert found.break_even.startswith("never: the average paying customer costs more")


def test_economics_with_nothing_to_cover() -> None:
    """Revenue and no cost at all: zero customers are needed."""
    plan = PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")
    facts = Facts((a_usage("call", tokens=Tokens(1_000_000, 0)),), (), (), ())
    found = economics(
        close_span(Inputs((), facts, (plan,), load_policy("gaap"), "USD", Span(*SPAN)))
    )
    assert (found.break_even_customers, found.break_even) == (0, "there is nothing to cover")


@pytest.mark.slow
@thorough
@given(worlds())
def test_economics_account_for_everything(world: World) -> None:
    """Costs caused by paying customers and costs still to be covered sum to the bills."""
    statement = build_statement(worked_out(world, whole_span(world.charges, world.facts)))
    found = economics(statement)
    caused = sum(customer.least_cost_pico for customer in found.customers)
    assert caused + found.to_cover_pico == statement.billed_pico
    json.dumps(found.to_json())
