"""The package `genai-prices`, read as a price book. Its updater and its network code are not touched.

Units that our meter does not count (video, pages, pixels) are left out of the book. So are prices of a
modality's cached tokens, which are counted with all other cached ones, and prices for special request
options (batch, priority): calls are listed at their standard price.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from inferworks.catalog import prices
from inferworks.catalog.units import BILLABLE, BillableUnit
from inferworks.on_demand import OnDemand
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:
    from genai_prices import data, data_units, types
else:
    data, data_units, types = (
        OnDemand(f"genai_prices.{name}") for name in ("data", "data_units", "types")
    )


def installed_source() -> str:
    """Return the name and version of the installed package; nothing of it is loaded."""
    return f"genai-prices {version('genai-prices')}"


@cache
def installed_book() -> prices.PriceBook:
    """The price book of the installed package, read once: loading it takes a second of a slow processor."""
    return prices.PriceBook(installed_source(), tuple(map(_provider, data.providers)))


def _provider(provider: types.Provider) -> prices.ListedProvider:
    return prices.ListedProvider(
        id=provider.id,
        models=tuple(map(_model, provider.models)),
        match=None if provider.provider_match is None else _pattern(provider.provider_match),
        sells_models_of=tuple(provider.fallback_model_providers or ()),
    )


def _model(model: types.ModelInfo) -> prices.ListedModel:
    listed = model.prices
    dated: Iterable[types.ConditionalPrice] = (
        listed if isinstance(listed, list) else [types.ConditionalPrice(prices=listed)]
    )
    return prices.ListedModel(model.id, _pattern(model.match), tuple(map(_dated, dated)))


def _dated(price: types.ConditionalPrice) -> prices.DatedRates:
    listed = {unit.name: _listed(unit, price.prices) for unit in BILLABLE.values()}
    rates = {name: rate for name, rate in listed.items() if rate is not None}
    match price.constraint:
        case None:
            return prices.DatedRates(rates)
        case types.StartDateConstraint(start_date=start_date):
            return prices.DatedRates(rates, start_date=start_date)
        case types.TimeOfDateConstraint(start_time=start_time, end_time=end_time):
            return prices.DatedRates(rates, daily_ns=(_time_ns(start_time), _time_ns(end_time)))
    raise TypeError(f"a price constraint of a new kind: {price.constraint!r}")


def _listed(unit: BillableUnit, listed: types.ModelPrice) -> prices.ListRate | None:
    """The rate of `unit`: of the first of its names that has a price."""
    for name in unit.listed:
        facts = data_units.unit_data[name]
        price = getattr(listed, facts["price_key"])
        if price is None:
            continue
        base, above = (price, ()) if isinstance(price, Decimal) else (price.base, price.tiers)
        tiers = tuple(prices.ListTier(tier.start, str(tier.price)) for tier in above)
        return prices.ListRate(str(base), facts["per"] * unit.per_listed, tiers)
    return None


def _pattern(match: types.MatchLogic) -> prices.Pattern:
    match match:
        case types.ClauseEquals(equals=text):
            return prices.Is(text)
        case types.ClauseStartsWith(starts_with=text):
            return prices.StartsWith(text)
        case types.ClauseEndsWith(ends_with=text):
            return prices.EndsWith(text)
        case types.ClauseContains(contains=text):
            return prices.Contains(text)
        case types.ClauseRegex(regex=pattern):
            return prices.Matches(pattern)
        case types.ClauseOr(or_=parts):
            return prices.AnyOf(tuple(map(_pattern, parts)))
        case types.ClauseAnd(and_=parts):
            return prices.AllOf(tuple(map(_pattern, parts)))
    raise TypeError(f"a match of a new kind: {match!r}")


def _time_ns(time: dt.time) -> int:
    """Nanoseconds since midnight UTC; without a zone it is UTC."""
    offset = time.utcoffset() or dt.timedelta()
    since_midnight = dt.timedelta(
        hours=time.hour, minutes=time.minute, seconds=time.second, microseconds=time.microsecond
    )
    micros = (since_midnight - offset) % dt.timedelta(days=1) // dt.timedelta(microseconds=1)
    return micros * (NS_PER_SECOND // 10**6)
