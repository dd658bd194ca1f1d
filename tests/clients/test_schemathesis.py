"""Schemathesis against the gateway's own description of itself: whatever is sent, nothing breaks.

Requests are made from `/openapi.json`, good and bad ones. Most of them are pointed at a model that is
served, or they would all end with one that is not found.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from inferworks.api.app import FORMS, ROUTES
from inferworks.api.openapi import document

from .conftest import Gateway

pytestmark = pytest.mark.slow

SCHEMA = schemathesis.openapi.from_dict(
    msgspec.json.decode(msgspec.json.encode(document(ROUTES, FORMS)))
)
SERVED = ("simple-native", "simple-chats", "simple-claude", "simple-converse")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """A connection that is kept."""
    with requests.Session() as session:
        yield session


@SCHEMA.parametrize()
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_nothing_breaks(
    case: schemathesis.Case, gateway: Gateway, session: requests.Session
) -> None:
    """No request leads to a 5xx, or to an answer that the document does not describe."""
    point_at_a_model(case)
    headers = {"authorization": f"Bearer {gateway.key}"}
    case.call_and_validate(gateway.root, session, headers, checks=CHECKS)


def point_at_a_model(case: schemathesis.Case) -> None:
    """Have a request that names a model name one that is served, four times of five."""
    body = case.body
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return
    size = len(repr(body))
    if size % 5:
        case.body = {**body, "model": SERVED[size % len(SERVED)]}
        case.headers.pop("x-inferworks-purpose", None)
