"""`inferworks models`: the served models, and engines found on this machine."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from inferworks.catalog.providers import provider_catalog
from inferworks.cli.config_text import upstreams_toml
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table, say
from inferworks.cloud.offer import Rates
from inferworks.cloud.routing.policy import RoutePolicy
from inferworks.config import Config
from inferworks.folder import DataFolder
from inferworks.wiring import Planner
from inferworks.wiring.discover import discover
from inferworks.wiring.plan import OWN, Own, Place


@click.group()
def models() -> None:
    """List the models that are served, and those that could be."""


@models.command("list")
@config_option
@data_option
@json_option
def list_models(config_path: Path | None, data_path: Path | None, as_json: bool) -> None:
    """List each model with its offers, by the configuration. Prices are US dollars per million tokens.

    An offer of the second turn is tried when those of the first have failed; `x3` is its weight,
    the share of the calls beside others of its turn.

    \b
    Examples:
      inferworks models list
      inferworks models list --config production.toml --json
    """
    config = read_config(config_path, data_path)
    planner = Planner(None, DataFolder(Path(config.data.folder)))
    plan = planner.plan_offline(config, dt.datetime.now(dt.UTC).date())
    described: list[dict[str, Any]] = [
        {
            "model": model,
            "strategy": plan.policies.get(model, RoutePolicy()).strategy,
            "offers": [_offer(place, config) for place in plan.places[model]],
        }
        for model in sorted(plan.places)
    ]
    if as_json:
        print_json(described)
        return
    rows = []
    for model in described:
        strategy = f"({model['strategy']})" if len(model["offers"]) > 1 else ""
        rows.append((f"{model['model']} {strategy}".rstrip(), *[""] * 5))
        # the model's own before its fallbacks', and each by priority
        turns = sorted({(offer["fallback"], offer["priority"]) for offer in model["offers"]})
        for offer in model["offers"]:
            turn = str(turns.index((offer["fallback"], offer["priority"])) + 1)
            if offer["weight"] != 1:
                turn += f" x{offer['weight']:g}"
            where = (offer[key] or "-" for key in ("provider", "region", "chip"))
            price = " / ".join((offer["input_price"] or "-", offer["output_price"] or "-"))
            priced = "-" if offer["input_price"] is None else price
            rows.append((f"  {offer['offer']}", turn, *where, priced))
    print_table(("MODEL / OFFER", "TURN", "PROVIDER", "REGION", "CHIP", "IN / OUT"), rows)


@models.command("discover")
@json_option
def discover_models(as_json: bool) -> None:
    """Look for engines on this machine's usual ports, and print the configuration that serves them.

    Only this machine is asked, with GET /v1/models. With `discover = true` under [gateway] the gateway
    does so at each start and serves the models it finds.

    \b
    Examples:
      inferworks models discover
      inferworks models discover --json
    """
    found = asyncio.run(discover(provider_catalog().rows(dt.datetime.now(dt.UTC).date())))
    if as_json:
        print_json(
            [
                {
                    "provider": engine.provider,
                    "url": engine.url,
                    "models": engine.models,
                    "toml": upstreams_toml([engine.upstream]),
                }
                for engine in found
            ]
        )
    elif found:
        rows = [(engine.provider, engine.url, ", ".join(engine.models)) for engine in found]
        print_table(("ENGINE", "ADDRESS", "MODELS"), rows)
        say("", "To serve them, write into inferworks.toml:", "")
        say(*upstreams_toml(engine.upstream for engine in found).splitlines())
    else:
        say("No engine answers on its usual port (inferworks providers list --local).")


def _offer(place: Place, config: Config) -> Mapping[str, Any]:
    if isinstance(place, Own):
        return {
            "offer": f"{OWN}/{place.model}",
            "provider": OWN,
            "upstream_model": place.model,
            "url": None,
            "region": config.engine.region,
            "chip": config.engine.chip,
            "fallback": place.fallback,
            "priority": 0,
            "weight": 1.0,
            "on_leave": "cancel",
            **_prices(None),
        }
    return {
        "offer": place.id,
        "provider": place.seller,
        "upstream_model": place.upstream_model or place.model,
        "url": place.origin.url,
        "region": place.region or None,
        "chip": place.chip or None,
        "fallback": place.fallback,
        "priority": place.priority,
        "weight": place.weight,
        "on_leave": place.on_leave,
        **_prices(place.rates),
    }


def _prices(rates: Rates | None) -> Mapping[str, str | None]:
    """Dollars per million tokens: a picounit for one is a millionth of a dollar for a million."""
    if rates is None:
        return {"input_price": None, "output_price": None}
    return {"input_price": _dollars(rates.input_pico), "output_price": _dollars(rates.output_pico)}


def _dollars(pico: int) -> str:
    whole, millionths = divmod(pico, 10**6)
    text = f"{whole}.{millionths:06}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))
