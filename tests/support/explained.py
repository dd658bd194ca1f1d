"""A small company whose figures are explained."""

from __future__ import annotations

from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.testing.books import a_company

GAAP = load_policy("gaap")
RULES = shipped_rules()
USD = 10**12


def company() -> Computation:
    """The workings of the small company."""
    return compute(Inputs(*a_company(), GAAP, "USD", Span(0, 1_000), RULES))
