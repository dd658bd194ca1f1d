"""The API as a table: which handler answers which request."""

from __future__ import annotations

import logging

from inferworks.api.admission import authenticate
from inferworks.api.coded import CODED, check_coding
from inferworks.api.context import AppContext, Endpoint
from inferworks.api.errors import answer_error, as_call_error, identify, refused, style_of
from inferworks.api.events import events
from inferworks.api.health import health, livez, readyz
from inferworks.api.inference import CALL_ID, inference_endpoint
from inferworks.api.limits import limits
from inferworks.api.metrics import PATH as METRICS
from inferworks.api.metrics import metrics
from inferworks.api.models import model, models
from inferworks.api.openapi import PATH as OPENAPI
from inferworks.api.openapi import Routes, document, openapi
from inferworks.api.pages import HOME, REFERENCE, home, reference
from inferworks.api.paths import meant_by, near
from inferworks.api.responses import not_kept
from inferworks.api.shipments import shipments
from inferworks.api.usage import usage
from inferworks.api.wire.anthropic import COUNT_TOKENS, MESSAGES
from inferworks.api.wire.base import EndpointSpec
from inferworks.api.wire.openai_audio import SPEECH, TRANSCRIPTIONS, TRANSLATIONS
from inferworks.api.wire.openai_chat import CHAT
from inferworks.api.wire.openai_completions import COMPLETIONS
from inferworks.api.wire.openai_embeddings import EMBEDDINGS
from inferworks.api.wire.openai_images import IMAGE_EDITS, IMAGES
from inferworks.api.wire.openai_moderations import MODERATIONS
from inferworks.api.wire.openai_responses import INPUT_TOKENS, RESPONSES
from inferworks.api.wire.rerank import RERANK
from inferworks.api.wire.stability import STABLE_IMAGE_CORE, STABLE_IMAGE_SD3, STABLE_IMAGE_ULTRA
from inferworks.errors import (
    CallError,
    DamagedError,
    JournalError,
    MethodError,
    RecordError,
    UpstreamError,
)
from inferworks.http.server import (
    Admission,
    Admit,
    ClientGone,
    Exchange,
    Handler,
    Refused,
    RequestHead,
)
from inferworks.ids import new_id
from inferworks.observe.access import RefusedRequest

FORMS: dict[str, EndpointSpec] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/responses/input_tokens": INPUT_TOKENS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/moderations": MODERATIONS,
    "/v1/rerank": RERANK,
    "/v2/rerank": RERANK,
    "/v1/images/generations": IMAGES,
    "/v1/images/edits": IMAGE_EDITS,
    "/v1/audio/speech": SPEECH,
    "/v1/audio/transcriptions": TRANSCRIPTIONS,
    "/v1/audio/translations": TRANSLATIONS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
    "/v2beta/stable-image/generate/core": STABLE_IMAGE_CORE,
    "/v2beta/stable-image/generate/ultra": STABLE_IMAGE_ULTRA,
    "/v2beta/stable-image/generate/sd3": STABLE_IMAGE_SD3,
}
"""Path -> the form of the calls that are made there, with POST."""

SHIPMENTS = "/v1/usage/shipments"
_ROUTES: Routes = {
    **{path: {"POST": inference_endpoint(form)} for path, form in FORMS.items()},
    "/v1/models": {"GET": models},
    "/v1/models/": {"GET": model},
    "/v1/responses/": {"GET": not_kept, "POST": not_kept, "DELETE": not_kept},
    "/v1/usage": {"GET": usage},
    "/v1/limits": {"GET": limits},
    "/v1/usage/events": {"POST": events},
    SHIPMENTS: {"POST": shipments},
    "/health": {"GET": health, "HEAD": health},
    "/healthz": {"GET": livez, "HEAD": livez},
    "/livez": {"GET": livez, "HEAD": livez},
    "/readyz": {"GET": readyz, "HEAD": readyz},
    METRICS: {"GET": metrics},
}
ROUTES: Routes = {**_ROUTES, OPENAPI: {"GET": openapi(_ROUTES, FORMS)}}
"""Path -> method -> endpoint. A path that ends in `/` stands for everything below it."""

_CALLS = {("POST", path): ROUTES[path]["POST"] for path in FORMS}
"""Endpoints of calls, to be found with one look-up."""

_PAGES: Routes = {
    path: {"GET": page, "HEAD": page}
    for path, page in {HOME: home, REFERENCE: reference(document(_ROUTES, FORMS))}.items()
}
"""Pages for people, which are no part of the API."""

_OPEN = frozenset({"/health", "/healthz", "/livez", "/readyz", OPENAPI, *_PAGES})
"""Paths that need no key."""
_BODY_FOR_NOTHING = Admission(body_bytes=4096)
"""Limits of a body that comes with a request that needs none."""

_log = logging.getLogger("inferworks.api")


def app(context: AppContext) -> Handler:
    """Return the handler of every request."""
    cors = context.cors

    async def handle(exchange: Exchange) -> None:
        try:
            if cors is not None:  # the answer says whether its page may see it
                headers = exchange.headers
                exchange.extra_headers = cors.allowing(headers)
                allowed = cors.preflight(headers) if exchange.method == "OPTIONS" else None
                if allowed is not None:
                    await exchange.respond(200, b"", b"text/plain", allowed)
                    return
            method, path = exchange.method, exchange.path
            endpoint = _CALLS.get((method, path)) or _endpoint(method, path)
            await endpoint(exchange, context)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the client gets an answer
            # others are reported elsewhere: to the caller, or by the journal once
            is_expected = isinstance(error, CallError | UpstreamError | JournalError)
            if not is_expected or isinstance(error, RecordError):
                _log.exception("%s %s failed", exchange.method, exchange.path)
            call_error, style = as_call_error(error), style_of(exchange)
            is_in_doubt = isinstance(error, JournalError | DamagedError)
            if is_in_doubt:  # nobody may look for a record by it
                exchange.extra_headers = [
                    pair for pair in exchange.extra_headers if pair[0] != CALL_ID
                ]
            if not exchange.is_call or is_in_doubt:
                _refused(context, exchange, call_error, identify(exchange, style))
            # Where an answer has begun there is nothing to say: the server cuts what is not finished.
            await answer_error(exchange, call_error, style)

    return handle


def _refused(
    context: AppContext, request: RequestHead | Exchange, error: CallError, request_id: str
) -> None:
    """Report a refused request that leaves no record, or whose record is in doubt."""
    if context.on_refused is not None:
        at_ns, status = context.clock.now_ns(), error.status
        refused_request = RefusedRequest(
            at_ns, request.method, request.path, status, error.code, request_id=request_id
        )
        context.on_refused(refused_request)


def admit(context: AppContext) -> Admit:
    """Return the function that admits or refuses a request's body by the request's head.

    A refusal has the status and words that the endpoint would give: no such path or method; a key that is
    missing, unknown, revoked or for something else; a body in a coding that is not accepted. Such requests
    leave no record either way.
    """

    def decide(head: RequestHead) -> Admission | Refused:
        try:
            if context.cors is not None and head.method == "OPTIONS":
                return _BODY_FOR_NOTHING
            _endpoint(head.method, head.path)
            if head.path in _OPEN:
                return _BODY_FOR_NOTHING
            monitor, ships = head.path == METRICS, head.path == SHIPMENTS
            key = authenticate(head, context.keyring, context.clock, monitor=monitor, ships=ships)
            if CODED in head.headers:
                check_coding(head.headers)
        except CallError as error:
            request_id = new_id("req")
            _refused(context, head, error, request_id)
            return refused(head, error, request_id, context.cors)
        return Admission(owner=key.id)

    return decide


def _endpoint(method: str, path: str) -> Endpoint:
    """Return the endpoint of `method` on `path`; CallError 404 or 405 when there is none."""
    methods = ROUTES.get(path) or _PAGES.get(path)
    if methods is None or (path.endswith("/") and path != HOME):
        # the methods of the route that stands for all below it
        above = (one for one in ROUTES if one.endswith("/") and path.startswith(one))
        methods = next((ROUTES[one] for one in above if path != one), {})
    endpoint = methods.get(method)
    if endpoint is not None:
        return endpoint
    if method == "HEAD" and "GET" in methods:
        return methods["GET"]
    if not methods and (elsewhere := meant_by(path, FORMS)) is not None:
        return _at(method, *elsewhere)
    path = path[:200]
    if not methods:
        raise CallError(404, f"Invalid URL ({method} {path}){_hint(path)}")
    allowed = tuple(methods)
    raise MethodError(f"{path} does not take {method}; use {', '.join(allowed)}.", allowed)


def _at(method: str, path: str, model: str) -> Endpoint:
    """Return the endpoint of a request that means `path` here, and `model` where it names one."""
    endpoint = _endpoint(method, path)
    if model:
        endpoint = inference_endpoint(FORMS[path], model)

    async def elsewhere(exchange: Exchange, context: AppContext) -> None:
        exchange.path = path
        await endpoint(exchange, context)

    return elsewhere


def _hint(path: str) -> str:
    """Suggest a path for one that does not exist; empty for no suggestion."""
    if path.startswith("/v1/v1/"):
        return "; /v1 is in it twice: leave it out of the base URL, or of the path."
    meant = near(path, ROUTES)
    if meant == f"/v1{path}":
        return f"; did you mean {meant}? The base URL of OpenAI's clients ends in /v1."
    if meant is not None:
        return f"; did you mean {meant}? Look at the base URL."
    return f"; the API begins at /v1, see {REFERENCE}." if path in {"/v1", "/v1/"} else ""
