"""The OpenAPI document of the admin API says what the table of routes does."""

from __future__ import annotations

import json

import msgspec

from inferworks.api.admin.openapi import document
from inferworks.api.admin.routes import ROUTES


def test_every_route_is_in_the_document() -> None:
    """Each with its own operation id, the roles that may, and references that lead somewhere."""
    made = json.loads(msgspec.json.encode(document(ROUTES)))
    found = {
        (method.upper(), path) for path, methods in made["paths"].items() for method in methods
    }
    assert found == {(route.method, route.path) for route in ROUTES}
    operations = [one for methods in made["paths"].values() for one in methods.values()]
    ids = [one["operationId"] for one in operations]
    assert len(ids) == len(set(ids))
    assert all(one["summary"].endswith(".") for one in operations)
    text = json.dumps(made)
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= made["components"]["schemas"].keys()


def test_a_list_has_its_parameters_and_a_change_its_body() -> None:
    """Bounds are those that requests are checked by."""
    made = document(ROUTES)
    listed = made["paths"]["/admin/v1/keys"]["get"]
    names = {one["name"]: one for one in listed["parameters"]}
    assert names.keys() == {"limit", "after", "customer"}
    assert names["limit"]["schema"]["maximum"] == 200
    created = made["paths"]["/admin/v1/keys"]["post"]
    assert "requestBody" in created
    assert created["description"] == "Action `keys:change`; roles: owner, operator, developer."
    assert made["components"]["schemas"]["NewKey"]["additionalProperties"] is False
