"""Error bodies of Amazon's and Google's in the words that a caller's client knows."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.cloud.usage_parsers.cloud_errors import (
    amazon_as_anthropic,
    amazon_message,
    google_as_anthropic,
    google_as_openai,
)

NOTHING = "The model's server refused the request with status 418."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"message":"Too many requests"}', "Too many requests"),
        (b'{"Message":"The signature does not match"}', "The signature does not match"),
        (b'{"__type":"UnrecognizedClientException"}', NOTHING),
        (b"<html>", NOTHING),
        (b"\xff", NOTHING),
        (b"[" * 100_000, NOTHING),
    ],
)
def test_what_amazon_says(data: bytes, said: str) -> None:
    """Amazon's sentence is found under both of its names; an unreadable body says its status."""
    assert amazon_message(418, data) == said
    body = msgspec.json.decode(amazon_as_anthropic(418, data))
    assert body == {"type": "error", "error": {"type": "invalid_request_error", "message": said}}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}', "Quota"),
        (b'[{"error":{"code":429,"message":"Quota"}}]', "Quota"),
        (b"[]", NOTHING),
        (b'{"error":"text"}', NOTHING),
        (b"", NOTHING),
    ],
)
def test_what_google_says(data: bytes, said: str) -> None:
    """Google's sentence is found, in a list too."""
    assert msgspec.json.decode(google_as_openai(418, data))["error"]["message"] == said
    assert msgspec.json.decode(google_as_anthropic(418, data))["error"]["message"] == said


def test_anthropics_own_errors_pass() -> None:
    """Errors of Anthropic's that Vertex hands on are not put anew."""
    data = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"x":1}'
    assert google_as_anthropic(529, data) is data
