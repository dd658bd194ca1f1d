"""`GET /openapi.json`: the whole API as an OpenAPI 3.1 document.

It is drawn up from the same two tables that requests are answered from, the routes and the forms, and the
schema of a request is made from the very type that the request is checked by. So it cannot say what the
gateway does not do: a new route or form is in it without another line. What an answer holds is the
upstream's to say, in the dialect's own reference; here it is an object, or a stream.

It is open to all, like `/health`: clients are generated from it and tools look for it before anybody has a
key, and it says nothing that is not in the source of this package. Which models there are is not in it.

Source of the format: https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from inferworks import __version__
from inferworks.api.context import AppContext, Endpoint
from inferworks.api.events import Event
from inferworks.api.limits import LimitPage
from inferworks.api.usage import UsagePage, UsageQuery
from inferworks.api.wire.base import EndpointSpec
from inferworks.cloud.operation import Dialect, Operation
from inferworks.dialects.errors import AnthropicError, OpenAIError, StabilityError
from inferworks.http.server import Exchange
from inferworks.meter.shipping.shipment import Shipment
from inferworks.purpose import Purpose

Routes = Mapping[str, Mapping[str, Endpoint]]
Json = dict[str, Any]

PATH: Final = "/openapi.json"
_OPEN: Final = frozenset({"/health", "/healthz", "/livez", "/readyz", PATH})
"""Paths that need no key."""
_BODIES: Final[Mapping[str, Any]] = {
    "/v1/usage/events": Event | list[Event],
    "/v1/usage/shipments": Shipment,
}
"""Request bodies of paths that are no inference."""
_QUERIES: Final[Mapping[str, type[msgspec.Struct]]] = {"/v1/usage": UsageQuery}
"""Parameters in the query string."""
_ANSWERS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "/v1/usage": UsagePage,
    "/v1/limits": LimitPage,
}
"""Answers that are made here."""
_ERRORS: Final[Mapping[Dialect, type[msgspec.Struct]]] = {
    Dialect.ANTHROPIC: AnthropicError,
    Dialect.STABILITY: StabilityError,
}
"""Error bodies of the dialects that differ from OpenAI's."""
_MEDIA: Final[Mapping[Operation, str]] = {
    Operation.SPEECH: "audio/*",
    Operation.TRANSCRIPTIONS: "*/*",
    Operation.TRANSLATIONS: "*/*",
    Operation.STABLE_IMAGE: "*/*",
}
"""Content types of answers that are not always JSON."""
_STREAMED: Final = {"stream", "stream_format"}
"""Fields by which events are asked for."""
_SECURITY: Final[list[Json]] = [{"bearer": []}, {"x-api-key": []}]
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_TEXT: Final[Json] = {"type": "string"}
_OURS: Final[Mapping[str, tuple[str, Json]]] = {
    "x-inferworks-purpose": (
        "Purpose of the call, if it is not that of the key; the key must allow it.",
        {"type": "string", "enum": list(Purpose)},
    ),
    "x-inferworks-session": (
        "Session of the conversation, to send its calls to the same replica.",
        _TEXT,
    ),
    "x-inferworks-include": ("`cost` to have the cost of the call in the answer's usage.", _TEXT),
}
"""Request headers of this gateway's own."""
_TOLD: Final = {
    "x-inferworks-call-id": "Id of the call in the gateway's records.",
    "x-inferworks-upstream-request-id": "Id of the request at its upstream.",
    "x-inferworks-provider": "Provider that served the call.",
    "x-inferworks-region": "Region of the provider, if known.",
    "x-inferworks-overhead-us": "Time spent in the gateway, in microseconds, less the time in its queue.",
    "x-inferworks-queued-us": "Time for which the call waited for its turn, in microseconds.",
    "x-inferworks-cost": "Exact cost of a whole answer to its caller.",
    "x-inferworks-currency": "Currency of the cost.",
    "x-inferworks-left-out": "Names of the fields that could not be sent to the upstream, in a list.",
}
"""Answer headers of this gateway's own."""
_REFS: Final = "#/components/schemas/{name}"


def openapi(routes: Routes, forms: Mapping[str, EndpointSpec]) -> Endpoint:
    """The endpoint that answers with the document of `routes`, of which `forms` are called with POST."""

    async def endpoint(exchange: Exchange, _context: AppContext) -> None:
        """Describe this API."""
        await exchange.respond(200, data)

    own: Routes = {PATH: {"GET": endpoint}}
    data = msgspec.json.encode(document({**routes, **own}, forms))
    return endpoint


def document(routes: Routes, forms: Mapping[str, EndpointSpec]) -> Json:
    """The OpenAPI document of `routes`."""
    schemas = _Schemas(forms)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inferworks",
            "version": __version__,
            "description": "Foundation models behind one API. Fields that are not described here pass "
            "to the model's server as they are.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            template(path): _path(path, methods, forms.get(path), schemas)
            for path, methods in routes.items()
        },
        "components": {"schemas": schemas.components, "securitySchemes": _SCHEMES},
    }


def template(path: str) -> str:
    """A route as OpenAPI writes it: what stands for everything below it gets a parameter."""
    return f"{path}{{name}}" if path.endswith("/") else path


class _Schemas:
    """The schemas of everything that is sent, and of our errors."""

    def __init__(self, forms: Mapping[str, EndpointSpec]) -> None:
        types = {kind for form in forms.values() for kind in _kinds(form).values()}
        wanted = [*sorted(types, key=lambda kind: kind.__qualname__), OpenAIError]
        wanted += [*_ERRORS.values(), *_BODIES.values(), *_ANSWERS.values()]
        made, self.components = msgspec.json.schema_components(wanted, ref_template=_REFS)
        self._made = list(zip(wanted, made, strict=True))

    def of(self, kind: Any) -> Json:
        """The schema of a type that is sent somewhere."""
        return next(schema for known, schema in self._made if known is kind)


def _path(
    path: str, methods: Mapping[str, Endpoint], form: EndpointSpec | None, schemas: _Schemas
) -> Json:
    """Everything that can be done at a path."""
    spoken = "".join(letter if letter.isalnum() else " " for letter in template(path)).split()
    item: Json = {}
    for method, endpoint in methods.items():
        if form is not None:
            operation = _call(form, schemas)
        else:
            operation = {
                "summary": (endpoint.__doc__ or f"{method} {path}.").splitlines()[0],
                "responses": {
                    "200": {"description": "Done."},
                    **_refusals(schemas.of(OpenAIError)),
                },
            }
            if path in _ANSWERS:
                content = {"application/json": {"schema": schemas.of(_ANSWERS[path])}}
                operation["responses"]["200"]["content"] = content
            if path in _QUERIES:
                operation["parameters"] = _parameters(_QUERIES[path])
            if path in _BODIES and method == "POST":
                content = {"application/json": {"schema": schemas.of(_BODIES[path])}}
                operation["requestBody"] = {"required": True, "content": content}
        item[method.lower()] = {
            "operationId": "_".join([method.lower(), *spoken]),  # no other operation has it
            **operation,
            "security": [] if path in _OPEN else _SECURITY,
        }
    if path.endswith("/"):
        named = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        item["parameters"] = [named]
    return item


def _parameters(query: type[msgspec.Struct]) -> list[Json]:
    """Return the parameters of a query string; of a list the values stand between commas."""
    [[_, schema]] = msgspec.json.schema_components([query])[1].items()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": kind,
            **({"style": "form", "explode": False} if kind.get("type") == "array" else {}),
        }
        for name, kind in schema["properties"].items()
    ]


def _call(form: EndpointSpec, schemas: _Schemas) -> Json:
    """A call of `form`."""
    error = _ERRORS.get(form.operation.dialect, OpenAIError)
    parameters: list[Json] = [
        {"name": name.decode(), "in": "header", "schema": {"type": "string"}}
        for name in sorted(form.forwarded)
    ]
    parameters += [
        {"name": name, "in": "header", "description": words, "schema": schema}
        for name, (words, schema) in _OURS.items()
    ]
    media = _MEDIA.get(form.operation, "application/json")
    content: Json = {media: {"schema": {"type": "object"}} if media == "application/json" else {}}
    if any(_STREAMED & {*kind.__struct_fields__} for kind in _kinds(form).values()):
        content["text/event-stream"] = {}
    sent = {media: {"schema": schemas.of(kind)} for media, kind in _kinds(form).items()}
    told = {name: {"description": words, "schema": _TEXT} for name, words in _TOLD.items()}
    return {
        "summary": f"Make a call of {form.operation}.",
        "tags": [form.operation.dialect],
        "parameters": parameters,
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": {"description": "The answer.", "headers": told, "content": content},
            **_refusals(schemas.of(error)),
        },
    }


def _kinds(form: EndpointSpec) -> Mapping[str, type[msgspec.Struct]]:
    """Media type -> what a body of it is checked against."""
    kinds = {"application/json": form.request, "multipart/form-data": form.fields}
    return {media: kind for media, kind in kinds.items() if kind is not None}


def _refusals(error: Json) -> Json:
    content = {"application/json": {"schema": error}}
    return {
        "4XX": {
            "description": "Refused: the request cannot be served as it is.",
            "content": content,
        },
        "5XX": {"description": "Not served, by no fault of the request's."},
    }
