"""Anthropic's error bodies, which we write ourselves.

Our refusals carry OpenAI's `kind`, `code` and `param`; Anthropic's clients look at the status and at one
word, the type, that goes with it; of one refusal they read the `details`, too. The parameter at fault is
named in the message in both.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.cloud.bodies.rewrite import read_fields, with_value
from inferworks.dialects.errors import (
    THREAD_UNSUPPORTED,
    AnthropicError,
    AnthropicErrorFields,
    anthropic_error_type,
)
from inferworks.errors import CallError


def error_body(error: CallError, request_id: str) -> bytes:
    """Anthropic's error body."""
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    if error.code == THREAD_UNSUPPORTED:  # Anthropic's clients read these to go on in another way
        details = {"error_code": error.code, "unsupported": []}
    fields = AnthropicErrorFields(anthropic_error_type(error.status), error.message, details)
    return msgspec.json.encode(AnthropicError("error", fields, request_id or None))


def error_event(error: CallError, request_id: str, _before: bytes = b"") -> bytes:
    """An error inside a stream that has begun."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"


def named(body: bytes, request_id: str) -> bytes:
    """An error body with the id of the request; an upstream's own id stays."""
    try:
        fields = read_fields(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if "error" not in fields or bytes(fields.get("request_id", b"null")) != b"null":
        return body
    return with_value(body, fields, "request_id", msgspec.json.encode(request_id))


ANTHROPIC_ERRORS = ErrorStyle(error_body, error_event, named, id_header=b"request-id")
