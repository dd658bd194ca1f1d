"""OpenAI's error bodies, which we write ourselves."""

from __future__ import annotations

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.errors import CallError


class ErrorFields(msgspec.Struct, frozen=True):
    """Object in `error`."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIError(msgspec.Struct, frozen=True):
    """A refusal."""

    error: ErrorFields


def error_body(error: CallError, _request_id: str = "") -> bytes:
    """OpenAI's error body."""
    fields = ErrorFields(error.message, error.kind, error.param, error.code)
    return msgspec.json.encode(OpenAIError(fields))


def error_event(error: CallError, _request_id: str = "") -> bytes:
    """An error inside a stream that has begun."""
    return b"data: " + error_body(error) + b"\n\n"


OPENAI_ERRORS = ErrorStyle(error_body, error_event)
