"""Our errors as OpenAI's: one table from error type to status and words."""

from __future__ import annotations

from inferworks.api.wire.base import ErrorStyle
from inferworks.api.wire.openai_errors import error_body
from inferworks.errors import CallError, JournalError, UpstreamError
from inferworks.http.server import Exchange

_NOT_RECORDED = CallError(
    503,
    "The call could not be recorded and was not completed.",
    kind="server_error",
    code="journal",
)
_UPSTREAM = CallError(
    502,
    "The model's server failed before it answered.",
    kind="server_error",
    code="upstream_failed",
)
_OURS = CallError(500, "The server had an error; it has been logged.", kind="server_error")


def as_call_error(error: Exception) -> CallError:
    """`error` in the caller's terms."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, JournalError):
        return _NOT_RECORDED
    if isinstance(error, UpstreamError):
        return _UPSTREAM
    return _OURS


def refusal(status: int, message: str) -> tuple[bytes, bytes]:
    """A refusal by the HTTP server itself (size, form), in OpenAI's error body."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return b"application/json", error_body(CallError(status, f"{message}.", kind=kind))


async def answer_error(exchange: Exchange, error: CallError, style: ErrorStyle) -> None:
    """Answer with `error`, unless an answer has begun."""
    if not exchange.started:
        wait = b"%d" % (error.retry_after_s or 1)
        headers = [(b"retry-after", wait)] if error.status in {429, 503} else []
        await exchange.respond(error.status, style.body(error), headers=headers)
