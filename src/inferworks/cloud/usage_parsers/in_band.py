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
from inferworks.dialects.errors import STATUS_OF_KIND, AnyError
from inferworks.errors import RefusalError

_FAILED: Final = 500
"""Status of an error that has no known type or code."""
_NOTHING: Final = frozenset({b"", b"null", b"false", b"0", b'""', b"{}", b"[]"})
LONGEST_EMPTY_BYTES: Final = 64
"""Longest value that may be empty: white space between two brackets is never longer."""


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
    return STATUS_OF_KIND.get(kind.lower(), _FAILED)


def _read(data: bytes | msgspec.Raw) -> AnyError:
    try:
        return leniently(data, AnyError)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return AnyError()


def _text(value: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _status(value: str | int | None) -> int | None:
    """The status that one value of an error names, as a number or as a kind."""
    if isinstance(value, str) and not value.isdecimal():
        return STATUS_OF_KIND.get(value.lower())
    number = int(value[:4]) if isinstance(value, str) else value
    return number if number is not None and 400 <= number <= 599 else None
