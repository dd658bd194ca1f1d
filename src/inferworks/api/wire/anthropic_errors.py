"""Anthropic's error bodies, which we write ourselves.

Our refusals carry OpenAI's `kind`, `code` and `param`; Anthropic's clients look at the status and at one
word, the type, that goes with it. The parameter at fault is named in the message in both.

Source: https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inferworks.api.wire.base import ErrorStyle
from inferworks.cloud.translate.anthropic_terms import error_type
from inferworks.errors import CallError


class ErrorFields(msgspec.Struct, frozen=True):
    """What `error` holds."""

    type: str
    message: str


class AnthropicError(msgspec.Struct, frozen=True):
    """A refusal."""

    type: Literal["error"]
    error: ErrorFields
    request_id: str | None


def error_body(error: CallError) -> bytes:
    """Anthropic's error body."""
    fields = ErrorFields(error_type(error.status), error.message)
    return msgspec.json.encode(AnthropicError("error", fields, None))


def error_event(error: CallError) -> bytes:
    """An error inside a stream that has begun."""
    return b"event: error\ndata: " + error_body(error) + b"\n\n"


ANTHROPIC_ERRORS = ErrorStyle(error_body, error_event)
