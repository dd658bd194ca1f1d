"""Our errors in the caller's dialect: one table from error type to status and words, and an id for each.

A caller who asks for help names a request by its id. So each answer of the API has one, in the header where
the dialect's own clients look for it: the id of the call, or where there is none (a wrong key, no such
path) one of the request's own. The access log has both.
"""

from __future__ import annotations

from inferworks.api.cors import Cors
from inferworks.api.wire.anthropic_errors import ANTHROPIC_ERRORS
from inferworks.api.wire.base import ErrorStyle
from inferworks.api.wire.openai_errors import OPENAI_ERRORS
from inferworks.api.wire.stability import STABILITY_ERRORS
from inferworks.errors import CallError, DamagedError, JournalError, MethodError, UpstreamError
from inferworks.http.coding import TAKEN
from inferworks.http.server import Exchange, Headers, Refusal, Refused, RequestHead
from inferworks.ids import new_id

_JSON = b"application/json"
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
    if isinstance(error, JournalError | DamagedError):
        return _NOT_RECORDED
    if isinstance(error, UpstreamError):
        return _UPSTREAM
    return _OURS


def style_of(request: RequestHead | Exchange) -> ErrorStyle:
    """Return the error format of the dialect that a path belongs to, whether or not it exists."""
    if request.path.startswith("/v1/messages") or b"anthropic-version" in request.headers:
        return ANTHROPIC_ERRORS
    if request.path.startswith("/v2beta/"):
        return STABILITY_ERRORS
    return OPENAI_ERRORS


def identify(exchange: Exchange, style: ErrorStyle) -> str:
    """Return the id of a request; give it a new one, also in the answer's head, if it has none yet."""
    if not exchange.request_id:
        exchange.request_id = new_id("req")
        exchange.extra_headers = (
            *exchange.extra_headers,
            (style.id_header, exchange.request_id.encode()),
        )
    return exchange.request_id


async def answer_error(exchange: Exchange, error: CallError, style: ErrorStyle) -> None:
    """Answer with `error`, unless an answer has begun."""
    if not exchange.started:
        body = style.body(error, identify(exchange, style))
        await exchange.respond(error.status, body, headers=_headers(error))


def refused(head: RequestHead, error: CallError, request_id: str, cors: Cors | None) -> Refused:
    """The same answer, for a request that is refused by its head."""
    style = style_of(head)
    headers = [(style.id_header, request_id.encode()), *_headers(error)]
    if cors is not None:
        headers += cors.allowing(head.headers)
    return Refused(error.status, _JSON, style.body(error, request_id), headers)


def refusals(cors: Cors | None = None) -> Refusal:
    """Return the writer of the HTTP server's own refusals (size, form), in the caller's dialect."""

    def refusal(status: int, message: str, head: RequestHead) -> Refused:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = CallError(status, f"{message}.", kind=kind)
        return refused(head, error, new_id("req"), cors)

    return refusal


refusal = refusals()


def _headers(error: CallError) -> Headers:
    if error.status in {429, 503}:
        return [(b"retry-after", b"%d" % (error.retry_after_s or 1))]
    if isinstance(error, MethodError):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if error.status == 405:
        return [(b"allow", b"")]
    if error.status == 415:
        return [(b"accept-encoding", TAKEN)]
    return []
