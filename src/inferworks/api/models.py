"""`GET /v1/models`: what is served here.

OpenAI and Anthropic have it at the same path. Anthropic's clients are known by the version that they name.
"""

from __future__ import annotations

from urllib.parse import unquote

from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.api.errors import identify, style_of
from inferworks.api.wire.anthropic_models import ANTHROPIC_MODELS
from inferworks.api.wire.base import ModelList
from inferworks.api.wire.openai_models import OPENAI_MODELS
from inferworks.errors import CallError
from inferworks.http.server import Exchange


async def models(exchange: Exchange, context: AppContext) -> None:
    """List the models."""
    identify(exchange, style_of(exchange))
    authenticate(exchange.headers, context.keyring)
    page = _words(exchange).several(context.catalogue.models(), exchange.query)
    await exchange.respond(200, page)


async def model(exchange: Exchange, context: AppContext) -> None:
    """Describe one model: `GET /v1/models/{model}`."""
    identify(exchange, style_of(exchange))
    authenticate(exchange.headers, context.keyring)
    name = unquote(exchange.path.removeprefix("/v1/models/"))
    if name not in context.catalogue.models():
        raise CallError(
            404, f"The model '{name[:256]}' does not exist.", code="model_not_found", param="model"
        )
    await exchange.respond(200, _words(exchange).one(name))


def _words(exchange: Exchange) -> ModelList:
    return ANTHROPIC_MODELS if b"anthropic-version" in exchange.headers else OPENAI_MODELS
