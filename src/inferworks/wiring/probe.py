"""Check that an upstream can be reached with its key: `GET /models`, which is free everywhere.

Where there is no such list (Bedrock, Vertex) the probe only fetches keys or a token: a profile that is
empty, a file that was revoked and a wrong secret show there. Azure lists models, but not the names of
their deployments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing

import msgspec

from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.anthropic import VERSION
from inferworks.errors import ConfigError, UpstreamError
from inferworks.http.client import HttpClient, Timeouts
from inferworks.wiring.discover import models_at
from inferworks.wiring.drivers import credential_of
from inferworks.wiring.plan import Plan
from inferworks.wiring.upstreams import Account, tls_of

_LISTING = frozenset({"openai", "anthropic", "azure"})
"""Drivers whose APIs list their models at `/models` and take the key alone."""


_TIMEOUTS = Timeouts(first_byte_s=10.0, between_bytes_s=10.0)


class Probed(msgspec.Struct, frozen=True):
    """Result of probing one upstream."""

    upstream: str
    ok: bool
    what: str


async def probe_all(plan: Plan) -> Sequence[Probed]:
    """Probe every upstream of `plan`, all at once."""
    return await asyncio.gather(*(probe(account, plan) for account in plan.accounts))


async def probe(account: Account, plan: Plan) -> Probed:
    """Ask `account` for its models, and compare them with those that `plan` needs."""
    url = f"{account.origin.url}/models"
    try:
        version = [(b"anthropic-version", VERSION)] if account.row.driver == "anthropic" else []
        headers = await credential_of(account).headers("GET", url, version, b"")
        if account.row.driver not in _LISTING or account.row.api_version:
            what = f"has credentials; not asked: {account.row.id} lists no models at /models"
            return Probed(account.name, True, what)
        with closing(HttpClient(_TIMEOUTS, tls=tls_of(account))) as client:
            listed = {model.id for model in await models_at(client, account.origin, headers)}
    except (ConfigError, UpstreamError) as error:
        return Probed(account.name, False, str(error))
    places = (place for places in plan.places.values() for place in places)
    offers = (place for place in places if isinstance(place, Offer))
    wanted = {o.upstream_model or o.model for o in offers if o.provider == account.name}
    missing = [] if account.row.driver == "azure" else sorted(wanted - listed)
    if missing:
        return Probed(account.name, False, f"it does not list {', '.join(missing)}")
    return Probed(account.name, True, f"lists {len(listed)} models")
