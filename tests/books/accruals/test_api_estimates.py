"""Provider cost is estimated until its bill arrives, and then counted once."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.accounting.policy import load_policy
from inferworks.books.accruals.api_estimates import (
    accuracy,
    estimates,
    is_unpriced,
    true_up,
)
from inferworks.books.accruals.reversals import reversal
from inferworks.books.allocation.pools import DriverKind, default_pools, pool_of
from inferworks.books.calendar.months import DAY_NS, month_of
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge, is_provisional
from inferworks.books.currency import RateRow, Rates
from inferworks.books.statement import corrections as correction
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import close_span
from inferworks.catalog.prices import (
    DatedRates,
    Is,
    ListedModel,
    ListedProvider,
    ListRate,
    ListTier,
    PriceBook,
    PriceList,
)
from inferworks.meter.facts import NO_FACTS, Facts
from inferworks.meter.usage import Items, Tokens, Usage
from inferworks.testing.books import a_charge, a_leg, a_usage
from inferworks.units import Unit

NOVEMBER = month_of(20_410 * DAY_NS)
SPAN = NOVEMBER
RATES = DatedRates(
    {
        Unit.INPUT_TOKENS: ListRate("2.00", 10**6, (ListTier(1000, "4.00"),)),
        Unit.CACHE_READ_TOKENS: ListRate("0.333333333", 10**6),
        Unit.OUTPUT_TOKENS: ListRate("8.00", 10**6),
        Unit.SEARCHES: ListRate("10", 10**3),
    }
)
BOOK = PriceList(
    PriceBook("test 1", (ListedProvider("openai", (ListedModel("big", Is("big"), (RATES,)),)),))
)
POOLS = default_pools()


def is_api_bill(charge: Charge) -> bool:
    """Return whether the shipped pools divide `charge` by tokens."""
    return pool_of(charge, POOLS, ()).driver is DriverKind.PROVIDER_TOKENS


def a_call(
    name: str, tokens: Tokens, *, day: int = 0, provider: str = "openai", model: str = "big"
) -> Usage:
    """A call that `provider` served on a day of the month."""
    at_ns = NOVEMBER.start_ns + day * DAY_NS + 5
    leg = a_leg(None, (at_ns, at_ns + 10), tokens, provider=provider)
    return a_usage(name, opened_ns=at_ns, tokens=tokens, model=model, legs=[leg])


def a_bill(amount: str, days: tuple[int, int] = (0, 30), *, name: str = "api") -> Charge:
    """A bill line of OpenAI for some days of the month."""
    ends = (NOVEMBER.start_ns + days[0] * DAY_NS, NOVEMBER.start_ns + days[1] * DAY_NS)
    return a_charge(name, amount, ends, category="AI and Machine Learning", provider="OpenAI LLC")


def amounts(charges: tuple[Charge, ...]) -> list[int]:
    """Amount of each charge."""
    return [charge.amount_pico for charge in charges]


def test_an_estimate_by_hand() -> None:
    """900 in at 2, 100 of them cached at a third, 50 out at 8 a million; all input above a tier at 4."""
    small = a_call("small", Tokens(input=900, cache_read=100, output=50, reasoning=20))
    large = a_call("large", Tokens(input=1001), day=1)
    first, second = sorted(
        estimates([small, large], BOOK, SPAN, "USD"), key=lambda c: c.period_start_ns
    )
    cached = Fraction("333333.333") * 100
    assert first.amount_pico == round(800 * 2 * 10**6 + cached + 50 * 8 * 10**6)
    assert second.amount_pico == 1001 * 4 * 10**6
    assert (first.provider, first.resource_id, first.quantity) == ("openai", "big", "950")
    assert first.file_sha256 == BOOK.sha256
    assert is_provisional(first)
    assert is_api_bill(first)
    assert not is_unpriced(first)
    assert first.period_end_ns - first.period_start_ns == DAY_NS


def test_own_replicas_and_other_times_are_not_estimated() -> None:
    """A leg on our own machine, and one that began outside the span, is nobody's bill to come."""
    own = a_usage("own", legs=[a_leg("replica-1", (0, 1), Tokens(5, 5))], opened_ns=SPAN.start_ns)
    late = a_call("late", Tokens(5, 5), day=30)
    assert estimates([own, late], BOOK, SPAN, "USD") == ()


def test_a_failed_attempt_that_used_tokens_is_estimated() -> None:
    """Every leg costs, whether it served or not."""
    leg = a_call("x", Tokens(10)).legs[0]
    usage = msgspec.structs.replace(a_call("x", Tokens(10)), legs=(leg, leg))
    assert amounts(estimates([usage], BOOK, SPAN, "USD")) == [2 * 10 * 2 * 10**6]


def test_no_price_is_reported_and_costs_nothing_yet() -> None:
    """An unknown model, or books in another currency, give a charge of nothing that says so."""
    calls = [a_call("a", Tokens(7, 3), model="unheard-of")]
    (unknown,) = estimates(calls, BOOK, SPAN, "USD")
    assert (unknown.amount_pico, unknown.quantity, is_unpriced(unknown)) == (0, "10", True)
    (foreign,) = estimates([a_call("a", Tokens(7, 3))], BOOK, SPAN, "EUR")
    assert (foreign.amount_pico, foreign.quantity, is_unpriced(foreign)) == (0, "10", True)
    (row,) = accuracy([unknown], [], is_api_bill, SPAN)
    assert (row.unpriced_tokens, row.billed_pico, row.percent) == (10, None, None)


def told(usage: Usage, pico: int, currency: str = "USD") -> Usage:
    """`usage` with a cost that its provider told."""
    (leg,) = usage.legs
    leg = msgspec.structs.replace(leg, told_cost_pico=pico, told_currency=currency)
    return msgspec.structs.replace(usage, legs=(leg,))


def test_what_the_provider_told_is_taken_and_the_list_kept_beside_it() -> None:
    """One charge for calls with a told cost, one for the others; a foreign cost does not count."""
    calls = [
        told(a_call("a", Tokens(100)), 170 * 10**6),
        told(a_call("b", Tokens(10)), 0),
        told(a_call("c", Tokens(5)), 99, "EUR"),
        told(a_call("d", Tokens(7), model="unheard-of"), 3),
    ]
    listed, taken, unheard = sorted(
        estimates(calls, BOOK, SPAN, "USD"), key=lambda c: (c.resource_id, c.file)
    )
    assert (listed.amount_pico, listed.quantity, listed.other) == (5 * 2 * 10**6, "5", ())
    assert (taken.amount_pico, taken.quantity) == (170 * 10**6, "110")
    assert taken.other == (("ListCost", "0.00022"),)
    assert (unheard.amount_pico, unheard.quantity, unheard.other) == (3, "7", ())
    assert all(is_provisional(c) and not is_unpriced(c) for c in (listed, taken, unheard))
    (row,) = accuracy((listed, taken, unheard), [a_bill("0.00018")], is_api_bill, SPAN)
    assert row.estimated_pico == 180 * 10**6 + 3
    assert row.unpriced_tokens == 0
    assert true_up((listed, taken, unheard), [a_bill("1")], is_api_bill) == ()
    kept = true_up((), [a_bill("1")], is_api_bill, (listed, taken, unheard))
    assert (len(kept), sum(amounts(kept))) == (6, 0)


def test_items_cost_by_their_list_price_or_are_reported() -> None:
    """Searches are listed; an image without a price is missing only where no tokens stand for it."""
    searching = with_items(a_call("a", Tokens(1)), Items(searches=3, images=1))
    drawing = with_items(a_call("b", Tokens(), model="pictures"), Items(images=2))
    paid, missing = sorted(
        estimates([searching, drawing], BOOK, SPAN, "USD"), key=lambda c: c.resource_id
    )
    assert paid.amount_pico == 2 * 10**6 + 3 * 10**10
    assert (missing.amount_pico, missing.quantity, missing.unit) == (0, "2", "Items")
    assert is_unpriced(missing)
    (row,) = accuracy([paid, missing], [], is_api_bill, SPAN)
    assert row.unpriced_tokens == 0


def with_items(usage: Usage, items: Items) -> Usage:
    """`usage` whose leg used `items` as well."""
    (leg,) = usage.legs
    return msgspec.structs.replace(usage, legs=(msgspec.structs.replace(leg, items=items),))


def test_a_bill_replaces_the_estimates_up_to_its_end() -> None:
    """A bill for ten days leaves the eleventh estimated; another provider's bill changes nothing."""
    calls = [a_call(f"c{day}", Tokens(100), day=day) for day in (0, 9, 10)]
    estimated = estimates(calls, BOOK, SPAN, "USD")
    other = msgspec.structs.replace(a_bill("9"), provider="x", issuer="x")
    assert len(true_up(estimated, [other], is_api_bill)) == 3
    (left,) = true_up(estimated, [other, a_bill("0.01", (0, 10))], is_api_bill)
    assert left.period_start_ns == NOVEMBER.start_ns + 10 * DAY_NS
    assert true_up(estimated, [a_bill("0.01")], is_api_bill) == ()


def test_only_lines_for_calls_replace_an_estimate() -> None:
    """Seats of the whole month leave the days estimated that no token line covers."""
    calls = [a_call(f"c{day}", Tokens(100), day=day) for day in range(20)]
    estimated = estimates(calls, BOOK, SPAN, "USD")
    seats = msgspec.structs.replace(a_bill("100", name="seats"), description="5 seats")
    tax = msgspec.structs.replace(a_bill("19", name="tax"), charge_category="Tax")
    waiting = true_up(estimated, [], is_api_bill)
    assert true_up(estimated, [seats, tax], is_api_bill) == waiting
    left = true_up(estimated, [seats, tax, a_bill("2.50", (0, 10))], is_api_bill)
    assert {c.period_start_ns for c in left} == {
        NOVEMBER.start_ns + day * DAY_NS for day in range(10, 20)
    }
    (row,) = accuracy(estimated, [seats, a_bill("2.50", (0, 10))], is_api_bill, SPAN)
    assert row.billed_pico == 25 * 10**11


def test_a_line_replaces_the_estimates_of_its_model_on_its_days() -> None:
    """Another model of the same provider, and a day between two parts of a bill, stay estimated."""
    calls = [
        a_call(f"{model}{day}", Tokens(100), day=day, model=model)
        for day in (0, 5, 10)
        for model in ("gpt-4o", "gpt-4o-mini")
    ]
    estimated = estimates(calls, BOOK, SPAN, "USD")
    lines = [
        msgspec.structs.replace(a_bill("1", days, name=f"l{days}"), description="gpt-4o-2024-08-06")
        for days in ((0, 1), (10, 11))
    ]
    left = true_up(estimated, lines, is_api_bill)
    assert sorted((c.resource_id, (c.period_start_ns - NOVEMBER.start_ns) // DAY_NS) for c in left) == [
        ("gpt-4o", 5), ("gpt-4o-mini", 0), ("gpt-4o-mini", 5), ("gpt-4o-mini", 10)
    ]  # fmt: skip


def test_a_line_that_says_nothing_gives_way_to_those_that_do() -> None:
    """A month of web searches beside tokens to the tenth leaves the rest estimated; alone it counts."""
    calls = [a_call(f"c{day}", Tokens(100), day=day) for day in (0, 20)]
    estimated = estimates(calls, BOOK, SPAN, "USD")
    searches = msgspec.structs.replace(a_bill("9", name="s"), description="web search tool calls")
    tokens = msgspec.structs.replace(a_bill("1", (0, 10), name="t"), description="Input tokens")
    (left,) = true_up(estimated, [searches, tokens], is_api_bill)
    assert left.period_start_ns == NOVEMBER.start_ns + 20 * DAY_NS
    assert true_up(estimated, [searches], is_api_bill) == ()


def test_list_prices_in_books_of_another_currency() -> None:
    """List prices convert by the rate of the day, kept beside the original; without a rate, none does."""
    rates = Rates([RateRow("2025-11-20", "USD", "EUR", "0.90", "ECB")])
    calls = [a_call("a", Tokens(100), day=19), a_call("b", Tokens(100), day=1)]
    early, late = sorted(
        estimates(calls, BOOK, SPAN, "EUR", rates), key=lambda charge: charge.period_start_ns
    )
    assert (early.amount_pico, is_unpriced(early)) == (0, True)
    assert (late.amount_pico, late.currency) == (180 * 10**6, "EUR")
    assert late.foreign is not None
    assert (late.foreign.currency, late.foreign.amount_pico) == ("USD", 200 * 10**6)
    (cost,) = estimates([told(calls[0], 7 * 10**6)], BOOK, SPAN, "EUR", rates)
    assert (cost.amount_pico, cost.other) == (63 * 10**5, (("ListCost", "0.00018"),))


def test_the_machines_of_the_same_seller_are_no_api_bill() -> None:
    """A compute line of a provider does not speak for its API."""
    machine = a_charge("vm", "5", SPAN, provider="OpenAI LLC", resource="vm-1")
    estimated = estimates([a_call("c", Tokens(100))], BOOK, SPAN, "USD")
    assert true_up(estimated, [machine], is_api_bill) == estimated


def test_a_sealed_estimate_is_reversed_exactly() -> None:
    """A sealed estimate stays; when the bill comes, a reversal cancels it and the bill alone counts."""
    sealed = estimates([a_call("c", Tokens(100, 7))], BOOK, SPAN, "USD")
    assert true_up((), [], is_api_bill, sealed) == sealed
    kept = true_up((), [a_bill("0.01")], is_api_bill, sealed)
    assert sum(amounts(kept)) == 0
    assert set(sealed) < set(kept)
    assert len({charge.id for charge in kept}) == 2
    again = true_up((), [a_bill("0.01")], is_api_bill, kept)
    assert again == kept


def test_a_bill_that_is_taken_back_leaves_the_estimate_again() -> None:
    """In a closed month the line stays beside its reversal, and neither speaks for a call."""
    [sealed] = estimates([a_call("c", Tokens(100, 7))], BOOK, SPAN, "USD")
    gone = [a_bill("0.01"), correction.reversal(a_bill("0.01"))]
    assert true_up((), gone, is_api_bill, [sealed]) == (sealed,)
    kept = true_up((), gone[:1], is_api_bill, [sealed])
    assert sum(amounts(true_up((), gone, is_api_bill, kept))) == sealed.amount_pico
    assert not sum(amounts(true_up((), [*gone, a_bill("0.02", name="b")], is_api_bill, kept)))


def test_the_error_of_the_estimate_by_hand() -> None:
    """Estimated 0.000200 for the billed ten days, billed 0.000160: 25 percent too much."""
    calls = [a_call("a", Tokens(100), day=0), a_call("b", Tokens(50), day=20)]
    estimated = estimates(calls, BOOK, SPAN, "USD")
    (row,) = accuracy(estimated, [a_bill("0.00016", (0, 10))], is_api_bill, SPAN)
    assert (row.provider, row.month) == ("openai", "2025-11")
    assert row.estimated_pico == 200 * 10**6
    assert row.billed_pico == 160 * 10**6
    assert row.difference_pico == 40 * 10**6
    assert row.waiting_pico == 100 * 10**6
    assert row.percent == "25.0000"


def test_percent_is_rounded_half_to_even() -> None:
    """A third too little is -33.3333; a bill of nothing has no percentage."""
    estimated = estimates([a_call("a", Tokens(100))], BOOK, SPAN, "USD")
    (row,) = accuracy(estimated, [a_bill("0.0003")], is_api_bill, SPAN)
    assert row.percent == "-33.3333"
    (free,) = accuracy(estimated, [a_bill("0")], is_api_bill, SPAN)
    assert (free.billed_pico, free.percent) == (0, None)


def test_the_statement_says_what_is_estimated() -> None:
    """Provisional charges are allocated like bills, and a note names them and what has no price."""
    calls = (a_call("a", Tokens(100)), a_call("b", Tokens(5, 5), model="unheard-of"))
    charges = estimates(calls, BOOK, SPAN, "USD")
    facts = Facts(calls, (), (), ())
    drawn = close_span(Inputs(charges, facts, (), load_policy("gaap"), "USD", Span(*SPAN)))
    assert drawn.billed_pico == drawn.allocated_pico == 200 * 10**6
    assert drawn.unallocated_pico == 0
    notes = " ".join(drawn.notes)
    assert "0.0002 of openai is estimated" in notes
    assert "10 tokens of openai have no list price" in notes


def test_nothing_bought_is_nothing_estimated() -> None:
    """Without calls there is nothing to wait for, and nothing to compare."""
    assert estimates(NO_FACTS.usages, BOOK, SPAN, "USD") == ()
    assert accuracy((), [a_bill("1")], is_api_bill, SPAN) == ()


_calls = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 2000),
        st.integers(0, 29),
        st.sampled_from(["big", "?"]),
    ),
    max_size=6,
).map(
    lambda rows: [
        a_call(f"c{n}", Tokens(input=i, cache_read=i // 3, output=o), day=day, model=model)
        for n, (i, o, day, model) in enumerate(rows)
    ]
)


@pytest.mark.slow
@given(calls=_calls, seed=st.randoms(use_true_random=False), through=st.integers(1, 30))
def test_a_cost_is_estimated_or_billed_never_both(calls, seed, through) -> None:
    """In any order of calls: each estimate waits or is replaced, and sealed ones cancel when billed."""
    estimated = estimates(calls, BOOK, SPAN, "USD")
    shuffled = list(calls)
    seed.shuffle(shuffled)
    assert estimates(shuffled, BOOK, SPAN, "USD") == estimated
    bill = a_bill("1", (0, through))
    waiting = true_up(estimated, [bill], is_api_bill)
    replaced = [c for c in estimated if c not in waiting]
    assert all(c.period_start_ns >= bill.period_end_ns for c in waiting)
    assert all(c.period_start_ns < bill.period_end_ns for c in replaced)
    kept = true_up((), [bill], is_api_bill, estimated)
    assert sum(amounts(kept)) == sum(amounts(waiting))
    assert {reversal(c) for c in replaced} <= set(kept)
    for row in accuracy(estimated, [bill], is_api_bill, SPAN):
        assert row.estimated_pico == sum(c.amount_pico for c in replaced)
        assert row.waiting_pico == sum(amounts(waiting))


@pytest.mark.slow
@given(calls=_calls)
def test_a_day_costs_what_its_calls_cost_alone(calls) -> None:
    """The sum of calls estimated one by one is the estimate, to half a picounit for each of them."""
    whole = sum(amounts(estimates(calls, BOOK, SPAN, "USD")))
    alone = sum(sum(amounts(estimates([call], BOOK, SPAN, "USD"))) for call in calls)
    assert abs(whole - alone) <= len(calls)
