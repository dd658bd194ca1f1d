"""The API as a table: which handler answers which request."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from inferworks.api.door import Door, Endpoint
from inferworks.api.errors import answer_error, as_call_error
from inferworks.api.events import events
from inferworks.api.health import health
from inferworks.api.metered import metered
from inferworks.api.metrics import PATH as METRICS
from inferworks.api.metrics import metrics
from inferworks.api.models import model, models
from inferworks.api.openapi import PATH as OPENAPI
from inferworks.api.openapi import Routes, openapi
from inferworks.api.responses import not_kept
from inferworks.api.wire.anthropic import COUNT_TOKENS, MESSAGES
from inferworks.api.wire.base import ErrorStyle, Form
from inferworks.api.wire.openai_audio import SPEECH, TRANSCRIPTIONS
from inferworks.api.wire.openai_chat import CHAT
from inferworks.api.wire.openai_completions import COMPLETIONS
from inferworks.api.wire.openai_embeddings import EMBEDDINGS
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.api.wire.openai_images import IMAGE_EDITS, IMAGES
from inferworks.api.wire.openai_moderations import MODERATIONS
from inferworks.api.wire.openai_responses import RESPONSES
from inferworks.api.wire.rerank import RERANK
from inferworks.api.wire.stability import STABLE_IMAGE_CORE, STABLE_IMAGE_SD3, STABLE_IMAGE_ULTRA
from inferworks.errors import CallError, UpstreamError
from inferworks.http.server import ClientGone, Exchange, Handler

FORMS: dict[str, Form] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/moderations": MODERATIONS,
    "/v1/rerank": RERANK,
    "/v2/rerank": RERANK,
    "/v1/images/generations": IMAGES,
    "/v1/images/edits": IMAGE_EDITS,
    "/v1/audio/speech": SPEECH,
    "/v1/audio/transcriptions": TRANSCRIPTIONS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v2beta/stable-image/generate/core": STABLE_IMAGE_CORE,
    "/v2beta/stable-image/generate/ultra": STABLE_IMAGE_ULTRA,
    "/v2beta/stable-image/generate/sd3": STABLE_IMAGE_SD3,
}
"""Path -> the form of the calls that are made there, with POST."""

_ROUTES: Routes = {
    **{path: {"POST": metered(form)} for path, form in FORMS.items()},
    "/v1/models": {"GET": models},
    "/v1/models/": {"GET": model},
    "/v1/responses/": {"GET": not_kept, "POST": not_kept, "DELETE": not_kept},
    "/v1/usage/events": {"POST": events},
    "/health": {"GET": health, "HEAD": health},
    METRICS: {"GET": metrics},
}
ROUTES: Routes = {**_ROUTES, OPENAPI: {"GET": openapi(_ROUTES, FORMS)}}
"""Path -> method -> endpoint. A path that ends in `/` stands for everything below it."""

_log = logging.getLogger("inferworks.api")


def app(door: Door) -> Handler:
    """The handler of every request that comes through `door`."""

    async def handle(exchange: Exchange) -> None:
        try:
            await _endpoint(exchange)(exchange, door)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the client gets an answer
            if not isinstance(error, CallError | UpstreamError):
                _log.exception("%s %s failed", exchange.method, exchange.path)
            # Where an answer has begun there is nothing to say: the server cuts what is not finished.
            await answer_error(exchange, as_call_error(error), _errors(exchange.path))

    return handle


def _endpoint(exchange: Exchange) -> Endpoint:
    method = exchange.method
    methods = ROUTES.get(exchange.path)
    if methods is None or exchange.path.endswith("/"):
        methods = _below(exchange.path)
    endpoint = methods.get(method)
    if endpoint is not None:
        return endpoint
    path = exchange.path[:200]
    if not methods:
        raise CallError(404, f"Invalid URL ({method} {path})")
    allowed = ", ".join(methods)
    raise CallError(405, f"Not allowed to {method} on {path}; use {allowed}.",
                    code="method_not_supported")  # fmt: skip


def _errors(path: str) -> ErrorStyle:
    """How clients of `path` want to be told of errors."""
    form = FORMS.get(path)
    return OPENAI_ERRORS if form is None else form.errors


def _below(path: str) -> Mapping[str, Endpoint]:
    """The methods of the route above `path` that stands for all below it; none when there is no such."""
    above = (route for route in ROUTES if route.endswith("/") and path.startswith(route))
    return next((ROUTES[route] for route in above if path != route), {})
