"""Books in memory whose periods are closed at a fixed moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.closing.close import (
    CloseRequest,
    close_period,
)
from inferworks.books.closing.inputs import Arrived, reference_statement, without_a_lake
from inferworks.books.closing.ledger import Ledger
from inferworks.books.period import Period
from inferworks.books.statement.computation import Inputs, shipped_rules
from inferworks.books.statement.statement import Statement
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.capacity import State
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_charge, a_step, a_usage, an_interval

FIRST_PERIOD, SECOND, THIRD = (Period(n * 100, n * 100 + 100, f"p{n}") for n in range(3))
DOLLAR = 10**12


class Recorded:
    """Books in memory; tests change them as they please."""

    def __init__(self) -> None:
        self.charges = [a_charge("gpu", "1", (0, 100))]
        usages = (a_usage("call-0", tokens=Tokens(input=7)), a_usage("call-1", opened_ns=1))
        steps = (a_step(0, 0, 50, [("call-0", 5, 0, 0), ("call-1", 0, 1, 9)]),)
        capacity = an_interval((0, 100), {State.ACTIVE: 50, State.IDLE: 50})
        self.facts = Facts(usages, steps, capacity, ())
        self.plans = [PricePlan.per_million(CustomerId("acme"), 0, "USD", "1", "1")]
        self.policy = load_policy("gaap")
        self.rules = shipped_rules()
        self.quarantine: dict[str, str] = {}
        self.earliest: int | None = None
        self.withdrawn: list[PricePlan] = []

    def inputs(self, span: Span) -> Inputs:
        """Everything that is in `span`."""
        charges = tuple(
            c for c in self.charges if span.meet(c.period_start_ns, c.period_end_ns).length_ns
        )
        usages = tuple(u for u in self.facts.usages if u.opened_ns < span.end_ns)
        facts = replace(self.facts, usages=usages)
        return Inputs(charges, facts, self.plans, self.policy, "USD", span, self.rules)

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """The same without rules."""
        inputs = self.inputs(span)
        return Arrived(inputs.charges, inputs.facts)

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """None: there is no lake."""
        return without_a_lake(segments, span)

    def statement_of(self, inputs: Inputs) -> Statement:
        """Statement drawn up by the definition."""
        return reference_statement(inputs)

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """Rows that the test put into quarantine."""
        return self.quarantine

    def withdrawn_plans(self) -> Sequence[PricePlan]:
        """Plans that the test declared mistakes."""
        return self.withdrawn

    def earliest_ns(self, before_ns: int) -> int | None:
        """Earliest fact, as the test has it."""
        return self.earliest

    def change_usage(self, at: int, **changes: Any) -> None:
        """Tamper with a call that is on record."""
        usages = list(self.facts.usages)
        usages[at] = replace(usages[at], **changes)
        self.facts = replace(self.facts, usages=tuple(usages))


def closed(ledger: Ledger, source: Any, period: Period, **options: Any) -> Any:
    """Close `period` at a fixed moment."""
    return close_period(ledger, source, CloseRequest(period, "ann", 1_000, **options))
