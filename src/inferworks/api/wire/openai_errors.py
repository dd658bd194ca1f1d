"""OpenAI's error bodies, which we write ourselves."""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.dialects.errors import OpenAIError, OpenAIErrorFields
from inferworks.errors import CallError


def error_body(error: CallError, _request_id: str = "") -> bytes:
    """OpenAI's error body."""
    fields = OpenAIErrorFields(error.message, error.kind, error.param, error.code)
    return msgspec.json.encode(OpenAIError(fields))


def error_event(error: CallError, _request_id: str = "", _before: bytes = b"") -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + error_body(error) + b"\n\n"


OPENAI_ERRORS = ErrorStyle(error_body, error_event)
