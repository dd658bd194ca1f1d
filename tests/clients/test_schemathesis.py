"""Schemathesis against the gateway's own description of itself: whatever is sent, nothing breaks.

Requests are made from `/openapi.json`, good and bad ones. Half of them name a model that is served, or they
would all end with one that is not found.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
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
SERVED = ("simple-native", "simple-chats", "simple-claude", "simple-ranker")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@SCHEMA.hook
def map_body(context: Any, body: Any) -> Any:
    """Name a model that is served, now and then."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) < 6:
        return {**body, "model": SERVED[len(body["model"]) % len(SERVED)]}
    return body


@SCHEMA.parametrize()
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_breaks(case: schemathesis.Case, gateway: Gateway) -> None:
    """No request leads to a 5xx, or to an answer that the document does not describe."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    case.call_and_validate(base_url=gateway.root, headers=headers, checks=CHECKS)
