"""`GET /v1/models`: what is served here."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from inferworks.api.auth import authenticate
from inferworks.api.door import Door
from inferworks.api.wire.openai_models import model_body, models_body
from inferworks.errors import CallError
from inferworks.http.server import Exchange


async def models(exchange: Exchange, door: Door) -> None:
    """List the models."""
    authenticate(exchange.headers, door.keyring)
    await exchange.respond(200, models_body(door.catalogue.models()))


async def model(exchange: Exchange, door: Door) -> None:
    """Describe one model: `GET /v1/models/{model}`."""
    authenticate(exchange.headers, door.keyring)
    name = unquote(exchange.path.removeprefix("/v1/models/"))
    if name not in door.catalogue.models():
        raise CallError(
            404, f"The model '{name[:256]}' does not exist.", code="model_not_found", param="model"
        )
    await exchange.respond(200, msgspec.json.encode(model_body(name)))
