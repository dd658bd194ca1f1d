"""OpenAI's error bodies, which we write ourselves."""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.errors import CallError


def error_body(error: CallError) -> bytes:
    """OpenAI's error body."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.kind,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def error_event(error: CallError) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + error_body(error) + b"\n\n"


OPENAI_ERRORS = ErrorStyle(error_body, error_event)
