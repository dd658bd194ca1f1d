"""Price plans of customers over time: the plan in force, and the part of a month that it rates."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.accounts.plan import PricePlan, Terms
from inferworks.books.calendar.months import DAY_NS, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.plan_book import PlanBook
from inferworks.ids import CustomerId

ACME = CustomerId("acme")
NOVEMBER = month_of(20_410 * DAY_NS)
START_NS = NOVEMBER.start_ns


def plan(day: int, name: str, hours: int = 0) -> PricePlan:
    """A plan from a day of November on, known by its currency."""
    return PricePlan(ACME, START_NS + (day - 1) * DAY_NS + hours * DAY_NS // 24, Terms(name))


def test_the_plan_in_force_is_the_newest_that_has_begun() -> None:
    """None before the first, and none of a customer without plans."""
    book = PlanBook([plan(10, "BBB"), plan(1, "AAA")], NOVEMBER)
    found = [book.period(ACME, START_NS + (day - 1) * DAY_NS) for day in (1, 9, 10, 30)]
    assert [one and one.plan.terms.currency for one in found] == ["AAA", "AAA", "BBB", "BBB"]
    assert book.period(ACME, START_NS - 1) is None
    assert book.period(CustomerId("burns"), START_NS) is None


def test_plans_of_a_month_adjoin() -> None:
    """Each is in force until the next begins; the day of a change is the new one's for fees."""
    first, second = (
        PlanBook([plan(1, "AAA"), plan(10, "BBB", hours=9)], NOVEMBER).period(ACME, at_ns)
        for at_ns in (START_NS, NOVEMBER.end_ns - 1)
    )
    assert first is not None
    assert second is not None
    change_ns = second.plan.effective_ns
    assert first.times.in_force == Span(START_NS, change_ns)
    assert second.times.in_force == Span(change_ns, NOVEMBER.end_ns)
    assert first.times.fees.end_ns == second.times.fees.start_ns == START_NS + 9 * DAY_NS
    assert first.key < second.key
    assert first.month == second.month == (ACME, START_NS)


@settings(max_examples=15)
@given(st.permutations([plan(1, "AAA"), plan(10, "BBB"), plan(10, "CCC"), plan(20, "DDD")]))
def test_the_order_of_plans_leaves_no_trace(plans: list[PricePlan]) -> None:
    """Of two that begin at once the same one is found, however they came."""
    found = [
        PlanBook(some, NOVEMBER).period(ACME, START_NS + 12 * DAY_NS)
        for some in (plans, plans[::-1])
    ]
    assert found[0] == found[1]


def test_a_book_of_a_span_alone_is_cut_to_it() -> None:
    """Its times are within the span: what was before is not known."""
    span = Span(START_NS + 5 * DAY_NS, START_NS + 15 * DAY_NS)
    period = PlanBook([plan(1, "AAA")], span, alone=True).period(ACME, span.start_ns)
    assert period is not None
    assert period.times.in_force == period.times.fees == period.times.rated == span


def test_months_are_given_with_the_plans_before() -> None:
    """The sum of a month by its last plan begins with its first."""
    book = PlanBook([plan(1, "AAA"), plan(10, "BBB"), plan(20, "CCC")], NOVEMBER)
    last = book.period(ACME, NOVEMBER.end_ns - 1)
    assert last is not None
    [month] = book.months([last])
    assert [period.plan.terms.currency for period in month] == ["AAA", "BBB", "CCC"]
    [one] = book.begun([(ACME, last.plan.effective_ns, last.terms_sha256)])
    assert one == last
    assert list(book.begun([(ACME, last.plan.effective_ns, "another hash")])) == []


def test_plans_without_a_fee_cost_nothing_unused() -> None:
    """Nothing stands of a plan that has prices alone."""
    assert list(PlanBook([plan(1, "AAA")], NOVEMBER).standing()) == []
