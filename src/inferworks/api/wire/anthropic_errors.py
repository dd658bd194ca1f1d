"""Anthropic's error bodies, which we write ourselves.

Our refusals carry OpenAI's `kind`, `code` and `param`; Anthropic's clients look at the status and at one
word, the type, that goes with it. The parameter at fault is named in the message in both.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.cloud.translate.anthropic_terms import error_type
from inferworks.errors import CallError


def error_body(error: CallError) -> bytes:
    """Anthropic's error body."""
    return msgspec.json.encode(_body(error.status, error.message))


def error_event(error: CallError) -> bytes:
    """An error inside a stream that has begun."""
    return b"event: error\ndata: " + error_body(error) + b"\n\n"


def _body(status: int, message: str) -> dict[str, Any]:
    error = {"type": error_type(status), "message": message}
    return {"type": "error", "error": error, "request_id": None}


ANTHROPIC_ERRORS = ErrorStyle(error_body, error_event)
