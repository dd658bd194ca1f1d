"""Late charges for a closed period: a correction in the open one, once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.closed_books import DOLLAR, FIRST_PERIOD, SECOND, THIRD, Recorded, closed

from inferworks.accounts.plan import PricePlan
from inferworks.books.closing.audit import audit
from inferworks.books.closing.close import (
    statement_of,
)
from inferworks.books.closing.inputs import reference_statement
from inferworks.books.closing.ledger import Ledger
from inferworks.books.period import Period
from inferworks.books.statement.statement import Dimension
from inferworks.ids import CustomerId
from inferworks.meter.usage import Tokens
from inferworks.testing.books import World, a_charge, a_leg, a_usage, worlds


def test_a_late_bill_is_a_correction_in_the_open_period(ledger: Ledger) -> None:
    """Reversed as booked and booked anew; the sealed statement and the correction sum to the truth."""
    source = Recorded()
    before = closed(ledger, source, FIRST_PERIOD).statement
    source.charges.append(a_charge("late", "0.50", (0, 100)))
    after = statement_of(ledger, source, SECOND)
    [correction] = after.corrections
    assert correction.period == FIRST_PERIOD
    assert correction.causes == (f"charge {source.charges[1].id}",)
    assert after.billed_pico == after.allocated_pico == DOLLAR // 2
    truth = reference_statement(replace(source.inputs(FIRST_PERIOD.span)))
    for function in {line.function for line in truth.lines}:
        summed = before.function_pico(function) + after.function_pico(function)
        assert summed == truth.function_pico(function)
    assert after.notes[-1].startswith("Late for the closed period p0, corrected here: 1 record: ")
    assert after.to_json()["corrections"][0]["billed"] == "0.50"  # type: ignore[index]


def test_a_late_bill_that_reaches_into_the_open_period_is_split(ledger: Ledger) -> None:
    """The part in the closed period is a correction, the rest an ordinary charge."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("both", "4", (75, 175)))
    statement = statement_of(ledger, source, SECOND)
    assert statement.billed_pico == 4 * DOLLAR
    assert statement.corrections[0].billed_pico == DOLLAR


def test_a_late_call_earns_at_the_sealed_price(ledger: Ledger) -> None:
    """Revenue of a late call is a correction, by the plan that was sealed and not a newer one."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.plans.append(PricePlan.per_million(CustomerId("acme"), 1, "USD", "9", "9"))
    late = a_usage("call-9", tokens=Tokens(input=100), opened_ns=20)
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    statement = statement_of(ledger, source, SECOND)
    assert statement.revenue_pico == 100 * 10**6
    assert statement.corrections[0].causes == ("call call-9",)
    again = closed(ledger, source, SECOND)
    assert again.record.corrects == (FIRST_PERIOD,)
    assert audit(ledger, source) == ()


def test_a_late_call_is_shown_where_it_was_served(ledger: Ledger) -> None:
    """Revenue of a late call is in the open period under its region, chip and provider; cuts still sum."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    tokens = Tokens(input=100)
    leg = replace(a_leg("replica-1", (20, 21), tokens), region="eu-west", chip="H100")
    late = a_usage("call-9", tokens=tokens, opened_ns=20, legs=[leg])
    source.facts = replace(source.facts, usages=(*source.facts.usages, late))
    statement = statement_of(ledger, source, SECOND)
    for dimension, name in (
        (Dimension.PROVIDER, leg.provider),
        (Dimension.REGION, leg.region),
        (Dimension.CHIP, leg.chip),
    ):
        rows = {row.name: row.revenue_pico for row in statement.by(dimension)}
        assert rows[name] == 100 * 10**6
        assert sum(rows.values()) == statement.revenue_pico
    assert closed(ledger, source, SECOND).statement == statement
    assert audit(ledger, source) == ()


def test_what_was_corrected_once_is_not_corrected_again(ledger: Ledger) -> None:
    """The close that took it in restated the period; a later one corrects from there."""
    source = Recorded()
    closed(ledger, source, FIRST_PERIOD)
    source.charges.append(a_charge("late", "0.50", (0, 100)))
    closed(ledger, source, SECOND)
    assert statement_of(ledger, source, THIRD).corrections == ()
    source.charges.append(a_charge("later", "0.25", (0, 100)))
    last = closed(ledger, source, THIRD).statement
    assert [c.billed_pico for c in last.corrections] == [DOLLAR // 4]
    assert last.corrections[0].causes == (f"charge {source.charges[2].id}",)
    assert audit(ledger, source) == ()


@pytest.mark.slow
@given(worlds(), st.sets(st.integers(0, 40)))
@settings(max_examples=25)
def test_late_or_in_time_is_the_same_in_the_end(world: World, late: set[int]) -> None:
    """Theorem 12: whatever came late, the seal and its correction sum to a close that knew it all."""
    charges = [c for n, c in enumerate(world.charges) if n not in late]
    usages = [u for n, u in enumerate(world.facts.usages) if n not in late]
    source, period = Recorded(), Period(0, 1_000, "all")
    source.plans = list(world.plans)
    source.charges, source.facts = charges, replace(world.facts, usages=tuple(usages))
    with Ledger(None) as ledger:
        before = closed(ledger, source, period).statement
        source.charges, source.facts = list(world.charges), world.facts
        after = statement_of(ledger, source, Period(1_000, 1_001, "next"))
    truth = reference_statement(source.inputs(period.span))
    corrections = [c for c in after.corrections if c.period == period]
    billed = before.billed_pico + sum(c.billed_pico for c in corrections)
    revenue = before.revenue_pico + sum(c.revenue_pico for c in corrections)
    assert (billed, revenue) == (truth.billed_pico, truth.revenue_pico)
    summed: dict[Any, int] = {}
    for line in (*before.lines, *(n for c in corrections for n in c.lines)):
        key = replace(line, amount_pico=0)
        summed[key] = summed.get(key, 0) + line.amount_pico
    told = {replace(line, amount_pico=0): line.amount_pico for line in truth.lines}
    assert {k: v for k, v in summed.items() if v} == {k: v for k, v in told.items() if v}
