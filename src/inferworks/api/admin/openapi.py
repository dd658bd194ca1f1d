"""`GET /admin/v1/openapi.json`: the admin API as an OpenAPI 3.1 document, made from the table of routes.

The schemas are those of the very types that requests are checked by. It is open to all, and says nothing
that is not in the source of this package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from inferworks import __version__
from inferworks.accounts.roles import ROLES
from inferworks.api.admin.errors import ErrorBody
from inferworks.api.admin.request import Route

PATH: Final = "/admin/v1/openapi.json"
Json = dict[str, Any]


def document(routes: Sequence[Route]) -> Json:
    """Return the document of `routes`."""
    types = list(
        dict.fromkeys(
            kind for route in routes for kind in (route.answer, route.body, route.query) if kind
        )
    )
    made, components = msgspec.json.schema_components(
        [*types, ErrorBody], ref_template="#/components/schemas/{name}"
    )
    schemas = dict(zip([*types, ErrorBody], made, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        item = paths.setdefault(route.path, {})
        item[route.method.lower()] = _operation(route, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Inferworks admin API",
            "version": __version__,
            "description": "Accounts: organisations, customers, projects, keys, prices, credit, members.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _operation(route: Route, schemas: dict[Any, Json], components: Json) -> Json:
    summary = (route.act.__doc__ or "").splitlines()[0]
    names = re.findall(r"\{(\w+)\}", route.path)
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    fields = components[route.query.__name__].get("properties", {})
    parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in fields.items()]
    if route.method == "POST":
        parameters.append(
            {
                "name": "idempotency-key",
                "in": "header",
                "description": "The same key and request get the same answer for a day.",
                "schema": {"type": "string", "maxLength": 255},
            }
        )
    error = {"application/json": {"schema": schemas[ErrorBody]}}
    operation: Json = {
        "operationId": route.act.__name__,
        "summary": summary,
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": {"application/json": {"schema": schemas[route.answer]}},
            },
            "4XX": {"description": "Refused.", "content": error},
            "5XX": {"description": "Not done, by no fault of the request's.", "content": error},
        },
    }
    if route.action is not None:
        roles = ", ".join(role for role, actions in ROLES.items() if route.action in actions)
        operation["description"] = f"Action `{route.action}`; roles: {roles}."
    if route.body is not None:
        content = {"application/json": {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
