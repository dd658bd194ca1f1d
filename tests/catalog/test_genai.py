"""A list of genai-prices as a price book: each match, rate and moment, one at a time."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from inferworks.catalog import prices
from inferworks.catalog.genai import installed_book
from inferworks.catalog.prices import DatedRates, ListRate, ListTier, PriceBook
from inferworks.units import NS_PER_SECOND, Unit

ANY = ClauseContains("m")
HOUR_NS = 3600 * NS_PER_SECOND


def book_of(monkeypatch: pytest.MonkeyPatch, *providers: Provider) -> PriceBook:
    """The book of a list with these providers."""
    monkeypatch.setattr("inferworks.catalog.genai.data.providers", list(providers))
    return installed_book.__wrapped__()


def rates_of(
    monkeypatch: pytest.MonkeyPatch, listed: ModelPrice | list[ConditionalPrice]
) -> tuple[DatedRates, ...]:
    """The prices of one model as the book has them."""
    model = ModelInfo("m", ANY, prices=listed)
    book = book_of(monkeypatch, Provider("p", "P", "", models=[model]))
    return book.providers[0].models[0].prices


def test_the_installed_book_is_read_once() -> None:
    """Reading takes a tenth of a second, and nothing that runs changes an installed package."""
    book = installed_book()
    assert installed_book() is book
    assert book.source.startswith("genai-prices 0.")
    assert len({provider.id for provider in book.providers}) == len(book.providers) > 10


def test_an_empty_list_is_an_empty_book(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list without providers, and a provider without anything."""
    assert book_of(monkeypatch).providers == ()
    (provider,) = book_of(monkeypatch, Provider("p", "P", "")).providers
    assert provider == prices.ListedProvider("p", ())


def test_a_provider_is_its_match_its_models_and_whose_it_sells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Models stay in their order, since the first that matches counts."""
    listed = Provider(
        "p", "P", "", provider_match=ClauseEquals("pp"), fallback_model_providers=["b", "a"]
    )
    listed.models = [ModelInfo("z", ANY), ModelInfo("a", ANY)]
    (provider,) = book_of(monkeypatch, listed).providers
    assert provider.match == prices.Is("pp")
    assert provider.sells_models_of == ("b", "a")
    assert [model.id for model in provider.models] == ["z", "a"]
    assert [model.prices for model in provider.models] == [(), ()]


@pytest.mark.parametrize(
    ("match", "pattern"),
    [
        (ClauseEquals("a"), prices.Is("a")),
        (ClauseStartsWith("a"), prices.StartsWith("a")),
        (ClauseEndsWith("a"), prices.EndsWith("a")),
        (ClauseContains("a"), prices.Contains("a")),
        (ClauseRegex("^a+$"), prices.Matches("^a+$")),
        (ClauseOr([]), prices.AnyOf(())),
        (
            ClauseOr([ClauseEquals("a"), ClauseAnd([ClauseStartsWith("b"), ClauseEndsWith("c")])]),
            prices.AnyOf(
                (prices.Is("a"), prices.AllOf((prices.StartsWith("b"), prices.EndsWith("c"))))
            ),
        ),
    ],
)
def test_a_match_is_a_pattern_that_fits_the_same_names(
    match: MatchLogic, pattern: prices.Pattern, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind has its counterpart, and both agree on names."""
    provider = Provider("p", "P", "", models=[ModelInfo("m", match)])
    found = book_of(monkeypatch, provider).providers[0].models[0].match
    assert found == pattern
    for name in ("", "a", "aa", "ba", "bc", "abc", "cb"):
        assert prices.fits(found, name) == match.is_match(name)


def test_a_price_is_exact_text_per_so_many_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits are the list's, zeros included; a unit without a price is not in the book."""
    price = ModelPrice(input_mtok=Decimal("0.10"), output_mtok=Decimal(3), cache_read_mtok=None)
    (dated,) = rates_of(monkeypatch, price)
    assert dated == DatedRates(
        {
            Unit.INPUT_TOKENS: ListRate("0.10", 1_000_000),
            Unit.OUTPUT_TOKENS: ListRate("3", 1_000_000),
        }
    )
    assert dated.rates[Unit.INPUT_TOKENS].pico_per_unit(0) == 100_000


def test_tiers_are_kept_in_rising_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tier applies above its start, as the list says."""
    tiers = [Tier(200, Decimal("2.5")), Tier(100, Decimal("1.5"))]
    price = ModelPrice(input_mtok=TieredPrices(Decimal(1), tiers))
    (dated,) = rates_of(monkeypatch, price)
    rate = dated.rates[Unit.INPUT_TOKENS]
    assert rate == ListRate("1", 1_000_000, (ListTier(100, "1.5"), ListTier(200, "2.5")))
    paid = [rate.pico_per_unit(n) for n in (100, 101, 200, 201)]
    assert paid == [1_000_000, 1_500_000, 1_500_000, 2_500_000]


def test_a_price_without_units_of_ours_is_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing priced is nothing in the book, rather than free."""
    assert rates_of(monkeypatch, ModelPrice()) == (DatedRates({}),)


def test_dated_prices_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last that is active counts, so the order matters."""
    listed = [
        ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1))),
        ConditionalPrice(
            StartDateConstraint(dt.date(2026, 3, 1)), prices=ModelPrice(input_mtok=Decimal(2))
        ),
    ]
    first, second = rates_of(monkeypatch, listed)
    assert (first.start_date, second.start_date) == (None, dt.date(2026, 3, 1))
    assert [dated.rates[Unit.INPUT_TOKENS].price for dated in (first, second)] == ["1", "2"]


@pytest.mark.parametrize(
    ("start", "end", "daily_ns"),
    [
        (dt.time(0), dt.time(23, 59, 59, 999_999), (0, 24 * HOUR_NS - 1000)),
        (dt.time(16, 30), dt.time(0, 30), (33 * HOUR_NS // 2, HOUR_NS // 2)),
        (
            dt.time(1, tzinfo=dt.timezone(dt.timedelta(hours=8))),
            dt.time(9, tzinfo=dt.timezone(dt.timedelta(hours=8))),
            (17 * HOUR_NS, HOUR_NS),
        ),
        (
            dt.time(20, tzinfo=dt.timezone(-dt.timedelta(hours=5))),
            dt.time(12, tzinfo=dt.UTC),
            (HOUR_NS, 12 * HOUR_NS),
        ),
    ],
)
def test_hours_are_those_of_utc(
    start: dt.time, end: dt.time, daily_ns: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour without a zone is UTC's; one east or west of it may be of the day before or after."""
    price = ConditionalPrice(TimeOfDateConstraint(start, end), prices=ModelPrice())
    assert rates_of(monkeypatch, [price]) == (DatedRates({}, daily_ns=daily_ns),)


def test_what_is_new_to_us_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A match or a constraint of a kind that we do not know is never passed over."""
    with pytest.raises(TypeError, match="a price constraint of a new kind: 'on sundays'"):
        rates_of(monkeypatch, [ConditionalPrice("on sundays", prices=ModelPrice())])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a match of a new kind: 'like'"):
        book_of(monkeypatch, Provider("p", "P", "", provider_match="like"))  # type: ignore[arg-type]
