"""What the configuration asks to be served: checked as a whole, before anything is opened.

A plan is a value. Making one reads secrets and nothing else, so `inferworks config check`, the start and
each reload refuse the same mistakes with the same words, and a reload that is refused has changed
nothing.

A model has *places*, in the order in which they are written: offers of upstreams, and our own replicas,
whose number and addresses are known only while they run. Upstreams that serve a model of the same name
are places of one model without a word; a `[[model]]` table chooses among them, orders them and says how
to route.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from inferworks.catalog.providers import ProviderCatalog, ProviderRow
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.config import Breaker, Config, Model, Renamed, Upstream
from inferworks.errors import ConfigError
from inferworks.ids import ModelId, OfferId
from inferworks.money import PICO
from inferworks.wiring.drivers import check_driver
from inferworks.wiring.upstreams import Account, account_of, is_exposed

EMBEDDED_MODEL = ModelId("inferworks-tiny")
OWN = "inferworks"
"""The provider that speaks to our own replicas, and their name in `offers`."""
_FALLBACK_STEP = 1_000_000
"""How far apart the priorities of a model and of its fallbacks are."""

RatesOf = Callable[[str, str], Rates | None]
"""The list price of a seller's model; None when it is not known."""


@dataclass(frozen=True, slots=True)
class Own:
    """A place taken by whichever of our own replicas of `model` are ready."""

    model: ModelId
    priority: int = 0


Place = Offer | Own


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is served beyond our own replicas."""

    accounts: tuple[Account, ...]
    places: Mapping[ModelId, tuple[Place, ...]]
    policies: Mapping[ModelId, RoutePolicy]
    """How models with a `[[model]]` table are routed."""
    breaker: BreakerPolicy
    warnings: tuple[str, ...]


def make_plan(
    config: Config,
    environment: Mapping[str, str] | None,
    catalog: ProviderCatalog,
    rates_of: RatesOf,
    *,
    own: Sequence[ModelId],
    day: dt.date,
) -> Plan:
    """The plan of `config`; ConfigError for the first mistake, or for every upstream that lacks something.

    `own` are the models of our own replicas. Without an `environment` no key is looked for: such a plan
    can be shown and not served.
    """
    _refuse_twice("upstream", [OWN, *(upstream.name for upstream in config.upstream)])
    _refuse_twice("model", [model.name for model in config.model])
    rows = {u.name: _row(u, catalog, day) for u in config.upstream}
    accounts = _accounts(config.upstream, rows, environment)
    offers = [
        offer
        for upstream, account in zip(config.upstream, accounts, strict=True)
        for offer in _offers(upstream, account, rates_of)
    ]
    places = _by_name(offers, own)
    named: dict[str, Place] = {f"{OWN}/{model}": Own(model) for model in own}
    named |= {offer.id: offer for offer in offers}
    chosen = {**places, **{ModelId(m.name): _chosen(m, places, named) for m in config.model}}
    return Plan(
        accounts,
        chosen | {ModelId(m.name): _with_fallbacks(m, chosen) for m in config.model},
        {ModelId(m.name): policy_of(m) for m in config.model},
        breaker_of(config.breaker),
        tuple(_warnings(accounts)),
    )


def policy_of(model: Model) -> RoutePolicy:
    """How the calls of `model` are routed; ConfigError for a strategy that there is not."""
    return RoutePolicy(
        strategy=_strategy(model),
        regions=model.regions,
        attempts=model.attempts,
        tries_per_offer=model.tries_per_offer,
        backoff_ms=model.backoff_ms,
        deadline_s=model.deadline_s or None,
        hedge_after_ms=model.hedge_after_ms or None,
        hedge_share=model.hedge_share,
        hedge_prompt_bytes=model.hedge_prompt_bytes,
        prefix_bytes=model.prefix_bytes,
        spill_above=model.spill_above,
        spill_factor=model.spill_factor,
        latency_bound_ms=model.latency_bound_ms,
        expected_output_tokens=model.expected_output_tokens,
    )


def breaker_of(breaker: Breaker) -> BreakerPolicy:
    """When an offer is left alone; ConfigError when that makes no sense."""
    return BreakerPolicy(
        failures_in_row=breaker.failures_in_row,
        failure_share=breaker.failure_share,
        least_calls=breaker.least_calls,
        window_s=breaker.window_s,
        cool_down_s=breaker.cool_down_s,
        longest_cool_down_s=breaker.longest_cool_down_s,
    )


def _strategy(model: Model) -> Strategy:
    known = [strategy.value for strategy in Strategy]
    if model.strategy not in known:
        raise ConfigError(
            f"model {model.name}: unknown strategy {model.strategy!r}{_near(model.strategy, known)}"
        )
    return Strategy(model.strategy)


def _row(upstream: Upstream, catalog: ProviderCatalog, day: dt.date) -> ProviderRow:
    try:
        return catalog.row(upstream.provider, day)
    except ConfigError as error:
        raise ConfigError(f"upstream {upstream.name}: {error}") from None


def _accounts(
    upstreams: Iterable[Upstream],
    rows: Mapping[str, ProviderRow],
    environment: Mapping[str, str] | None,
) -> tuple[Account, ...]:
    """An account for each upstream. Keys that are not there are told all at once."""
    accounts: list[Account] = []
    wrong: list[str] = []
    for upstream in upstreams:
        try:
            account = account_of(upstream, rows[upstream.name], environment)
            check_driver(account)
            accounts.append(account)
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        several = f"{len(wrong)} upstreams cannot be served:"
        raise ConfigError(wrong[0] if len(wrong) == 1 else "\n  ".join([several, *wrong]))
    return tuple(accounts)


def _offers(upstream: Upstream, account: Account, rates_of: RatesOf) -> Iterable[Offer]:
    """An offer for each model of `upstream`."""
    models = [_renamed(model) for model in upstream.models]
    _refuse_twice(f"upstream {upstream.name}: model", [name for name, _ in models])
    own_rates = _own_rates(upstream)
    for name, upstream_name in models:
        yield Offer(
            id=OfferId(f"{upstream.name}/{name}"),
            model=ModelId(name),
            provider=upstream.name,
            origin=account.origin,
            region=upstream.region,
            chip=upstream.chip or account.row.chip,
            upstream_model="" if upstream_name == name else upstream_name,
            priority=upstream.priority,
            weight=upstream.weight,
            capacity=upstream.max_calls or None,
            seller=account.seller,
            on_leave=upstream.on_leave or account.row.on_leave,
            rates=own_rates or rates_of(account.seller, upstream_name),
        )


def _renamed(model: str | Renamed) -> tuple[str, str]:
    """A model's name here and at its upstream."""
    return (model, model) if isinstance(model, str) else (model.name, model.upstream)


def _own_rates(upstream: Upstream) -> Rates | None:
    """The prices that `upstream` names; None when it names none."""
    prices = (upstream.input_price, upstream.output_price)
    if not any(prices):
        return None
    if not all(prices):
        raise ConfigError(f"upstream {upstream.name}: set input_price and output_price, or neither")
    input_pico, output_pico = (int(Decimal(price) * PICO / 10**6) for price in prices)
    return Rates(input_pico, output_pico)


def _by_name(offers: Iterable[Offer], own: Iterable[ModelId]) -> dict[ModelId, tuple[Place, ...]]:
    """The places of each model, our own replicas first."""
    places: dict[ModelId, list[Place]] = {model: [Own(model)] for model in own}
    for offer in offers:
        places.setdefault(offer.model, []).append(offer)
    return {model: tuple(found) for model, found in places.items()}


def _chosen(
    model: Model, places: Mapping[ModelId, tuple[Place, ...]], named: Mapping[str, Place]
) -> tuple[Place, ...]:
    """The places that `model` names, else all of its name, as far as its regions allow."""
    name = ModelId(model.name)
    for offer in model.offers:
        if offer not in named:
            raise ConfigError(
                f"model {model.name}: no upstream offers {offer!r}{_near(offer, named)}"
            )
    found = [named[offer] for offer in model.offers] or list(places.get(name, ()))
    if not found:
        raise ConfigError(f"model {model.name}: no upstream serves it; name its offers")
    offers = [place for place in found if isinstance(place, Offer)]
    if model.regions and len(offers) == len(found):
        _refuse_nowhere(model, offers)
    return tuple(_as(place, name, 0) for place in found)


def _refuse_nowhere(model: Model, offers: Iterable[Offer]) -> None:
    """ConfigError when no offer runs where `model` may run."""
    there = sorted({offer.region or "unknown" for offer in offers})
    if not any(region.startswith(model.regions) for region in there):
        raise ConfigError(
            f"model {model.name}: none of its offers runs in {' or '.join(model.regions)}; "
            f"they run in: {', '.join(there)} (upstream.region)"
        )


def _with_fallbacks(model: Model, chosen: Mapping[ModelId, tuple[Place, ...]]) -> tuple[Place, ...]:
    """The places of `model`, then those of each of its fallbacks, each set behind the one before."""
    name = ModelId(model.name)
    found = list(chosen[name])
    for step, fallback in enumerate(model.fallbacks, 1):
        if fallback not in chosen or fallback == name:
            raise ConfigError(
                f"model {model.name}: no other model {fallback!r} to fall back to{_near(fallback, chosen)}"
            )
        behind = step * _FALLBACK_STEP
        found += [_as(place, name, behind) for place in chosen[ModelId(fallback)]]
    return tuple(found)


def _as(place: Place, model: ModelId, behind: int) -> Place:
    """`place` for callers of `model`, so far behind the others."""
    priority = place.priority + behind
    if isinstance(place, Own):
        return Own(place.model, priority)
    known_as = place.upstream_model or place.model
    upstream_model = "" if known_as == model else known_as
    return msgspec.structs.replace(
        place, model=model, upstream_model=upstream_model, priority=priority
    )


def _warnings(accounts: Iterable[Account]) -> Iterable[str]:
    for account in accounts:
        if is_exposed(account.origin):
            yield (
                f"upstream {account.name}: {account.origin.url} has no TLS: calls and the key can be read "
                "on their way; use https://"
            )


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{what} {name!r} is there twice; choose another name")
        seen.add(name)


def _near(name: str, known: Iterable[str]) -> str:
    """A hint at what was probably meant."""
    options = list(known)
    close = difflib.get_close_matches(name, options, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(sorted(options)[:8])}" if options else ""
