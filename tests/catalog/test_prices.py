"""List prices: our arithmetic is genai-prices' own, to the last digit, and the book does not move."""

from __future__ import annotations

import datetime as dt
import json
import random
import socket
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data import providers
from msgspec.structs import replace

from inferworks.books.token_buckets import buckets, counted
from inferworks.catalog.genai import installed_book
from inferworks.catalog.pins import shipped_book
from inferworks.catalog.prices import (
    DatedRates,
    Is,
    ListedModel,
    ListedProvider,
    ListRate,
    PriceBook,
    PriceList,
    book_json,
)
from inferworks.meter.usage import Items, Leg, Tokens
from inferworks.testing.facts import make_leg
from inferworks.units import Unit

BOOK = PriceList(installed_book())
MOMENTS = [
    dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC),
    dt.datetime(2025, 6, 5, 0, 30, tzinfo=dt.UTC),
    dt.datetime(2025, 9, 30, 16, 29, 59, tzinfo=dt.UTC),
    dt.datetime(2026, 5, 1, 3, 59, 59, 999999, tzinfo=dt.UTC),
    dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC),
]
INPUT, OUTPUT = Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS


def ns(moment: dt.datetime) -> int:
    """`moment` in nanoseconds since 1970."""
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return since // dt.timedelta(microseconds=1) * 1000


def ours(provider: str, model: str, at: dt.datetime, leg: Leg) -> Fraction | None:
    """US dollars for one request, by our book; what has no price is left out, as the package does."""
    price = BOOK.list_price(provider, model, ns(at))
    if price is None:
        return None
    total = price.pico_per_unit(Unit.REQUESTS, leg.tokens.input) or Fraction(0)
    for unit, quantity in (*buckets(leg.tokens), *counted(leg.items)):
        total += (price.pico_per_unit(unit, leg.tokens.input) or 0) * quantity
    return total / 10**12


def theirs(provider: str, model: str, at: dt.datetime, leg: Leg) -> Decimal:
    """The same, by the package's own calculation."""
    tokens, items = leg.tokens, leg.items
    with localcontext(prec=60):
        usage = genai_prices.Usage(
            input_tokens=tokens.input,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
            cache_write_1h_tokens=tokens.cache_write_1h,
            input_audio_tokens=tokens.input_audio,
            input_image_tokens=tokens.input_image,
            output_tokens=tokens.output,
            output_reasoning_tokens=tokens.reasoning,
            output_audio_tokens=tokens.output_audio,
            output_image_tokens=tokens.output_image,
            input_characters=items.characters,
            web_searches=items.searches,
            cache_audio_read_tokens=0,
            cache_image_read_tokens=0,
        )
        found = genai_prices.calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=at
        )
        return found.total_price


def some_leg(chance: random.Random) -> Leg:
    """A request, now and then one larger than any tier begins; its parts do not overlap."""
    size = chance.choice([10, 5_000, 150_000, 250_000, 900_000])
    text, read, write, hour, heard, seen = (chance.randrange(size) for _ in range(6))
    said, thought, spoken, drawn = (chance.randrange(size) for _ in range(4))
    tokens = Tokens(
        input=text + read + write + hour + heard + seen,
        cache_read=read,
        cache_write=write + hour,
        cache_write_1h=hour,
        input_audio=heard,
        input_image=seen,
        output=said + thought + spoken + drawn,
        reasoning=thought,
        output_audio=spoken,
        output_image=drawn,
    )
    items = Items(characters=chance.randrange(size), searches=chance.randrange(5))
    return replace(make_leg(tokens=tokens), items=items)


@pytest.mark.slow
@pytest.mark.parametrize("provider", [p.id for p in providers])
def test_amounts_are_those_of_the_package(provider: str) -> None:
    """Every model of every provider costs what genai-prices says, at each of several moments."""
    chance = random.Random(provider)
    for model in next(p for p in providers if p.id == provider).models:
        moment, leg = chance.choice(MOMENTS), some_leg(chance)
        amount = ours(provider, model.id, moment, leg)
        if amount is not None:
            assert amount == Fraction(theirs(provider, model.id, moment, leg)), model.id


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("deepseek", "deepseek-chat"),
        ("deepseek", "deepseek-v4-pro"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
        ("azure", "gpt-4o"),
        ("Google Vertex", "claude-3-5-sonnet"),
        ("openai", "gpt-4o-20240806"),
    ],
)
def test_dates_times_tiers_and_other_names(moment: dt.datetime, provider: str, model: str) -> None:
    """Prices by the hour and the date, tiers, models of other houses, and other spellings agree too."""
    chance = random.Random(f"{provider}{model}{moment}")
    for _ in range(5):
        leg = some_leg(chance)
        amount = ours(provider, model, moment, leg)
        assert amount == Fraction(theirs(provider, model, moment, leg))


def test_a_price_by_hand() -> None:
    """GPT-5 mini: 0.25 a million in, 0.025 of that cached, 2 out."""
    price = BOOK.list_price("openai", "gpt-5-mini", ns(MOMENTS[-1]))
    assert price is not None
    units = (INPUT, Unit.CACHE_READ_TOKENS, OUTPUT, Unit.REASONING_TOKENS)
    assert [price.pico_per_unit(unit, 0) for unit in units] == [
        250_000,
        25_000,
        2 * 10**6,
        2 * 10**6,
    ]
    assert price.book_sha256 == BOOK.sha256


@pytest.mark.parametrize(
    ("provider", "model"), [("nobody", "gpt-5-mini"), ("openai", "no-such-model"), ("", "")]
)
def test_an_unknown_price_is_none(provider: str, model: str) -> None:
    """A model that the price book does not know has no price; it is not free."""
    assert BOOK.list_price(provider, model, ns(MOMENTS[0])) is None


def test_a_unit_without_a_price_is_none() -> None:
    """A model that lists a price for input alone has none for output."""
    rates = DatedRates({INPUT: ListRate("1", 10**6)})
    book = PriceBook("test", (ListedProvider("p", (ListedModel("m", Is("m"), (rates,)),)),))
    price = PriceList(book).list_price("p", "m", 0)
    assert price is not None
    assert price.pico_per_unit(INPUT, 0) == 10**6
    assert price.pico_per_unit(OUTPUT, 0) is None


def test_the_shipped_book_is_the_one_we_know(tmp_path: Path) -> None:
    """The installed list has the hash that this version was released with."""
    assert shipped_book(tmp_path).sha256 == BOOK.sha256


@pytest.mark.slow
def test_reading_prices_uses_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket is opened to read a book or to price a call."""

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert PriceList(installed_book()).list_price("openai", "gpt-4o", ns(MOMENTS[0]))


def test_a_book_is_plain_json() -> None:
    """Anybody can check the hash: the JSON is sorted and without spaces."""
    text = book_json(installed_book()).decode()
    again = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again == text
