"""Exchanges without a server: a handler is called, and its answer kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from inferworks.http.budget import Budget, Held
from inferworks.http.exchange import Exchange, Handler, RequestHead
from inferworks.http.heads import Headers


class Carried:
    """A client to which an answer is written."""

    most_body_bytes = 1 << 20

    def __init__(self) -> None:
        self.written = bytearray()
        self.headers: Headers = ()

    def head(self, status: int, headers: Headers, *, keep_alive: bool) -> bytes:
        """Keep the headers, which are no part of what is written."""
        self.headers = headers
        return b""

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self.written += data

    def hold(self) -> Held:
        """Return a counter of no bytes."""
        return Held(Budget(0), None)


class Answered(NamedTuple):
    """An answer as its client sees it."""

    status: int
    body: bytes
    headers: Headers = ()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def answered(
    handler: Handler,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[bytes, bytes] | None = None,
    query: str = "",
) -> Answered:
    """The answer of `handler` to a request, not chunked."""
    carrier = Carried()
    head = RequestHead(method, path, query, headers or {}, chunked=False)
    exchange = Exchange(carrier, head, body)

    async def handled() -> None:
        await handler(exchange)

    asyncio.run(handled())
    assert exchange.finished
    return Answered(exchange.status, bytes(carrier.written), carrier.headers)
