"""Table by which the names on bills are read: the shipped one, with the rows of the configuration."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from inferworks.catalog.billing import Alias, BillingTable, SellerRow, shipped_table, with_own
from inferworks.catalog.providers import OPENAI_COMPATIBLE, provider_catalog
from inferworks.config import Config, Renamed
from inferworks.errors import ConfigError


def billing_table(config: Config) -> BillingTable:
    """The table that bills are read by. ConfigError for a row that says nothing."""
    # models that are billed by other names: as `[[billed]]` says, and as an upstream knows them
    renamed = [model for row in config.billed for model in row.models]
    for upstream in config.upstream:
        renamed += [model for model in upstream.models if isinstance(model, Renamed)]
    aliases = [Alias(billed=model.upstream, model=model.name) for model in renamed]
    return with_own(shipped_table(), _sellers(config), aliases)


def _sellers(config: Config) -> Iterator[SellerRow]:
    for number, row in enumerate(config.billed, start=1):
        if row.providers and (row.names or row.services):
            yield SellerRow(providers=row.providers, names=row.names, services=row.services)
        elif row.providers or row.names or row.services or not row.models:
            raise ConfigError(
                f"[[billed]] {number}: name the `providers` whose calls it is, and the `names` or "
                "`services` on the bill; or `models` alone"
            )
    for upstream in config.upstream:
        if upstream.billed_by:
            provider = provider_catalog().row(upstream.provider, dt.date.max)
            # the name by which the meter knows the provider of the upstream's calls
            metered = upstream.name if provider.id == OPENAI_COMPATIBLE else provider.seller
            yield SellerRow(providers=(metered,), names=upstream.billed_by)
