"""Books of customers on many clocks, closed bit by bit while calls come late: nothing lost or doubled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.terms import some_terms

from inferworks.accounts.credit import Credit
from inferworks.accounts.directory import Directory, Zoned
from inferworks.accounts.plan import PricePlan
from inferworks.books.accounting.entries import balances
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Prepaid, days_in_parts, wallets
from inferworks.books.calendar.calendars import calendars_of
from inferworks.books.calendar.months import DAY_NS, date_of
from inferworks.books.calendar.span import Span
from inferworks.books.closing.audit import audit
from inferworks.books.closing.close import CloseRequest, close_period, statement_of
from inferworks.books.closing.inputs import Arrived, reference_statement, without_a_lake
from inferworks.books.closing.ledger import Ledger
from inferworks.books.currency import RateRow, Rates
from inferworks.books.period import Period, span_name
from inferworks.books.revenue.customer_currency import day_rates
from inferworks.books.revenue.rating import Item, Rated, RatingContext, Revenue, rate, to_date_of
from inferworks.books.statement.computation import Inputs, shipped_rules
from inferworks.books.statement.statement import Statement
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens, Usage
from inferworks.testing.books import a_usage

ACME, BURNS, DUNE = CustomerId("acme"), CustomerId("burns"), CustomerId("dune")
NAMES = (ACME, BURNS, DUNE)
FIRST_NS = 20_361 * DAY_NS  # 2025-09-30
WHOLE = Span(FIRST_NS, FIRST_NS + 70 * DAY_NS)
MOMENTS = st.integers(WHOLE.start_ns, WHOLE.end_ns - 1)
CLOCKS = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
RATES = Rates(
    RateRow(
        date_of(WHOLE.start_ns + n * DAY_NS).isoformat(), "EUR", "USD", f"1.{n + 100:03}", "a bank"
    )
    for n in range(-2, 72, 5)
)
POLICY = load_policy("gaap")


class Recorded:
    """Calls, plans, clocks and credit in memory; what a month had come to is worked out from all of it."""

    def __init__(self, plans: Sequence[PricePlan], zones: Iterable[Zoned], bought: Credit) -> None:
        self.usages: list[Usage] = []
        self.edges: list[int] = []
        self.plans, self.bought = tuple(plans), bought
        self.rules = replace(shipped_rules(), customers=Directory(zones=tuple(zones)))
        self.calendars = calendars_of(self.rules.customers)

    def inputs(self, span: Span) -> Inputs:
        """Everything that is recorded for `span`, and what it must know of before."""
        usages = tuple(u for u in self.usages if span.holds(u.opened_ns))
        facts = Facts(usages, (), (), ())
        prepaid = self._prepaid(span)
        return Inputs((), facts, self.plans, POLICY, "USD", span, self.rules, prepaid)

    def rated(self, span: Span) -> tuple[Rated, ...]:
        """Rows of all that is recorded, rated in `span` by itself."""
        return rate(
            self.usages, self.plans, span, "USD", RatingContext((), self.calendars, None)
        ).rated

    def _prepaid(self, span: Span) -> Prepaid:
        begun_ns = self.calendars.since_ns(span.start_ns)
        before = self.rated(Span(begun_ns, span.start_ns))
        to_date = to_date_of(before, self.plans, span.start_ns, self.calendars)
        earned: tuple[tuple[CustomerId, tuple[tuple[int, int], ...]], ...] = ()
        if self.bought.bought_ns < span.start_ns:
            earned = ((BURNS, tuple(sorted(self.days(span.start_ns).items()))),)
        return Prepaid((self.bought,), earned, to_date, day_rates(RATES, ["EUR"], "USD", span))

    def days(self, until_ns: int) -> dict[int, int]:
        """Amounts by day that the customer with credit owed until then, in the parts as closed."""
        begun_ns = self.calendars.since_ns(self.bought.bought_ns)
        edges = [begun_ns, *(at for at in self.edges if begun_ns < at < until_ns), until_ns]
        own = [call for call in self.usages if call.customer == BURNS]
        plans = [plan for plan in self.plans if plan.customer == BURNS]
        return days_in_parts(
            own, plans, [BURNS], edges, "USD", RatingContext(calendars=self.calendars)
        )[BURNS]

    def arrived(self, span: Span, known: Collection[str]) -> Arrived:
        """The calls of `span`."""
        inputs = self.inputs(span)
        return Arrived(inputs.charges, inputs.facts)

    def sealed_facts(self, segments: Sequence[Segment], span: Span) -> Facts:
        """None: there is no lake."""
        return without_a_lake(segments, span)

    def statement_of(self, inputs: Inputs) -> Statement:
        """Statement drawn up by the definition."""
        return reference_statement(inputs)

    def conflicts(self, span: Span) -> Mapping[str, str]:
        """None."""
        return {}

    def withdrawn_plans(self) -> Sequence[PricePlan]:
        """None."""
        return ()

    def earliest_ns(self, before_ns: int) -> int | None:
        """The books begin with their first period."""
        return None


def owed(rows: Iterable[Rated], source: Recorded) -> dict[tuple[str, int, str], int]:
    """Amounts that customers owe in their own currencies, by their own months and item."""
    sums: dict[tuple[str, int, str], int] = defaultdict(int)
    for row in rows:
        if row.item is not Item.BREAKAGE:
            month = source.calendars.of(row.customer).month(row.day_ns)
            sums[row.customer, month.start_ns, row.item] += row.owed_pico
    return {what: pico for what, pico in sums.items() if pico}


@pytest.mark.slow
@settings(max_examples=15)
@given(
    terms=st.tuples(some_terms(), some_terms(), some_terms()),
    clocks=st.tuples(*(st.sampled_from(CLOCKS) for _ in NAMES)),
    change=st.tuples(MOMENTS, st.sampled_from(CLOCKS), st.sampled_from(NAMES)),
    cuts=st.lists(st.integers(1, 69), min_size=1, max_size=3, unique=True),
    calls=st.lists(
        st.tuples(st.sampled_from(NAMES), MOMENTS, st.integers(0, 400), st.integers(0, 4)),
        max_size=8,
    ),
    credit=st.tuples(MOMENTS, st.integers(1, 10**11), st.integers(1, 40)),
)
def test_closes_and_corrections_sum_to_what_is_owed(
    terms, clocks, change, cuts, calls, credit
) -> None:
    """Each customer owes for its own months what it would if all had been known, and been one period."""
    plans = [
        PricePlan(name, WHOLE.start_ns - 90 * DAY_NS, replace(one, currency=currency))
        for name, one, currency in zip(NAMES, terms, ("EUR", "USD", "USD"), strict=True)
    ]
    zones = [Zoned(name, 0, clock) for name, clock in zip(NAMES, clocks, strict=True)]
    zones.append(Zoned(change[2], change[0], change[1]))
    bought_ns, amount_pico, lasts = credit
    expires_ns = bought_ns + lasts * DAY_NS
    source = Recorded(plans, zones, Credit("c", BURNS, bought_ns, amount_pico, "USD", expires_ns))
    edges = [0, *sorted(cuts), 70]
    days = [WHOLE.start_ns + edge * DAY_NS for edge in edges]
    periods, source.edges = [Period(*ends, span_name(*ends)) for ends in pairwise(days)], days
    waiting = [
        (late, a_usage(str(n), customer=who, opened_ns=at_ns, tokens=Tokens(used, used)))
        for n, (who, at_ns, used, late) in enumerate(calls)
    ]
    found: list[Statement] = []
    with Ledger(None) as ledger:
        for number, period in enumerate(periods):
            source.usages += [
                call for late, call in waiting if call.opened_ns < period.end_ns and late == number
            ]
            is_last = number == len(periods) - 1
            if is_last:
                source.usages = [call for _, call in waiting]
                found.append(statement_of(ledger, source, period))
                break
            request = CloseRequest(period, "ann", number, begin=number == 0)
            done = close_period(ledger, source, request)
            found.append(done.statement)
        assert audit(ledger, source) == ()
    whole = reference_statement(source.inputs(WHOLE))
    rows = [row for statement in found for row in statement.revenue_rows]
    assert owed(rows, source) == owed(whole.revenue_rows, source)
    booked = balances(tuple(entry for statement in found for entry in statement.entries))
    bought = Prepaid((source.bought,), to_date=())
    days_owed = {BURNS: source.days(WHOLE.end_ns)}
    directory = source.rules.customers
    [wallet] = wallets(Revenue(()), bought, WHOLE, directory, days_owed)
    assert booked["Liabilities:Credits:burns"] == -wallet.closing_pico <= 0
