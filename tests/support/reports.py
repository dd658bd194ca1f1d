"""The HTML report of a month, read as a browser would."""

from __future__ import annotations

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.exports.html import Fact, Report
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, close_span
from inferworks.ids import CustomerId
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.purpose import Purpose
from inferworks.testing.books import a_charge, a_shift, a_step, a_usage, an_activity, an_interval

SPAN = (0, 1_000)


def the_statement(customer: str = "acme") -> tuple[Statement, tuple[Charge, ...]]:
    """A paying customer at a profit, a free one, a trainer, idle time, an unknown charge."""
    charges = (
        a_charge("machine", "10.00", SPAN),
        a_charge("web", "1.00", SPAN, category="Web", resource="web-1"),
        a_charge("odd", "0.123456789012", SPAN, category="Databases", resource="db"),
        a_shift("repair", "5.00", SPAN, node="node-1"),
    )
    facts = Facts(
        usages=(
            a_usage("call-a", customer=customer, tokens=Tokens(1_000_000, 500_000), sent_bytes=30),
            a_usage("call-f", customer="freda", purpose=Purpose.SERVE_FREE, sent_bytes=10),
        ),
        steps=(a_step(0, 100, 300, [("call-a", 10, 0, 0)]),),
        capacity=an_interval((0, 800), {State.ACTIVE: 300, State.IDLE: 500}),
        activities=(an_activity("descent", "node-1", (800, 900), 100),),
    )
    plan = PricePlan.per_million(CustomerId(customer), 0, "USD", "8.00", "12.00")
    statement = close_span(Inputs(charges, facts, (plan,), load_policy("gaap"), "USD", Span(*SPAN)))
    return statement, charges


def a_report(statement: Statement, charges: tuple[Charge, ...], text: str = "fine") -> Report:
    """A report in which everything that can be text is `text`."""
    facts = (Fact(text, text),)
    return Report(text, text, text, statement, charges, facts, (text, text))
