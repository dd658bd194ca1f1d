"""Error bodies of every vendor, and the status that a kind of error has.

    {"error": {"message": "...", "type": "...", ...}}         OpenAI and all who speak its dialect
    {"type": "error", "error": {"type": ..., "message": ...}} Anthropic
    {"message": "..."}                                        Amazon; `Message` where a signature is wrong
    {"error": {"code": 429, "message": "...", "status": ...}} Google; in a list at its OpenAI endpoint
    {"id": "...", "name": "...", "errors": ["..."]}           Stability

Sources: https://platform.openai.com/docs/guides/error-codes, https://platform.claude.com/docs/en/api/errors,
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html,
https://docs.cloud.google.com/apis/design/errors, https://platform.stability.ai/docs/api-reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

# --- OpenAI


class OpenAIErrorFields(msgspec.Struct, frozen=True):
    """Object in `error`."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIError(msgspec.Struct, frozen=True):
    """A refusal."""

    error: OpenAIErrorFields


class OpenAIRefusalFields(msgspec.Struct):
    """Object in `error` as any vendor of the dialect writes it, where any of it may be missing."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str = ""


class OpenAIRefusal(msgspec.Struct):
    """A refusal as any vendor of the dialect writes it."""

    error: OpenAIRefusalFields = msgspec.field(default_factory=OpenAIRefusalFields)


def openai_error_type(status: int) -> str:
    """OpenAI's error type for an HTTP status."""
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


# --- Anthropic


class AnthropicErrorFields(msgspec.Struct, frozen=True):
    """Object in `error`."""

    type: str
    message: str
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class AnthropicError(msgspec.Struct, frozen=True):
    """A refusal."""

    type: Literal["error"]
    error: AnthropicErrorFields
    request_id: str | msgspec.UnsetType | None = msgspec.UNSET


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Status -> the type of an error, as Anthropic has it."""

THREAD_UNSUPPORTED: Final = "thread_unsupported_request"
"""Says to Anthropic's clients that no conversation is kept for them; they send all of it each time then.

Source: `ThreadUnsupportedRequestErrorDetails` of https://github.com/anthropics/anthropic-sdk-typescript
"""


def anthropic_error_type(status: int) -> str:
    """Anthropic's error type for an HTTP status."""
    other = "api_error" if status >= 500 else "invalid_request_error"
    return _ANTHROPIC_TYPES.get(status, other)


# --- Amazon, Google, Stability


class AmazonError(msgspec.Struct):
    """A refusal of Amazon's, whose name for the message is another one where a signature is wrong."""

    message: str = ""
    Message: str = ""


class GoogleErrorFields(msgspec.Struct):
    """Object in `error`, by its message."""

    message: str = ""


class GoogleError(msgspec.Struct):
    """A refusal of Google's."""

    error: GoogleErrorFields
    type: str = ""
    """`error` where it is Anthropic's own body, handed on."""


class StabilityError(msgspec.Struct, frozen=True):
    """A refusal, as we write it. Its `id` is that of the request here; Stability has none of ours."""

    id: str
    name: str
    errors: list[str]


class StabilityRefusal(msgspec.Struct):
    """The same as Stability writes it, where any of it may be missing."""

    name: str | None = None
    errors: list[str] = []


# --- any vendor


class AnyError(msgspec.Struct):
    """An error, or the body that it lies in."""

    object: str | None = None
    type: str | None = None
    code: str | int | None = None
    status: str | int | None = None
    status_code: str | int | None = None
    message: str | None = None
    detail: str | None = None
    error: msgspec.Raw = msgspec.Raw()


STATUS_OF_KIND: Final[Mapping[str, int]] = {
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "accessdeniedexception": 403,
    "not_found": 404,
    "not_found_error": 404,
    "model_not_found": 404,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "conflict_error": 409,
    "request_too_large": 413,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "insufficient_quota": 429,
    "modelnotreadyexception": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_reached_error": 429,
    "resource_exhausted": 429,
    "throttlingexception": 429,
    "tokens": 429,
    "requests": 429,
    "too_many_requests": 429,
    "bad_request": 400,
    "badrequesterror": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "failed_precondition": 400,
    "invalid_argument": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "invalid_request_error": 400,
    "string_above_max_length": 400,
    "validation": 400,
    "validation_error": 400,
    "validationexception": 400,
    "api_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "internalserverexception": 500,
    "server_error": 500,
    "server_is_overloaded": 503,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "serviceunavailableexception": 503,
    "slow_down": 503,
    "unavailable": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
    "timeout": 504,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Kind of an error, as some API calls it in lower case -> its status."""
