"""Plan of the services that the configuration asks for, checked as a whole before anything is opened.

A plan is a value. Making one reads secrets and nothing else, so `inferworks config check`, the start and
each reload refuse the same mistakes with the same words, and a reload that is refused has changed
nothing.

A model has *places*, in the order in which they are written: offers of upstreams, and our own replicas,
whose number and addresses are known only while they run. Upstreams that serve a model of the same name
are places of one model by default; a `[[model]]` table chooses among them, orders them and sets the
routing.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from inferworks.api.concurrency import NO_WEIGHTS, Fairness
from inferworks.catalog.facts import fact_catalog
from inferworks.catalog.providers import ProviderCatalog, ProviderRow
from inferworks.cloud.offer import Offer, Rates
from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy, Strategy
from inferworks.config import Breaker, Config, Model, Renamed, Upstream
from inferworks.errors import ConfigError, Mistakes
from inferworks.ids import ModelId, OfferId
from inferworks.money import PICO
from inferworks.wiring.drivers import check_driver
from inferworks.wiring.fairness import fairness_of
from inferworks.wiring.upstreams import Account, account_of, is_exposed

EMBEDDED_MODEL = ModelId("inferworks-tiny")
OWN = "inferworks"
"""The provider that speaks to our own replicas, and their name in `offers`."""

RatesOf = Callable[[str, str], Rates | None]
"""The list price of a seller's model; None when it is not known."""


@dataclass(frozen=True, slots=True)
class Own:
    """A place taken by whichever of our own replicas of `model` are ready."""

    model: ModelId
    fallback: int = 0
    lenient: bool = False


Place = Offer | Own


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is served beyond our own replicas."""

    accounts: tuple[Account, ...]
    places: Mapping[ModelId, tuple[Place, ...]]
    policies: Mapping[ModelId, RoutePolicy]
    """Routing policies of models with a `[[model]]` table."""
    breaker: BreakerPolicy
    fairness: Fairness = NO_WEIGHTS

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is allowed and dangerous."""
        return tuple(
            f"upstream {account.name}: {account.origin.url} has no TLS: calls and the key can be read "
            "on their way; use https://"
            for account in self.accounts
            if is_exposed(account.origin)
        )


def make_plan(
    config: Config,
    environment: Mapping[str, str] | None,
    catalog: ProviderCatalog,
    rates_of: RatesOf,
    *,
    own: Sequence[ModelId],
    day: dt.date,
) -> Plan:
    """The plan of `config`; ConfigError for every mistake that is none of another's making.

    `own` are the models of our own replicas. Without an `environment` no key is looked for: such a plan
    can be shown and not served.
    """
    mistakes = Mistakes()
    with mistakes.noted():
        _refuse_twice("upstream", [OWN, *(upstream.name for upstream in config.upstream)])
    with mistakes.noted():
        _refuse_twice("model", [model.name for model in config.model])
    accounts: list[Account] = []
    places: dict[ModelId, list[Place]] = {model: [Own(model)] for model in own}
    named: dict[str, Place] = {f"{OWN}/{model}": Own(model) for model in own}
    for upstream in config.upstream:
        # stand in for a faulty upstream's models, so that references to them are not faults, too
        names = [ModelId(_renamed(model)[0]) for model in upstream.models]
        found: Sequence[tuple[str, Place]]
        found = [(f"{upstream.name}/{name}", Own(name)) for name in names]
        with mistakes.noted():
            account = account_of(upstream, _row(upstream, catalog, day), environment)
            check_driver(account)
            found = [(offer.id, offer) for offer in _offers(upstream, account, rates_of, day)]
            accounts.append(account)
        named.update(found)
        for _, place in found:
            places.setdefault(place.model, []).append(place)
    chosen = {model: tuple(of_name) for model, of_name in places.items()}
    for model in config.model:
        chosen[ModelId(model.name)] = ()  # whatever is wrong with it, others may fall back to it
        with mistakes.noted():
            chosen[ModelId(model.name)] = _chosen(model, places, named)
    policies: dict[ModelId, RoutePolicy] = {}
    routed = dict(chosen)
    for model in config.model:
        with mistakes.noted():
            routed[ModelId(model.name)] = _with_fallbacks(model, chosen)
        with mistakes.noted():
            policies[ModelId(model.name)] = policy_of(model)
    with mistakes.noted():
        breaker = breaker_of(config.breaker)
    with mistakes.noted():
        fairness = fairness_of(config.fairness)
    mistakes.refuse()
    return Plan(tuple(accounts), routed, policies, breaker, fairness)


def policy_of(model: Model) -> RoutePolicy:
    """Return the routing policy of `model`; ConfigError for an unknown strategy."""
    known = [strategy.value for strategy in Strategy]
    if model.strategy not in known:
        raise ConfigError(
            f"model {model.name}: unknown strategy {model.strategy!r}{_near(model.strategy, known)}"
        )
    return RoutePolicy(
        strategy=Strategy(model.strategy),
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
    """Return the policy of the circuit breaker; ConfigError when its settings contradict each other."""
    return BreakerPolicy(
        failures_in_row=breaker.failures_in_row,
        failure_share=breaker.failure_share,
        least_calls=breaker.least_calls,
        window_s=breaker.window_s,
        cool_down_s=breaker.cool_down_s,
        longest_cool_down_s=breaker.longest_cool_down_s,
    )


def _row(upstream: Upstream, catalog: ProviderCatalog, day: dt.date) -> ProviderRow:
    try:
        return catalog.row(upstream.provider, day)
    except ConfigError as error:
        raise ConfigError(f"upstream {upstream.name}: {error}") from None


def _offers(
    upstream: Upstream, account: Account, rates_of: RatesOf, day: dt.date
) -> Iterable[Offer]:
    """An offer for each model of `upstream`."""
    models = [_renamed(model) for model in upstream.models]
    _refuse_twice(f"upstream {upstream.name}: model", [name for name, _ in models])
    own_rates: Rates | None = None
    prices = (upstream.input_price, upstream.output_price)
    if all(prices):
        own_rates = Rates(*(int(Decimal(price) * PICO / 10**6) for price in prices))
    elif any(prices):
        raise ConfigError(f"upstream {upstream.name}: set input_price and output_price, or neither")
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
            facts=fact_catalog().facts(account.row.id, upstream_name, day, known_as=name),
        )


def _renamed(model: str | Renamed) -> tuple[str, str]:
    """A model's name here and at its upstream."""
    return (model, model) if isinstance(model, str) else (model.name, model.upstream)


def _chosen(
    model: Model, places: Mapping[ModelId, Sequence[Place]], named: Mapping[str, Place]
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
    there = sorted({offer.region or "unknown" for offer in offers})
    may_run = any(region.startswith(model.regions) for region in there)
    if model.regions and len(offers) == len(found) and not may_run:
        raise ConfigError(
            f"model {model.name}: none of its offers runs in {' or '.join(model.regions)}; "
            f"they run in: {', '.join(there)} (upstream.region)"
        )
    return tuple(_as(place, model, 0) for place in found)


def _with_fallbacks(model: Model, chosen: Mapping[ModelId, tuple[Place, ...]]) -> tuple[Place, ...]:
    """The places of `model`, then those of each of its fallbacks."""
    name = ModelId(model.name)
    found = list(chosen[name])
    for number, fallback in enumerate(model.fallbacks, 1):
        if fallback == name:
            raise ConfigError(
                f"model {model.name}: it falls back to itself; name another model, or none"
            )
        if fallback not in chosen:
            raise ConfigError(
                f"model {model.name}: no other model {fallback!r} to fall back to{_near(fallback, chosen)}"
            )
        found += [_as(place, model, number) for place in chosen[ModelId(fallback)]]
    return tuple(found)


def _as(place: Place, model: Model, fallback: int) -> Place:
    """`place` for callers of `model`, as one of its own or of that fallback."""
    if isinstance(place, Own):
        return Own(place.model, fallback, model.lenient)
    name = ModelId(model.name)
    known_as = place.upstream_model or place.model
    return msgspec.structs.replace(
        place,
        model=name,
        upstream_model="" if known_as == name else known_as,
        fallback=fallback,
        lenient=model.lenient,
    )


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"{what} {name!r} is there twice; choose another name")
        seen.add(name)


def _near(name: str, known: Iterable[str]) -> str:
    """Return a hint at the probably intended name."""
    options = list(known)
    close = difflib.get_close_matches(name, options, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(sorted(options)[:8])}" if options else ""
