"""The example of docs/why.md, drawn up by the program."""

from __future__ import annotations

import re
from pathlib import Path

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Function
from inferworks.books.statement.computation import Inputs, compute, shipped_rules
from inferworks.books.statement.statement import build_statement
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.purpose import Purpose
from inferworks.testing.books import (
    a_charge,
    a_leg,
    a_step,
    a_usage,
    an_activity,
    an_interval,
)

PAGE = (Path(__file__).parent.parent / "docs" / "why.md").read_text("utf-8")
MONTH = (0, 1_000)
CENT_PICO = 10**10


def shown() -> dict[str, str]:
    """Each amount of the example's table, by its label."""
    table = PAGE.split("<!-- why -->")[1].split("<!-- end -->")[0]
    rows = re.findall(r"^\| \**([a-z ]+?)\** \| \**([\d,.]+?)\** \|$", table, re.MULTILINE)
    return {label: amount for label, amount in rows if label != "amount"}


def test_the_example_is_what_the_books_say() -> None:
    """Half of a machine's month sold, a tenth rollouts, 15 % gradient descent, the rest nothing."""
    sold = Tokens(1_000_000, 0)
    usages = (
        a_usage("paid", tokens=sold, legs=[a_leg("replica-1", (0, 500), sold)]),
        a_usage("rollout", customer="lab", purpose=Purpose.TRAIN_INFERENCE),
    )
    steps = (a_step(0, 0, 500, [("paid", 10, 0, 0)]), a_step(1, 500, 100, [("rollout", 10, 0, 0)]))
    states = an_interval((0, 850), {State.ACTIVE: 600, State.IDLE: 250})
    facts = Facts(usages, steps, states, (an_activity("descent", "node-1", (850, 1_000), 150),))
    computation = compute(
        Inputs(
            (a_charge("machine", "1440.00", MONTH),),
            facts,
            (PricePlan.per_million(CustomerId("acme"), 0, "USD", "2000.00", "0"),),
            load_policy("gaap"),
            "USD",
            Span(*MONTH),
            shipped_rules(),
        )
    )
    statement = build_statement(computation)
    by_function = {function: statement.function_pico(function) for function in Function}
    cost, research = statement.cost_of_revenue_pico, by_function[Function.RESEARCH_AND_DEVELOPMENT]
    unused = by_function[Function.UNUSED_CAPACITY]
    amounts = {
        "revenue": statement.revenue_pico,
        "machine time of paid calls": cost - unused,
        "unused capacity": unused,
        "cost of revenue": cost,
        "gross margin": statement.gross_margin_pico,
        "inference in training": research * 100 // 250,
        "gradient descent": research * 150 // 250,
        "after every cost": statement.revenue_pico - cost - research,
    }
    assert shown() == {label: f"{pico / 10**12:,.2f}" for label, pico in amounts.items()}
    assert all(pico % CENT_PICO == 0 for pico in amounts.values())
