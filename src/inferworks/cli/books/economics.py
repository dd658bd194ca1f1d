"""`inferworks books economics`: marginal cost and contribution of a customer, and the break-even."""

from __future__ import annotations

from fractions import Fraction

import click

from inferworks.books.analysis.unit_economics import CustomerEconomics, Economics
from inferworks.cli.books.formatting import (
    amount,
    places_of,
    print_figures,
    print_no_costs,
    span_text,
)
from inferworks.cli.books.later import corrections_json, print_corrections
from inferworks.cli.books.query import QueryOptions, query_options
from inferworks.cli.show import print_json, say

_MOST_CUSTOMERS = 20


@click.command("economics")
@query_options(policy=False)
def show_economics(
    options: QueryOptions,
    as_json: bool,
) -> None:
    """Print the cost of one more customer, the contribution of one, and the break-even.

    The cost of one more customer is an interval: from the purchases that it causes within the period, to
    those plus the capacity it uses. Means are over paying customers.

    \b
    Examples:
      inferworks books economics
      inferworks books economics --period 2026-11 --json
    """
    workspace, query = options.open()
    (statement, found), later = workspace.economics(query), workspace.later(query)
    if as_json:
        print_json(query.marked(found.to_json() | corrections_json(statement, later)))
        return
    places = places_of(statement)
    say(f"Unit economics in {found.currency}, {span_text(statement)}", "")
    rows = [
        ("Paying customers", str(len(found.customers))),
        ("One more customer costs, at least", _mean(found.least_cost_per_customer_pico, places)),
        ("One more customer costs, at most", _mean(found.most_cost_per_customer_pico, places)),
        ("Contribution per customer", _mean(found.contribution_per_customer_pico, places)),
        ("Free users, per paying customer", _mean(found.free_cost_per_customer_pico, places)),
        ("To cover: fixed cost of revenue", amount(found.fixed_pico, places)),
        ("To cover: R&D", amount(found.research_and_development_pico, places)),
        ("To cover: other", amount(found.other_pico, places)),
    ]
    print_figures(("", f"AMOUNT {found.currency}"), rows)
    _print_customers(found, places)
    say(f"Break-even: {found.break_even}.", "")
    print_corrections(statement, later)
    print_no_costs(statement.lines)


def _mean(mean: Fraction | None, places: int) -> str:
    return "no paying customer" if mean is None else amount(round(mean), places)


def _print_customers(found: Economics, places: int) -> None:
    """Print the paying customers with the largest revenue, and the sum of the others."""
    if not found.customers:
        return
    ordered = sorted(found.customers, key=lambda one: (-one.revenue_pico, one.customer))
    rows = [_customer(one, places) for one in ordered[:_MOST_CUSTOMERS]]
    rest = ordered[_MOST_CUSTOMERS:]
    if rest:
        together = CustomerEconomics(
            f"and {len(rest)} more",
            sum(one.revenue_pico for one in rest),
            sum(one.least_cost_pico for one in rest),
            sum(one.most_cost_pico for one in rest),
        )
        rows.append(_customer(together, places))
    print_figures(("CUSTOMER", "REVENUE", "COST, LEAST", "COST, MOST", "CONTRIBUTION"), rows)


def _customer(one: CustomerEconomics, places: int) -> tuple[str, ...]:
    amounts = (one.revenue_pico, one.least_cost_pico, one.most_cost_pico, one.contribution_pico)
    return (one.customer, *(amount(pico, places) for pico in amounts))
