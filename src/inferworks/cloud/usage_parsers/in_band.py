"""An error that stands where an answer should: which status it would have had, and what it says.

Problem. Perplexity, OpenRouter, vLLM and others have said 200 before they know that they will refuse, and
tell so in the first event, or in a whole body. Whose fault it is decides what becomes of the call: a 400 is
its caller's, told once and in the upstream's words; after a 429 the next offer is asked.

Decision. The status is read from what the error carries: a number that is one (`code`, `status`), else the
kind that it names, which every API has a list of. An error of no known kind is a failure of the upstream.

    {"error": {"message": "...", "code": 429}}                        OpenRouter, vLLM, Perplexity, Google
    {"error": {"message": "...", "type": "invalid_request_error"}}    OpenAI, Anthropic
    {"object": "error", "message": "...", "code": 400}                older vLLM, Mistral
    {"error": "..."}, {"detail": "..."}                               TGI, Ollama, FastAPI

Sources: https://openrouter.ai/docs/api-reference/errors,
https://platform.openai.com/docs/guides/error-codes, https://platform.claude.com/docs/en/api/errors,
https://docs.cloud.google.com/apis/design/errors,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ResponseStream.html
"""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.cloud.bodies.lenient import leniently
from inferworks.errors import RefusalError

_FAILED: Final = 500
"""Status of an error that has no known type or code."""
_KINDS: Final = {
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
_NOTHING: Final = frozenset({b"", b"null", b"false", b"0", b'""', b"{}", b"[]"})
LONGEST_EMPTY_BYTES: Final = 64
"""Longest value that may be empty: white space between two brackets is never longer."""


class _Error(msgspec.Struct):
    """An error, or the body that it lies in."""

    object: str | None = None
    type: str | None = None
    code: str | int | None = None
    status: str | int | None = None
    status_code: str | int | None = None
    message: str | None = None
    detail: str | None = None
    error: msgspec.Raw = msgspec.Raw()


def is_empty(value: msgspec.Raw | bytes) -> bool:
    """Return True when a value is empty, or not given at all."""
    return len(value) < LONGEST_EMPTY_BYTES and b"".join(bytes(value).split()) in _NOTHING


def refusal(data: bytes) -> RefusalError:
    """The error that the JSON object `data` tells of."""
    outer = _read(data)
    inner = _read(outer.error)
    said = [inner.code, inner.status, inner.status_code, inner.type]
    said += [outer.code, outer.status, outer.status_code, outer.type]
    statuses = [status for value in said if (status := _status(value))]
    words = inner.message or outer.message or outer.detail or _text(outer.error)
    return RefusalError(statuses[0] if statuses else _FAILED, data, words)


def tells_an_error(data: bytes) -> bool:
    """Return True when a body that is no answer is an error outside of a field `error`."""
    if b"error" not in data and b"detail" not in data:
        return False  # as nearly always, and an upstream may send many events that say nothing
    body = _read(data)
    return body.object == "error" or body.detail is not None


def status_of(kind: str) -> int:
    """The status of a kind of error; that of a failure where it is not known."""
    return _KINDS.get(kind.lower(), _FAILED)


def _read(data: bytes | msgspec.Raw) -> _Error:
    try:
        return leniently(data, _Error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Error()


def _text(value: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _status(value: str | int | None) -> int | None:
    """The status that one value of an error names, as a number or as a kind."""
    if isinstance(value, str) and not value.isdecimal():
        return _KINDS.get(value.lower())
    number = int(value[:4]) if isinstance(value, str) else value
    return number if number is not None and 400 <= number <= 599 else None
