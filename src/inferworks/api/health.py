"""`GET /health`: whether calls can be served. Open to all, so it tells nothing about customers."""

from __future__ import annotations

import msgspec

from inferworks import __version__
from inferworks.api.door import Door
from inferworks.http.server import Exchange


async def health(exchange: Exchange, door: Door) -> None:
    """200 while every model has an offer that is ready, else 503."""
    ready = all(door.catalogue.offers(model) for model in door.catalogue.models())
    body = {
        "status": "ok" if ready else "starting",
        "version": __version__,
        "replicas": door.catalogue.status(),
        "running_calls": door.gate.running,
    }
    await exchange.respond(200 if ready else 503, msgspec.json.encode(body))
