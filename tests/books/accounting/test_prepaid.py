"""Prepaid credit: owed until it is used or expires, and never below zero."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.accounts.credit import Credit
from inferworks.accounts.plan import PricePlan, Terms
from inferworks.books.accounting.entries import balances, trial_balance
from inferworks.books.accounting.policy import load_policy
from inferworks.books.accounting.prepaid import Days, Prepaid, PrepaidAccount, Wallet, settled
from inferworks.books.calendar.months import DAY_NS, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import Item, RatingContext, Revenue, rate, to_date_of
from inferworks.books.statement.computation import Inputs, compute, shipped_rules
from inferworks.books.statement.invariants import validate
from inferworks.errors import MoneyError, UserError
from inferworks.ids import CustomerId
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Tokens
from inferworks.testing.books import a_usage

ACME = CustomerId("acme")


def a_credit(name: str, day: int, amount: int, expires: int | None = None) -> Credit:
    """Credit bought in the middle of a day; `expires` is a day as well."""
    expires_ns = None if expires is None else expires * DAY_NS
    return Credit(name, ACME, day * DAY_NS + DAY_NS // 2, amount, "USD", expires_ns)


def wallet(
    customer: CustomerId, bought: Sequence[Credit], before: Days, now: Days, span: Span
) -> Wallet:
    """Wallet of a customer that was never merged with another."""
    return PrepaidAccount(customer, bought, before, now).wallet(span)[0]


def days(**amounts: int) -> dict[int, int]:
    """`d3=5`: the fourth day earned 5 picounits."""
    return {int(name[1:]) * DAY_NS: amount for name, amount in amounts.items()}


def span_of(first: int, last: int) -> Span:
    """From the start of one day to the start of another."""
    return Span(first * DAY_NS, last * DAY_NS)


def test_a_wallet_by_hand() -> None:
    """100 bought, 30 and 50 used, 20 expire; then nothing is left and the rest is owed by the customer."""
    credit = a_credit("c1", 0, 100, expires=5)
    first = wallet(ACME, [credit], {}, days(d0=30), span_of(0, 2))
    assert (first.opening_pico, first.bought_pico, first.used_pico) == (0, 100, 30)
    assert (first.expired_pico, first.closing_pico) == (0, 70)
    second = wallet(ACME, [credit], days(d0=30), days(d3=50, d7=40), span_of(2, 10))
    assert (second.opening_pico, second.bought_pico, second.used_pico) == (70, 0, 50)
    assert (second.expired_pico, second.closing_pico) == (20, 0)


def test_what_expires_soonest_is_used_first() -> None:
    """Of three credits the one with the nearest date goes first, the one without a date last."""
    bought = [a_credit("never", 0, 10), a_credit("late", 0, 10, 9), a_credit("soon", 0, 10, 4)]
    uses = wallet(ACME, bought, {}, days(d1=25), span_of(0, 2)).uses
    assert [(use.credit, use.amount_pico) for use in uses] == [
        ("soon", 10),
        ("late", 10),
        ("never", 5),
    ]


def test_credit_is_used_on_its_day_and_not_before() -> None:
    """The day it was bought on can use it; the day before cannot, nor the day it has expired."""
    credit = a_credit("c", 3, 10, expires=5)
    drawn = wallet(ACME, [credit], {}, days(d2=1, d3=2, d4=3, d5=4), span_of(0, 8))
    assert [(use.day_ns // DAY_NS, use.amount_pico) for use in drawn.uses] == [(3, 2), (4, 3)]
    assert drawn.expired_pico == 5


def test_the_books_of_a_wallet_balance() -> None:
    """Credit bought, used and expired leaves the liability at what is left, breakage in its account."""
    bought = [a_credit("a", 0, 100, expires=5), a_credit("b", 1, 40)]
    calls = tuple(
        a_usage(f"c{day}", opened_ns=day * DAY_NS, tokens=Tokens(output=tokens))
        for day, tokens in ((0, 30), (6, 55))
    )
    plan = PricePlan.per_token(ACME, 0, "USD", 1, 1)
    rules, policy, span = shipped_rules(), load_policy("gaap"), span_of(0, 10)
    done = compute(
        Inputs(
            (),
            Facts(calls, (), (), ()),
            (plan,),
            policy,
            "USD",
            span,
            rules,
            Prepaid(tuple(bought)),
        )
    )
    validate(done)
    assert trial_balance(done.entries) == {"USD": 0}
    found = {name: pico for name, pico in balances(done.entries).items() if "acme" in name}
    assert found == {
        "Assets:Receivable:acme": 30 + 55 + 140 - 30 - 40,
        "Income:Usage:acme": -85,
        "Income:Breakage:acme": -70,
        "Liabilities:Credits:acme": 0,
    }
    assert done.revenue.amount_pico == 85 + 70
    assert done.under(policy).entries == done.entries
    assert [row.amount_pico for row in done.revenue.rated if row.item is Item.BREAKAGE] == [70]


def test_foreign_credit_is_refused() -> None:
    """Credit in another currency than the books' is never added to them."""
    with pytest.raises(MoneyError, match="kept in EUR"):
        settled(Revenue(()), Prepaid((a_credit("a", 0, 1),)), span_of(0, 1), "EUR")


def test_impossible_credit_is_refused() -> None:
    """Credit is not nothing and outlives its purchase; a refund does not expire."""
    with pytest.raises(MoneyError):
        a_credit("a", 0, 0)
    with pytest.raises(UserError):
        a_credit("a", 3, 1, expires=2)
    with pytest.raises(UserError):
        a_credit("a", 3, -1, expires=5)


def test_a_refund_takes_what_is_left_and_no_more() -> None:
    """Of 100 with 30 used 70 are left: 90 asked for are 70, and the day after finds nothing."""
    bought = [a_credit("c", 0, 100), a_credit("r", 2, -90)]
    drawn = wallet(ACME, bought, {}, days(d1=30, d2=5, d3=5), span_of(0, 5))
    assert [(one.refund, one.amount_pico) for one in drawn.refunds] == [("r", 70)]
    assert (drawn.used_pico, drawn.refunded_pico, drawn.closing_pico) == (30, 70, 0)
    early = [a_credit("c", 2, 100), a_credit("r", 1, -90)]
    assert wallet(ACME, early, {}, {}, span_of(0, 5)).refunds == ()


def test_less_than_nothing_lessens_the_days_after() -> None:
    """A day that comes to -10 takes 10 from what the next days draw from the credit."""
    drawn = wallet(ACME, [a_credit("c", 0, 100)], {}, days(d1=-10, d2=4, d3=9), span_of(0, 5))
    assert [(use.day_ns // DAY_NS, use.amount_pico) for use in drawn.uses] == [(3, 3)]
    cut = wallet(ACME, [a_credit("c", 0, 100)], days(d1=-10, d2=4), days(d3=9), span_of(3, 5))
    assert cut.uses == drawn.uses


def test_credit_pays_a_minimum_when_it_falls_due() -> None:
    """40 that expire on the 30th, a minimum of 500 due at the end of the month: credit pays 40 of it.

    Also where the month is closed in halves; and before its end nothing of it is due.
    """
    month = month_of(0)
    plan = PricePlan(ACME, 0, Terms("USD", minimum_pico=500))
    expires_ns = month.end_ns - DAY_NS // 2
    prepaid = Prepaid((Credit("c", ACME, 20 * DAY_NS, 40, "USD", expires_ns),), to_date=())
    whole = settled(rate([], [plan], month, "USD", RatingContext(())), prepaid, month, "USD")
    assert [one.amount_pico for one in whole.prepayments] == [40, -40]
    assert whole.amount_pico == 500
    first = Span(0, 25 * DAY_NS)
    begun = settled(rate([], [plan], first, "USD", RatingContext(())), prepaid, first, "USD")
    assert [one.amount_pico for one in begun.prepayments] == [40]
    to_date = to_date_of(begun.rated, [plan], first.end_ns)
    rest, after = Span(first.end_ns, month.end_ns), replace(prepaid, to_date=to_date)
    ended = settled(rate([], [plan], rest, "USD", RatingContext(to_date)), after, rest, "USD")
    assert [one.amount_pico for one in ended.prepayments] == [-40]
    assert begun.amount_pico + ended.amount_pico == 500


def test_credit_pays_a_subscription_on_its_first_day() -> None:
    """A fee of 300 is due on the 1st: what was bought on the 20th does not pay it."""
    month = month_of(0)
    plan = PricePlan(ACME, 0, Terms("USD", subscription_pico=300))
    for day, paid in ((0, [100, -100]), (20, [100])):
        prepaid = Prepaid((Credit("c", ACME, day * DAY_NS, 100, "USD"),), to_date=())
        drawn = settled(rate([], [plan], month, "USD", RatingContext(())), prepaid, month, "USD")
        assert [one.amount_pico for one in drawn.prepayments] == paid


_credits = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(-30, 50).filter(bool),
        st.one_of(st.none(), st.integers(1, 6)),
    ),
    max_size=5,
).map(
    lambda rows: [
        a_credit(f"c{n}", day, amount, None if lasts is None or amount < 0 else day + lasts)
        for n, (day, amount, lasts) in enumerate(rows)
    ]
)
_days = st.dictionaries(st.integers(0, 15).map(lambda day: day * DAY_NS), st.integers(-10, 40))


@pytest.mark.slow
@given(bought=_credits, earned=_days, cut=st.integers(0, 16), seed=st.randoms())
def test_nothing_is_lost_and_nothing_is_negative(bought, earned, cut, seed) -> None:
    """At any cut: bought = used + refunded + expired + left, never negative; and the halves join up."""
    before = {day: amount for day, amount in earned.items() if day < cut * DAY_NS}
    after = {day: amount for day, amount in earned.items() if day >= cut * DAY_NS}
    first = wallet(ACME, bought, {}, before, span_of(0, cut))
    second = wallet(ACME, bought, before, after, span_of(cut, 20))
    whole = wallet(ACME, bought, {}, earned, span_of(0, 20))
    assert first.closing_pico == second.opening_pico >= 0
    assert second.closing_pico == whole.closing_pico >= 0
    gone_pico = whole.used_pico + whole.refunded_pico + whole.expired_pico
    assert whole.bought_pico == gone_pico + whole.closing_pico
    assert first.uses + second.uses == whole.uses
    assert first.refunds + second.refunds == whole.refunds
    for day, amount in earned.items():
        used_pico = sum(use.amount_pico for use in whole.uses if use.day_ns == day)
        assert used_pico <= max(0, amount)
    shuffled = list(bought)
    seed.shuffle(shuffled)
    assert wallet(ACME, shuffled, {}, earned, span_of(0, 20)) == whole
