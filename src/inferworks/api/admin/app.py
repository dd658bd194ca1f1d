"""Requests of the admin API: who asks, what for, and the answer.

What touches the database runs in threads of the API's own, of which there are few, so neither the event
loop nor the gateway's calls wait for it. A request opens the accounts for itself, with its member as the
author of what it changes: the store checks the member's rights again and logs every change in the same
transaction.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from inferworks.accounts.author import Author
from inferworks.accounts.member import Member, MemberToken, token_fingerprint
from inferworks.accounts.roles import OutsideError, RoleError, may
from inferworks.accounts.stores.base import Accounts
from inferworks.api.admin.access import bearer, check_host, idempotency_key, unauthenticated
from inferworks.api.admin.errors import AdminError, ErrorBody, ErrorFields, invalid, not_found
from inferworks.api.admin.once import Answer, Repeatable, once
from inferworks.api.admin.openapi import PATH as OPENAPI
from inferworks.api.admin.openapi import document
from inferworks.api.admin.request import Request, Route, Sent, Services
from inferworks.api.admin.routes import ROUTES, route_of
from inferworks.clock import Clock
from inferworks.errors import CallError, DataFolderError, UserError
from inferworks.http.server import ClientGone, Exchange, Headers, Limits, Refused, RequestHead

LIMITS: Final = Limits(
    body_bytes=64 * 1024,
    header_bytes=16 * 1024,
    connections=200,
    held_bytes=16 * 1024 * 1024,
    request_timeout_s=10.0,
)
"""Limits of clients: bodies here are short."""
_JSON: Final = b"application/json"
_HEADERS: Final[Headers] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_MOST_PARAMETERS: Final = 8

_log = logging.getLogger("inferworks.admin")


@dataclass(frozen=True, slots=True)
class AdminContext:
    """Accounts, clock and names that the admin API works with."""

    open_accounts: Callable[[Author], AbstractContextManager[Accounts]]
    """Open the accounts for changes by an author."""
    services: Services
    clock: Clock
    names: Collection[str] = ()
    """Host names that it goes by, beside localhost and addresses."""


class AdminApp:
    """The handler of every request."""

    def __init__(self, context: AdminContext) -> None:
        self._context = context
        self._threads = ThreadPoolExecutor(2, "admin")
        self._openapi = msgspec.json.encode(document(ROUTES))

    def close(self) -> None:
        """Let running requests finish, and take no more."""
        self._threads.shutdown()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            status, body = await self._answer(exchange)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the client gets an answer
            refusal = _refusal(error)
            if refusal.status == 500:
                _log.exception("%s %s failed", exchange.method, exchange.path)
            status, body = refusal.status, refusal.body()
            exchange.extra_headers = refusal.headers
        await exchange.respond(status, body, _JSON, _HEADERS)

    async def _answer(self, exchange: Exchange) -> Answer:
        check_host(exchange.headers, self._context.names)
        if exchange.path == OPENAPI and exchange.method in {"GET", "HEAD"}:
            return 200, self._openapi
        secret = bearer(exchange.headers)
        work = Work(self._context, exchange, secret)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work.answer)


class Work:
    """One request that has the form of a member's, answered in a thread."""

    def __init__(self, context: AdminContext, exchange: Exchange, secret: str) -> None:
        self._context = context
        self._secret = secret
        self._method, self._path, self._query = exchange.method, exchange.path, exchange.query
        self._headers, self._body, self._peer = exchange.headers, exchange.body, exchange.peer

    def answer(self) -> Answer:
        """Return status and body; raises what the caller makes a refusal of."""
        now_ns = self._context.clock.now_ns()
        origin = f"admin API {self._peer}".rstrip()
        with self._context.open_accounts(Author("nobody", origin)) as accounts:
            member, token = self._member(accounts, now_ns)
            accounts.author = Author(member.id, origin, member)
            route, names = route_of(self._method, self._path)
            request = Request(
                accounts=accounts,
                member=member,
                path=names,
                query=query_of(self._query, route.query),
                body=self._body_of(route),
                now_ns=now_ns,
                services=self._context.services,
            )
            key = idempotency_key(self._headers) if self._method == "POST" else None
            if key is None:
                return _act(route, request)
            target = f"{self._method} {self._path}?{self._query}\n".encode()
            repeatable = Repeatable(key, self._secret, token, target + self._body)
            return once(accounts, repeatable, now_ns, lambda: _act(route, request))

    def _member(self, accounts: Accounts, now_ns: int) -> tuple[Member, MemberToken]:
        """Return the member whose token was shown; AdminError 401 when there is none that is valid."""
        found = accounts.find_member(token_fingerprint(self._secret))
        if found is None or found[0].withdrawn_ns is not None or not found[1].is_valid(now_ns):
            raise unauthenticated()
        return found

    def _body_of(self, route: Route) -> Any:
        """Return the body of a request as its route has it; AdminError 400 or 415 when it is not that."""
        if route.body is None:
            if self._body.strip() not in {b"", b"{}"}:
                raise invalid("this request takes no body")
            return None
        kind = self._headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != _JSON:
            raise AdminError(
                415, "unsupported_media_type", "send JSON: content-type: application/json"
            )
        try:
            return msgspec.json.decode(self._body, type=route.body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise invalid(f"body: {error}") from error


def query_of(text: str, kind: type[Sent]) -> Sent:
    """Return the parameters in a query string; AdminError 400 for one unknown, wrong or given twice."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_MOST_PARAMETERS,
            errors="strict",
        )  # fmt: skip
        values = dict(pairs)
        if len(values) < len(pairs):
            raise invalid("a parameter is given once")
        return msgspec.convert(values, kind, strict=False)
    except ValueError as error:  # msgspec.ValidationError is one
        raise invalid(f"parameters: {error}") from error


def _act(route: Route, request: Request[Any, Any]) -> Answer:
    """Do what a route does, when the member may; a neighbour's thing is not there, whatever the role."""
    if route.subject is not None:
        subject = route.subject(request)
        if route.action is not None:
            request.check(route.action, subject, "such thing")
    elif route.action is not None and not may(
        request.member.role, request.member.scope, route.action
    ):
        raise RoleError(f"the role {request.member.role} does not allow {route.action}")
    return route.status, msgspec.json.encode(route.act(request))


def _refusal(error: Exception) -> AdminError:
    """`error` in the client's terms."""
    match error:
        case AdminError():
            return error
        case OutsideError():
            return not_found("such thing")
        case RoleError():
            return AdminError(403, "forbidden", str(error))
        case CallError():
            code = "unavailable" if error.status == 503 else "invalid_request"
            return AdminError(error.status, code, error.message)
        case DataFolderError() | sqlite3.Error() | OSError():
            _log.error("the accounts cannot be used: %s", error)
            return AdminError(
                503,
                "unavailable",
                "the accounts cannot be used now; try again later",
                ((b"retry-after", b"1"),),
            )
        case UserError():
            return AdminError(422, "refused", str(error))
        case _:
            return AdminError(500, "internal", "the server had an error; it has been logged")


def refusal(status: int, message: str, _head: RequestHead) -> Refused:
    """Write the HTTP server's own refusals (size, form) as errors of this API."""
    body = msgspec.json.encode(ErrorBody(ErrorFields("invalid_request", f"{message}.")))
    return Refused(status, _JSON, body, _HEADERS)
