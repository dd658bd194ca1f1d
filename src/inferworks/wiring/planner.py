"""Making of plans from configurations on this machine: its price lists, its engines, the day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec

from inferworks.catalog.providers import provider_catalog
from inferworks.config import Config
from inferworks.folder import DataFolder
from inferworks.supervise import beside
from inferworks.wiring.discover import discover, unknown_to
from inferworks.wiring.plan import EMBEDDED_MODEL, Plan, make_plan
from inferworks.wiring.rates import ListRates


class Planner:
    """Maker of plans from configurations, for this machine and this data folder."""

    def __init__(self, environment: Mapping[str, str] | None, folder: DataFolder) -> None:
        self._environment = environment
        self._catalog = provider_catalog()
        self.rates = ListRates(folder.price_books)

    async def plan(self, config: Config) -> Plan:
        """The plan of `config`, with the engines found here if it wants them; ConfigError if wrong."""
        whole = await self.with_found(config)
        day = dt.datetime.now(dt.UTC).date()
        return await beside("plan", lambda: self.plan_offline(whole, day))

    async def with_found(self, config: Config) -> Config:
        """`config` with the engines found here if it wants them, and not wanting them any more."""
        if not config.gateway.discover:
            return config
        day = dt.datetime.now(dt.UTC).date()
        found = await discover(self._catalog.rows(day), skip=[config.gateway.port])
        upstreams = (*config.upstream, *unknown_to(config.upstream, found))
        gateway = msgspec.structs.replace(config.gateway, discover=False)
        return msgspec.structs.replace(config, gateway=gateway, upstream=upstreams)

    def plan_offline(self, config: Config, day: dt.date) -> Plan:
        """The plan of `config` as it stands."""
        own = [EMBEDDED_MODEL] if config.engine.replicas else []
        rates_of = self.rates.now()
        return make_plan(config, self._environment, self._catalog, rates_of, own=own, day=day)
