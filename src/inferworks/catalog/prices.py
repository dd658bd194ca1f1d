"""List prices of other people's APIs, as of a price book whose content has a hash.

Problem. Providers change prices, add models and price by the hour of the day; the community's table of
them (the package `genai-prices`) is kept up to date and can even update itself while it runs. But a cost
that was estimated last month must stay what it was.

Decision. The package's table is read once into a *price book* of our own: plain frozen values, whose
JSON has a SHA-256. The book that ships is known by its hash (`price_books.toml`); another one is used
only after somebody pinned it (`catalog/pins.py`), from a date on. The package's own updater and network
code are never called. Prices are exact decimals and amounts exact fractions; a sum over calls is rounded
once. A missing price is None, and must be reported: unknown is not free.

The rules of matching and choosing are those of genai-prices, checked against its own arithmetic in
`tests/catalog/test_prices.py`: the first model whose pattern matches; of dated prices the last that is
active; the most specific unit that has a price; and a tier applies to *all* tokens of a request whose
input is larger than the tier's start.

Source: https://github.com/pydantic/genai-prices (MIT).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TypeAlias

import msgspec

from inferworks.catalog.units import PRICED_BY
from inferworks.money import PICO
from inferworks.units import NS_PER_SECOND, Unit

_EPOCH = dt.date(1970, 1, 1)
_DAY_NS = 86_400 * NS_PER_SECOND
_COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Is(msgspec.Struct, frozen=True, tag="is"):
    """The name is `text`, whatever its case."""

    text: str


class StartsWith(msgspec.Struct, frozen=True, tag="starts-with"):
    """The name starts with `text`."""

    text: str


class EndsWith(msgspec.Struct, frozen=True, tag="ends-with"):
    """The name ends with `text`."""

    text: str


class Contains(msgspec.Struct, frozen=True, tag="contains"):
    """The name contains `text`."""

    text: str


class Matches(msgspec.Struct, frozen=True, tag="matches"):
    """The regular expression `pattern` is found in the name."""

    pattern: str


class AnyOf(msgspec.Struct, frozen=True, tag="any-of"):
    """Pattern of which at least one of `parts` must fit."""

    parts: tuple[Pattern, ...]


class AllOf(msgspec.Struct, frozen=True, tag="all-of"):
    """Each of `parts` fits."""

    parts: tuple[Pattern, ...]


Pattern: TypeAlias = Is | StartsWith | EndsWith | Contains | Matches | AnyOf | AllOf


class ListTier(msgspec.Struct, frozen=True):
    """The price of every unit of a request with more than `above` input tokens."""

    above: int
    price: str


@lru_cache(maxsize=4096)
def _pico_per_unit(price: str, per: int) -> Fraction:
    return Fraction(price) * PICO / per


class ListRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price as its provider states it: exact decimal text, for `per` units, in US dollars."""

    price: str
    per: int
    tiers: tuple[ListTier, ...] = ()
    """Tiers in rising order."""

    def pico_per_unit(self, input_tokens: int) -> Fraction:
        """Picounits of one unit, in a request of `input_tokens`; exact, and so not always whole."""
        price = self.price
        for tier in self.tiers:
            if input_tokens > tier.above:
                price = tier.price
        return _pico_per_unit(price, self.per)


class DatedRates(msgspec.Struct, frozen=True, omit_defaults=True):
    """Prices by unit, in force from `start_date` on, and within a daily interval if there is one."""

    rates: dict[Unit, ListRate]
    start_date: dt.date | None = None
    daily_ns: tuple[int, int] | None = None
    """Start and end, in nanoseconds since midnight UTC; may reach past midnight."""

    def active(self, at_ns: int) -> bool:
        """Return whether these prices apply at `at_ns`."""
        if self.start_date is not None:
            return at_ns // _DAY_NS >= (self.start_date - _EPOCH).days
        if self.daily_ns is not None:
            (from_ns, until_ns), time_ns = self.daily_ns, at_ns % _DAY_NS
            if until_ns < from_ns:
                return time_ns >= from_ns or time_ns < until_ns
            return from_ns <= time_ns < until_ns
        return True


class ListedModel(msgspec.Struct, frozen=True):
    """A model and its prices, oldest first; the first holds when no other does."""

    id: str
    match: Pattern
    prices: tuple[DatedRates, ...]


class ListedProvider(msgspec.Struct, frozen=True, omit_defaults=True):
    """A provider with the models it sells."""

    id: str
    models: tuple[ListedModel, ...]
    match: Pattern | None = None
    sells_models_of: tuple[str, ...] = ()
    """Providers whose list applies where its own has no such model."""


class ListPrice(msgspec.Struct, frozen=True):
    """List price of a model at its provider at a moment, in US dollars."""

    provider: str
    model: str
    """The names of the book, which may differ from those asked for."""
    rates: dict[Unit, ListRate]
    book_sha256: str

    def pico_per_unit(self, unit: Unit, input_tokens: int) -> Fraction | None:
        """Picounits of one `unit` in a request of `input_tokens`; None when it has no price."""
        rate = next((self.rates[u] for u in PRICED_BY.get(unit, ()) if u in self.rates), None)
        return None if rate is None else rate.pico_per_unit(input_tokens)


class PriceBook(msgspec.Struct, frozen=True, dict=True):
    """List prices of all providers, as one source gave them."""

    source: str
    """The package and its version."""
    providers: tuple[ListedProvider, ...]

    @cached_property
    def sha256(self) -> str:
        """The hash of the book: SHA-256 of its JSON (`book_json`)."""
        return hashlib.sha256(book_json(self)).hexdigest()


class PriceList:
    """List prices from one book. Results are cached, since books are searched in order."""

    def __init__(self, book: PriceBook) -> None:
        self.book = book
        self.sha256 = book.sha256
        self._providers = {provider.id: provider for provider in book.providers}
        self._found: dict[tuple[str, str], tuple[str, ListedModel] | None] = {}

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """The prices of `model` at `provider` at `at_ns`; None when the book does not know them."""
        key = (provider, model)
        if key not in self._found:
            self._found[key] = self._find(provider, model.lower())
        found = self._found[key]
        if found is None:
            return None
        provider_id, listed = found
        active = (dated for dated in reversed(listed.prices) if dated.active(at_ns))
        rates = next(active, listed.prices[0]).rates if listed.prices else {}
        return ListPrice(provider_id, listed.id, rates, self.sha256) if rates else None

    def sellers(self, model: str) -> list[str]:
        """The providers that list `model`, by name."""
        names = sorted(self._providers)
        return [name for name in names if self._find(name, model.lower()) is not None]

    def _find(self, provider: str, model: str) -> tuple[str, ListedModel] | None:
        wanted = provider.lower().strip()
        matching = (p for p in self.book.providers if p.match and fits(p.match, wanted))
        seller = self._providers.get(wanted) or next(matching, None)
        if seller is None:
            return None
        others = (self._providers[p] for p in seller.sells_models_of if p in self._providers)
        searched = [listed for one in (seller, *others) for listed in one.models]
        for name in dict.fromkeys((model, _COMPACT_DATE.sub(_dashed, model))):
            for listed in searched:
                if fits(listed.match, name):
                    return seller.id, listed
        return None


def book_json(book: PriceBook) -> bytes:
    """Return a book as JSON: keys sorted, no spaces, absent fields left out."""
    return msgspec.json.encode(book, order="sorted")


def fits(pattern: Pattern, name: str) -> bool:
    """Return whether `name`, in lower case, fits `pattern`."""
    match pattern:
        case Is(text=text):
            return name == text.lower()
        case StartsWith(text=text):
            return name.startswith(text.lower())
        case EndsWith(text=text):
            return name.endswith(text.lower())
        case Contains(text=text):
            return text.lower() in name
        case Matches(pattern=expression):
            return re.search(expression, name) is not None
        case AnyOf(parts=parts):
            return any(fits(part, name) for part in parts)
        case AllOf(parts=parts):
            return all(fits(part, name) for part in parts)


def _dashed(match: re.Match[str]) -> str:
    """A compact date (`-20251211`) written out (`-2025-12-11`), as the lists have it."""
    dash, *date = match.groups()
    try:
        return f"{dash}{dt.date(*map(int, date)).isoformat()}"
    except ValueError:
        return match.group(0)
