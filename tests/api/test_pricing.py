"""Charge of a call to its caller: the books' amount, to the picounit."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.accounts.customer import Customer
from inferworks.accounts.plan import (
    Graduated,
    Package,
    PerUnit,
    Price,
    PricePlan,
    Terms,
    Tier,
    token_terms,
)
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.api.pricing import Basis, PricingTable
from inferworks.books.calendar.span import Span
from inferworks.books.revenue.rating import rate
from inferworks.books.token_buckets import buckets
from inferworks.catalog.pins import ListPrices, list_prices
from inferworks.catalog.units import BILLABLE
from inferworks.ids import CustomerId, ModelId
from inferworks.meter.reported_usage import ReportedUsage
from inferworks.meter.usage import Items, Opened, Outcome, Tokens, Usage, usage_of
from inferworks.purpose import Purpose
from inferworks.testing.facts import A_TIME_NS, make_opened
from inferworks.units import Unit

ACME = CustomerId("acme")
MODEL = ModelId("gpt-5-mini")
MONTH = Span(A_TIME_NS - 10**9, A_TIME_NS + 10**9)
OPENED = msgspec.structs.replace(make_opened(), customer=ACME, model=MODEL, opened_ns=A_TIME_NS)


def with_plan(terms: Terms | None, lists: ListPrices | None = None) -> PricingTable:
    """Tariffs where acme is under `terms`."""
    accounts = StubAccounts()
    accounts.add_customer(Customer(ACME, 1))
    if terms is not None:
        accounts.add_plan(PricePlan(ACME, 1, terms))
    return PricingTable(accounts, lambda: lists)


def ended(opened: Opened, tokens: Tokens, items: Items) -> Usage:
    """The call, answered."""
    usage = usage_of(opened, opened.opened_ns + 1, Outcome.ANSWERED, status=200)
    return msgspec.structs.replace(usage, tokens=tokens, items=items)


@st.composite
def all_tokens(draw: st.DrawFn) -> Tokens:
    """Counts that do not contradict themselves, of text alone or with sound."""
    read, written, thought = (draw(st.integers(0, 10**6)) for _ in range(3))
    most_sound = draw(st.sampled_from([0, 10**6]))
    heard, spoken = (draw(st.integers(0, most_sound)) for _ in range(2))
    return Tokens(
        input=read + written + heard + draw(st.integers(0, 10**6)),
        output=thought + spoken + draw(st.integers(0, 10**6)),
        cache_read=read,
        cache_write=written,
        cache_write_1h=draw(st.integers(0, written)),
        input_audio=heard,
        reasoning=thought,
        output_audio=spoken,
    )


PLAIN = st.builds(Tokens, st.integers(0, 10**6), st.integers(0, 10**6))
TERMS = st.sets(st.sampled_from(sorted(BILLABLE))).flatmap(
    lambda units: st.builds(
        lambda picos: Terms("EUR", tuple(Price(u, PerUnit(p)) for u, p in picos.items())),
        st.fixed_dictionaries({unit: st.integers(0, 10**9) for unit in sorted(units)}),
    )
)


ALL_ITEMS = st.builds(Items, *[st.integers(0, 3)] * len(Items.__struct_fields__))


@pytest.mark.slow
@given(TERMS, st.lists(all_tokens() | PLAIN, max_size=4), ALL_ITEMS)
def test_charges_of_calls_add_up_to_the_books(
    terms: Terms, calls: list[Tokens], items: Items
) -> None:
    """Amounts told of a month's calls sum up to the books' revenue, whatever the plan has no price for."""
    tariffs = with_plan(terms)
    usages = [
        ended(msgspec.structs.replace(OPENED, call_id=f"call_{n}"), tokens, items)
        for n, tokens in enumerate(calls)
    ]
    totals = [tariffs.total(OPENED, "openai", ReportedUsage(u.tokens, u.items)) for u in usages]
    plan = PricePlan(ACME, 1, terms)
    for usage, total in zip(usages, totals, strict=True):
        earned_pico = rate([usage], [plan], MONTH, "EUR").amount_pico
        assert total == (None if not terms.prices else (earned_pico, "EUR"))
    whole = rate(usages, [plan], MONTH, "EUR").amount_pico
    assert sum(total[0] for total in totals if total) == whole


@pytest.mark.slow
@given(TERMS, all_tokens())
def test_the_parts_are_the_whole(terms: Terms, tokens: Tokens) -> None:
    """A plan's cost is the sum of what it is made of, and the same as the total."""
    tariffs, told = with_plan(terms), ReportedUsage(tokens)
    cost = tariffs.cost(OPENED, "openai", told)
    total = tariffs.total(OPENED, "openai", told)
    assert (cost is None) == (total is None)
    if cost is not None:
        assert sum(pico for _, pico in cost.parts) == cost.pico
        assert (cost.pico, cost.currency, cost.basis) == (*(total or ()), Basis.PLAN)


@pytest.mark.parametrize(
    "price",
    [
        Price(Unit.INPUT_TOKENS, Graduated((Tier(100, 5), Tier(None, 3)))),
        Price(Unit.INPUT_TOKENS, PerUnit(5), included=1000),
        Price(Unit.REQUESTS, Package(1000, 7)),
    ],
    ids=["tiers", "included", "package"],
)
def test_a_price_by_the_sum_of_a_month_has_no_amount_for_a_call(price: Price) -> None:
    """A call has no amount, nor a list price, if its price depends on the other calls of its month."""
    prices = (price, Price(Unit.OUTPUT_TOKENS, PerUnit(1)))
    tariffs = with_plan(Terms("USD", prices))
    told = ReportedUsage(Tokens(10, 10), cost_pico=5)
    assert tariffs.total(OPENED, "openai", told) is None
    assert tariffs.cost(OPENED, "openai", told) is None


def test_what_a_plan_has_no_price_for_costs_nothing() -> None:
    """A picture billed by its tokens costs those under a plan of tokens; no price at all is no amount."""
    picture = ReportedUsage(Tokens(5, 11, output_image=11), Items(images=1))
    by_tokens = with_plan(token_terms("USD", 5, 7))
    assert by_tokens.total(OPENED, "openai", picture) == (5 * 5 + 11 * 7, "USD")
    cost = by_tokens.cost(OPENED, "openai", picture)
    assert cost is not None
    assert cost.parts == ((Unit.INPUT_TOKENS, 25), (Unit.OUTPUT_IMAGE_TOKENS, 77))
    of_another = Price(Unit.OUTPUT_TOKENS, PerUnit(7), models=(ModelId("another"),))
    for terms in (Terms("USD"), Terms("USD", (of_another,))):
        assert with_plan(terms).total(OPENED, "openai", picture) is None
        assert with_plan(terms).cost(OPENED, "openai", picture) is None


def test_what_is_not_charged_costs_nothing() -> None:
    """A customer's plan is not for purposes that nobody pays for."""
    internal = msgspec.structs.replace(OPENED, purpose=Purpose.TRAIN_INFERENCE)
    tariffs, told = with_plan(token_terms("USD", 5, 7)), ReportedUsage(Tokens(10, 10))
    assert tariffs.total(internal, "openai", told) == (0, "USD")
    cost = tariffs.cost(internal, "openai", told)
    assert cost is not None
    assert (cost.pico, cost.basis) == (0, Basis.INTERNAL)


@pytest.mark.slow
def test_a_plan_hides_what_the_provider_takes(tmp_path: Path) -> None:
    """A customer with a plan is told its own charge, whatever a list or the provider says of the call."""
    tariffs = with_plan(token_terms("USD", 5, 7), list_prices(tmp_path))
    told = ReportedUsage(Tokens(10, 10), cost_pico=999)
    assert tariffs.total(OPENED, "openai", told) == (120, "USD")
    cost = tariffs.cost(OPENED, "openai", told)
    assert cost is not None
    assert (cost.pico, cost.basis) == (120, Basis.PLAN)


def test_without_a_plan_the_provider_says_what_it_costs(tmp_path: Path) -> None:
    """The provider's own cost of a call comes before its list price; our own replicas have neither."""
    tariffs = with_plan(None, list_prices(tmp_path))
    tokens = Tokens(1000, 100)
    assert tariffs.total(OPENED, "openai", ReportedUsage(tokens, cost_pico=999)) == (999, "USD")
    listed = tariffs.cost(OPENED, "openai", ReportedUsage(tokens))
    assert listed is not None
    assert listed.basis is Basis.LIST
    assert tariffs.total(OPENED, "openai", ReportedUsage(tokens)) == (listed.pico, "USD")
    assert tariffs.total(OPENED, "", ReportedUsage(tokens)) is None
    assert tariffs.total(OPENED, "nobody", ReportedUsage(tokens)) is None


LISTED = [("openai", "gpt-5-mini"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"),
          ("openai", "gpt-4o-audio-preview"), ("deepseek", "deepseek-chat")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("seller", "model"), LISTED)
def test_a_list_price_is_the_one_of_the_books(tmp_path: Path, seller: str, model: str) -> None:
    """Buckets times exact list prices, tiers by the size of the request included, rounded once a call."""
    lists = list_prices(tmp_path)
    price = lists.list_price(seller, model, A_TIME_NS)
    if price is None:
        pytest.skip(f"the installed list does not have {model}")
    tariffs = with_plan(None, lists)
    opened = msgspec.structs.replace(OPENED, model=ModelId(model))
    for tokens in (
        Tokens(10, 3),
        Tokens(300_001, 999, cache_read=7),
        Tokens(200_000, 1, reasoning=1),
    ):
        exact = Fraction(0)
        for unit, quantity in buckets(tokens):
            exact += (price.pico_per_unit(unit, tokens.input) or 0) * quantity
        exact += price.pico_per_unit(Unit.REQUESTS, tokens.input) or 0
        assert tariffs.total(opened, seller, ReportedUsage(tokens)) == (round(exact), "USD")


def test_a_new_plan_holds_from_its_moment_on() -> None:
    """A plan that begins later changes what calls cost at that very nanosecond, and not before."""
    accounts = StubAccounts()
    accounts.add_customer(Customer(ACME, 1))
    accounts.add_plan(PricePlan(ACME, 1, token_terms("USD", 1, 1)))
    tariffs = PricingTable(accounts)
    accounts.add_plan(PricePlan(ACME, A_TIME_NS + 5, token_terms("USD", 2, 2)))
    tariffs.refresh()
    for after_ns, expected in ((0, 20), (4, 20), (5, 40), (6, 40)):
        opened = msgspec.structs.replace(OPENED, opened_ns=A_TIME_NS + after_ns)
        assert tariffs.total(opened, "", ReportedUsage(Tokens(10, 10))) == (expected, "USD")


def test_counts_that_contradict_themselves_have_no_price() -> None:
    """More cached tokens than input is no basis for an amount."""
    tariffs = with_plan(token_terms("USD", 1, 1))
    assert tariffs.total(OPENED, "", ReportedUsage(Tokens(1, 1, cache_read=5))) is None
