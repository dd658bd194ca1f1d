"""Price plans of every kind: tables by hand, exact sums, nothing lost on the way down."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.rated import (
    ACME,
    CACHED,
    INPUT,
    NOVEMBER,
    OUTPUT,
    REASONING,
    SMALL,
    TIERS,
    a_plan,
)
from tests.support.terms import some_schemes, some_terms

from inferworks.accounts.plan import (
    AmountOff,
    Graduated,
    Package,
    PercentOff,
    PerUnit,
    Price,
    PricePlan,
    Terms,
    Tier,
    Volume,
)
from inferworks.books.calendar.months import DAY_NS
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.price_schemes import scheme_pico
from inferworks.books.revenue.rating import (
    CallSum,
    Item,
    Rated,
    RatingContext,
    RatingKey,
    Revenue,
    Unpriced,
    by_call,
    rate,
    rate_again,
    rate_calls,
    to_date_of,
)
from inferworks.books.token_buckets import buckets
from inferworks.catalog.units import PRICED_BY
from inferworks.errors import BooksError
from inferworks.ids import KeyId, ModelId, ProjectId
from inferworks.meter.usage import Items, Outcome, Tokens, Usage
from inferworks.purpose import Purpose
from inferworks.testing.books import a_usage
from inferworks.units import Unit


def label(day: int = 0, model: str = SMALL) -> RatingKey:
    """A label of a day of November."""
    at_ns = NOVEMBER.start_ns + day * DAY_NS
    who = (ACME, ProjectId("default"), KeyId("key-acme"))
    return RatingKey(*who, ModelId(model), Purpose.SERVE_PAID, at_ns)


class UsageSum(NamedTuple):
    """Quantity of one unit that the calls of one label used."""

    label: RatingKey
    unit: Unit
    quantity: int


def rate_sums(sums: Iterable[UsageSum], plan: PricePlan, span: Span) -> Revenue:
    """Revenue of `sums` under `plan`, each rated as a call at the beginning of its day."""
    calls = [
        CallSum(label, max(label.day_ns, span.start_ns), 1, [(unit, quantity)])
        for label, unit, quantity in sums
    ]
    return rate_calls(calls, [plan], span, plan.currency)


def rated(plan: PricePlan, *used: tuple[Unit, int], span: Span = NOVEMBER) -> Revenue:
    """Revenue of the first day's use."""
    return rate_sums([UsageSum(label(), *one) for one in used], plan, span)


def items(revenue: Revenue) -> dict[str, int]:
    """The amounts by item."""
    sums: dict[str, int] = {}
    for row in revenue.rated:
        sums[row.item] = sums.get(row.item, 0) + row.amount_pico
    return sums


def test_a_token_is_priced_by_the_nearest_price() -> None:
    """Cached input without a price is input, reasoning is output; a model's own price comes first."""
    terms = Terms(
        "USD",
        (
            Price(INPUT, PerUnit(10)),
            Price(OUTPUT, PerUnit(20)),
            Price(REASONING, PerUnit(25)),
            Price(INPUT, PerUnit(100), models=(ModelId("large"),)),
        ),
    )
    large = ModelId("large")
    units = (INPUT, CACHED, Unit.CACHE_WRITE_TOKENS, OUTPUT, REASONING)
    assert [terms.rate_of(unit, SMALL) for unit in units] == [10, 10, 10, 20, 25]
    assert [terms.rate_of(unit, large) for unit in units] == [100, 100, 100, 20, 25]
    assert terms.price_of(Unit.REQUESTS, SMALL) is None


def test_tiers_count_over_models_and_days() -> None:
    """150 output tokens of two models on two days are 100 at 10 and 50 at 6, shared by their tokens."""
    plan = a_plan(Price(OUTPUT, Graduated(TIERS)))
    sums = [UsageSum(label(0), OUTPUT, 60), UsageSum(label(3, "large"), OUTPUT, 90)]
    revenue = rate_sums(sums, plan, NOVEMBER)
    assert revenue.amount_pico == 1300
    assert [row.amount_pico for row in revenue.rated] == [780, 520]
    assert {row.pico_per_unit for row in revenue.rated} == {None}


def test_a_new_month_begins_at_the_first_tier() -> None:
    """The sum of a month does not reach into the next."""
    plan = a_plan(Price(OUTPUT, Graduated(TIERS)), Price(INPUT, PerUnit(0)))
    days = (NOVEMBER.start_ns, NOVEMBER.end_ns)
    usages = [a_usage(str(at), opened_ns=at, tokens=Tokens(output=150)) for at in days]
    revenue = rate(usages, [plan], Span(NOVEMBER.start_ns, NOVEMBER.end_ns + DAY_NS), "USD")
    assert revenue.amount_pico == 2 * 1300


def test_a_subscription_with_included_units_by_hand() -> None:
    """3000 a month, 1000 tokens included: 1500 tokens cost 500 of them more; a tenth a tenth of it."""
    plan = a_plan(Price(OUTPUT, PerUnit(2), included=1000), subscription_pico=3000)
    assert items(rated(plan, (OUTPUT, 1500))) == {Item.USAGE: 1000, Item.SUBSCRIPTION: 3000}
    assert items(rated(plan, (OUTPUT, 400))) == {Item.USAGE: 0, Item.SUBSCRIPTION: 3000}
    tenth = Span(NOVEMBER.start_ns, NOVEMBER.start_ns + 3 * DAY_NS)
    assert items(rated(plan, (OUTPUT, 150), span=tenth)) == {
        Item.USAGE: 100,
        Item.SUBSCRIPTION: 300,
    }


def test_a_subscription_without_use_still_earns() -> None:
    """Nobody called: the fee stands on a row of its own, for the time the plan was in force."""
    plan = a_plan(since_ns=NOVEMBER.start_ns + 15 * DAY_NS, subscription_pico=3000)
    (row,) = rate([], [plan], NOVEMBER, "USD").rated
    assert (row.item, row.amount_pico, row.model) == (Item.SUBSCRIPTION, 1500, "(no model)")


def test_discounts_and_minimum_by_hand() -> None:
    """1000 of usage and 500 of fee, less a fifth, less 100, is 1100; the minimum of 1250 adds 150."""
    plan = a_plan(
        Price(OUTPUT, PerUnit(10)),
        subscription_pico=500,
        discounts=(PercentOff(1, 5), AmountOff(100)),
        minimum_pico=1250,
    )
    assert items(rated(plan, (OUTPUT, 100))) == {
        Item.USAGE: 1000,
        Item.SUBSCRIPTION: 500,
        Item.DISCOUNT: -400,
        Item.MINIMUM: 150,
    }
    assert rated(plan).amount_pico == 1250


def test_requests_can_be_sold() -> None:
    """A price per request counts calls; requests without a price are not missed, tokens are."""
    plan = a_plan(Price(Unit.REQUESTS, PerUnit(1000)))
    calls = [a_usage(str(n), opened_ns=NOVEMBER.start_ns, tokens=Tokens(3, 2)) for n in range(4)]
    revenue = rate(calls, [plan], NOVEMBER, "USD")
    assert revenue.amount_pico == 4000
    assert revenue.unpriced_units == (
        Unpriced(ACME, SMALL, INPUT, 12),
        Unpriced(ACME, SMALL, OUTPUT, 8),
    )


def test_a_new_plan_in_the_middle_of_a_month() -> None:
    """Each plan rates its own part: fees by time, tiers from the start of that part."""
    middle_ns = NOVEMBER.start_ns + 15 * DAY_NS
    old = a_plan(Price(OUTPUT, Graduated(TIERS)), Price(INPUT, PerUnit(0)), subscription_pico=3000)
    new = a_plan(Price(OUTPUT, PerUnit(1)), Price(INPUT, PerUnit(0)), since_ns=middle_ns)
    days = (middle_ns - 1, middle_ns)
    usages = [a_usage(str(at), opened_ns=at, tokens=Tokens(output=150)) for at in days]
    revenue = rate(usages, [new, old], NOVEMBER, "USD")
    assert items(revenue) == {Item.USAGE: 1300 + 150, Item.SUBSCRIPTION: 1500}
    assert {row.plan_sha256 for row in revenue.rated} == {old.terms.sha256, new.terms.sha256}


def test_revenue_goes_back_to_calls() -> None:
    """The calls of a row share its amount by their tokens, to the last picounit."""
    plan = a_plan(Price(OUTPUT, Package(100, 1000)), Price(INPUT, PerUnit(1)), subscription_pico=7)
    tokens = {"a": Tokens(5, 10), "b": Tokens(5, 20), "failed": Tokens(9, 99)}
    usages = [
        a_usage(
            name,
            opened_ns=NOVEMBER.start_ns + n,
            tokens=used,
            outcome=Outcome.FAILED if name == "failed" else Outcome.ANSWERED,
        )
        for n, (name, used) in enumerate(tokens.items())
    ]
    revenue = rate(usages, [plan], NOVEMBER, "USD")
    shares = {(row.item, row.unit): by_call(row, usages, [plan]) for row in revenue.rated}
    assert shares[Item.USAGE, OUTPUT] == {"a": 333, "b": 667}
    assert shares[Item.USAGE, INPUT] == {"a": 5, "b": 5}
    assert sum(shares[Item.SUBSCRIPTION, None].values()) == 7


def test_an_amount_without_its_plan_is_noticed() -> None:
    """Theorem 14: a row whose hash no plan has cannot be rated again."""
    revenue = rated(a_plan(Price(INPUT, PerUnit(1))), (INPUT, 5))
    with pytest.raises(BooksError, match="theorem 14"):
        rate_again(revenue, [a_plan(Price(INPUT, PerUnit(2)))], NOVEMBER, "USD")


def test_the_hash_of_terms_is_for_ever() -> None:
    """The hash of known terms is what it always was: stored amounts must stay verifiable."""
    terms = a_plan(Price(INPUT, PerUnit(500_000)), Price(OUTPUT, PerUnit(1_500_000))).terms
    assert terms.sha256 == KNOWN_SHA256


KNOWN_SHA256 = "3c7263651926b30df00555dc942c9f708a11417d496b4ec9862924727c733eb8"
_sums = st.lists(
    st.builds(
        UsageSum,
        st.builds(label, st.integers(0, 29), st.sampled_from(["small", "large"])),
        st.sampled_from(list(PRICED_BY)),
        st.integers(0, 500),
    ),
    max_size=8,
)


@pytest.mark.slow
@given(terms=some_terms(), sums=_sums, seed=st.randoms())
def test_every_plan_keeps_the_theorems(terms, sums, seed) -> None:
    """Any terms: independent of order, every unit in one bucket, the rows are the sums of the terms."""
    plan = PricePlan(ACME, 0, terms)
    revenue = rate_sums(sums, plan, NOVEMBER)
    shuffled = list(sums)
    seed.shuffle(shuffled)
    assert rate_sums(shuffled, plan, NOVEMBER) == revenue
    for unit in PRICED_BY:
        given_units = sum(one.quantity for one in sums if one.unit is unit)
        priced = sum(row.quantity for row in revenue.rated if row.unit is unit)
        unpriced = sum(one.quantity for one in revenue.unpriced_units if one.unit is unit)
        if unit is not Unit.REQUESTS:
            assert priced + unpriced == given_units
    assert revenue.amount_pico >= terms.minimum_pico
    assert all(sum(r.amount_pico for r in rows) >= 0 for rows in _by_label(revenue).values())
    for row in revenue.rated:
        if row.pico_per_unit is not None:
            assert row.amount_pico == row.quantity * row.pico_per_unit
    assert rate_again(revenue, [plan], NOVEMBER, "USD").rated == revenue.rated


def _by_label(revenue: Revenue) -> dict[RatingKey, list[Rated]]:
    rows: dict[RatingKey, list[Rated]] = {}
    for row in revenue.rated:
        rows.setdefault(row.label, []).append(row)
    return rows


@given(scheme=some_schemes, sums=_sums, included=st.sampled_from([0, 150]))
def test_a_row_is_the_scheme_of_its_sum(scheme, sums, included) -> None:
    """Rows by model and day sum to exactly the scheme's amount for the month's quantity."""
    plan = a_plan(Price(OUTPUT, scheme, included=included))
    used = [one for one in sums if one.unit is OUTPUT]
    quantity = sum(one.quantity for one in used)
    assert rate_sums(used, plan, NOVEMBER).amount_pico == scheme_pico(
        scheme, max(0, quantity - included)
    )


def parts_of_november(
    cuts: list[int], usages: list[Usage], plans: list[PricePlan]
) -> list[Revenue]:
    """November rated in parts, each on top of what came before; every part can be rated again."""
    edges = [NOVEMBER.start_ns, *sorted(NOVEMBER.start_ns + cut for cut in cuts), NOVEMBER.end_ns]
    parts: list[Revenue] = []
    for start_ns, end_ns in pairwise(edges):
        rows = [row for part in parts for row in part.rated]
        to_date, span = to_date_of(rows, plans, start_ns), Span(start_ns, end_ns)
        parts.append(rate(usages, plans, span, "USD", RatingContext(to_date)))
        assert (
            rate_again(parts[-1], plans, span, "USD", RatingContext(to_date)).rated
            == parts[-1].rated
        )
    return parts


@pytest.mark.slow
@given(
    terms=st.lists(some_terms(), min_size=1, max_size=3),
    changes=st.lists(st.integers(0, 30 * DAY_NS - 1), max_size=2, unique=True),
    cuts=st.lists(st.integers(1, 30 * DAY_NS - 1), max_size=4, unique=True),
    calls=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 30 * DAY_NS - 1)),
        max_size=8,
    ),
)
def test_the_parts_of_a_month_sum_to_it(terms, changes, cuts, calls) -> None:
    """Parts of a month sum to the amount owed for it, item by item, whatever the cuts."""
    starts = [0, *(NOVEMBER.start_ns + change for change in changes)]
    plans = [PricePlan(ACME, at_ns, one) for at_ns, one in zip(starts, terms, strict=False)]
    usages = [
        a_usage(str(n), opened_ns=NOVEMBER.start_ns + at_ns, tokens=Tokens(i, o, i // 2, o // 3))
        for n, (i, o, at_ns) in enumerate(calls)
    ]
    whole = rate(usages, plans, NOVEMBER, "USD", RatingContext(()))
    parts = parts_of_november(cuts, usages, plans)
    sums: dict[str, int] = {}
    for part in parts:
        for item, amount_pico in items(part).items():
            sums[item] = sums.get(item, 0) + amount_pico
    assert {item: pico for item, pico in sums.items() if pico} == {
        item: pico for item, pico in items(whole).items() if pico
    }


TEN_DAYS_NS = 10 * DAY_NS


@pytest.mark.parametrize(
    ("prices", "terms", "uses", "amounts"),
    [
        ((Price(OUTPUT, Graduated(TIERS)),), {}, (75, 75, 0), [750, 550, 0]),
        ((Price(OUTPUT, Volume(TIERS)),), {}, (100, 1, 0), [1000, -394, 0]),
        ((Price(OUTPUT, Package(1000, 20)),), {}, (100, 100, 900), [20, 0, 20]),
        ((Price(OUTPUT, PerUnit(1), included=30),), {}, (20, 20, 20), [0, 10, 20]),
        ((Price(OUTPUT, PerUnit(1)),), {"minimum_pico": 300}, (0, 250, 250), [100, 150, 250]),
        ((Price(OUTPUT, PerUnit(1)),), {"subscription_pico": 300}, (1, 0, 2), [101, 100, 102]),
        (
            (Price(OUTPUT, PerUnit(1)),),
            {"discounts": (AmountOff(30),)},
            (100, 0, 5),
            [90, -10, -5],
        ),
    ],
    ids=["graduated", "volume", "package", "included", "minimum", "fee", "amount off"],
)
def test_parts_of_a_month_by_hand(prices, terms, uses, amounts) -> None:
    """Each third is what November has come to by its end, less what it had come to before."""
    usages = [
        a_usage(str(n), opened_ns=NOVEMBER.start_ns + n * TEN_DAYS_NS, tokens=Tokens(0, used))
        for n, used in enumerate(uses)
    ]
    parts = parts_of_november([TEN_DAYS_NS, 2 * TEN_DAYS_NS], usages, [a_plan(*prices, **terms)])
    assert [part.amount_pico for part in parts] == amounts


def test_a_new_discount_does_not_start_tiers_anew() -> None:
    """150 units over a month at 100 x 10 and 50 x 6, the second half of them at 10 % off the dearer 75."""
    price = Price(OUTPUT, Graduated(TIERS))
    half_ns = NOVEMBER.start_ns + 15 * DAY_NS
    plans = [a_plan(price), a_plan(price, since_ns=half_ns, discounts=(PercentOff(1, 10),))]
    usages = [
        a_usage(str(n), opened_ns=at_ns, tokens=Tokens(0, 75))
        for n, at_ns in enumerate((NOVEMBER.start_ns, half_ns))
    ]
    revenue = rate(usages, plans, NOVEMBER, "USD", RatingContext(()))
    assert items(revenue) == {"usage": 750 + 550, "discount": -55}
    other = a_plan(Price(OUTPUT, Graduated((Tier(None, 10),))), since_ns=half_ns)
    assert (
        rate(usages, [plans[0], other], NOVEMBER, "USD", RatingContext(())).amount_pico == 750 + 750
    )


def test_the_day_of_a_change_is_the_new_plans() -> None:
    """A fee typed as 3000 and mended an hour later is 300: fees count by days."""
    for later_ns in (1, 3_600 * 10**9, DAY_NS - 1):
        at_ns = NOVEMBER.start_ns + later_ns
        wrong = a_plan(since_ns=NOVEMBER.start_ns, subscription_pico=3000)
        plans = [wrong, a_plan(since_ns=at_ns, subscription_pico=300)]
        assert items(rate([], plans, NOVEMBER, "USD", RatingContext(()))) == {"subscription": 300}


def test_what_is_no_token_is_sold_by_its_own_unit() -> None:
    """Images and searches pay their prices; what has none is reported, never silently free."""
    items = Items(images=2, audio_ms=1500, characters=80, searches=3)
    usage = replace(a_usage("c", opened_ns=NOVEMBER.start_ns, tokens=Tokens()), items=items)
    prices = (Price(Unit.IMAGES, PerUnit(40)), Price(Unit.SEARCHES, PerUnit(7)))
    revenue = rate([usage], [PricePlan(ACME, 0, Terms("USD", prices))], NOVEMBER, "USD")
    assert [(row.unit, row.quantity, row.amount_pico) for row in revenue.rated] == [
        (Unit.IMAGES, 2, 80),
        (Unit.SEARCHES, 3, 21),
    ]
    assert [(row.unit, row.quantity) for row in revenue.unpriced_units] == [
        (Unit.AUDIO_MS, 1500),
        (Unit.CHARACTERS, 80),
    ]
    with pytest.raises(BooksError, match="call c: theorem 4"):
        rate([replace(usage, items=Items(images=-1))], [], NOVEMBER, "USD")


@pytest.mark.slow
@given(
    terms=some_terms(),
    calls=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 29), st.booleans()),
        max_size=8,
    ),
)
def test_calls_and_their_sums_are_rated_alike(terms, calls) -> None:
    """Calls and sums of calls are rated to the same rows; every row's calls sum to it."""
    plan = PricePlan(ACME, 0, terms)
    usages = [
        a_usage(
            str(n),
            opened_ns=NOVEMBER.start_ns + day * DAY_NS,
            tokens=Tokens(i, o, i // 2, o // 3),
            model="small" if small else "large",
        )
        for n, (i, o, day, small) in enumerate(calls)
    ]
    revenue = rate(usages, [plan], NOVEMBER, "USD")
    sums = [
        UsageSum(label(day, "small" if small else "large"), unit, quantity)
        for i, o, day, small in calls
        for unit, quantity in (*buckets(Tokens(i, o, i // 2, o // 3)), (Unit.REQUESTS, 1))
    ]
    added = rate_sums(sums, plan, NOVEMBER)
    assert added.rated == revenue.rated
    for row in revenue.rated:
        if row.unit is not None:
            assert sum(by_call(row, usages, [plan]).values()) == row.amount_pico
