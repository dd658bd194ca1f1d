"""The statement of a small company, worked out and validated."""

from __future__ import annotations

from hypothesis import settings

from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.testing.books import World, a_company

RULES = shipped_rules()
SPAN = Span(0, 1_000)
USD = 10**12
thorough = settings(max_examples=40)


def worked_out(world: World, span: Span = SPAN, policy: str = "gaap") -> Computation:
    """The computation of `world`, validated."""
    computation = compute(Inputs(*world, load_policy(policy), "USD", span, RULES))
    validate(computation)
    return computation


def drawn(policy: str = "gaap") -> Statement:
    """The statement of the small company."""
    return build_statement(worked_out(a_company(), policy=policy))
