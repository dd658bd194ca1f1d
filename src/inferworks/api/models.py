"""`GET /v1/models`: what is served here.

OpenAI and Anthropic have it at the same path. Anthropic's clients are known by the version that they name.
"""

from __future__ import annotations

from urllib.parse import unquote

from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.api.errors import identify, style_of
from inferworks.api.wire.anthropic_models import anthropic_model, anthropic_models
from inferworks.api.wire.openai_models import openai_model, openai_models
from inferworks.errors import CallError
from inferworks.http.server import Exchange

_ANTHROPICS = b"anthropic-version"
"""Header of every request by a client of Anthropic's."""


async def models(exchange: Exchange, context: AppContext) -> None:
    """List the models that the key may call."""
    identify(exchange, style_of(exchange))
    key = authenticate(exchange, context.keyring, context.clock)
    page_of = anthropic_models if _ANTHROPICS in exchange.headers else openai_models
    found = [name for name in context.catalogue.models() if key.may_call(name)]
    await exchange.respond(200, page_of(found, exchange.query))


async def model(exchange: Exchange, context: AppContext) -> None:
    """Describe one model: `GET /v1/models/{model}`."""
    identify(exchange, style_of(exchange))
    key = authenticate(exchange, context.keyring, context.clock)
    name = unquote(exchange.path.removeprefix("/v1/models/"))
    if name not in context.catalogue.models() or not key.may_call(name):
        raise CallError(
            404, f"The model '{name[:256]}' does not exist.", code="model_not_found", param="model"
        )
    model_of = anthropic_model if _ANTHROPICS in exchange.headers else openai_model
    await exchange.respond(200, model_of(name))
