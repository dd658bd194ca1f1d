"""`GET /metrics`: how the gateway does, for a monitoring system, in Prometheus' text format.

Metrics tell which models and providers are used and how much, so they are for keys that were made to read
them (`inferworks keys create --monitor`), which can do nothing else: one that is read off a scraper's disk
makes no calls. Where a monitoring system cannot send a key, `observe.metrics_listen` opens an address of
its own.
"""

from __future__ import annotations

from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.errors import CallError
from inferworks.http.server import Exchange
from inferworks.observe.exposition import CONTENT_TYPE
from inferworks.observe.registry import Board

PATH = "/metrics"


async def metrics(exchange: Exchange, context: AppContext) -> None:
    """Every metric there is; CallError 404 when none are kept."""
    authenticate(exchange, context.keyring, context.clock, monitor=True)
    if context.board is None:
        raise CallError(404, "No metrics are kept here (observe.metrics is false).")
    await show(exchange, context.board)


async def show(exchange: Exchange, board: Board) -> None:
    """Answer with all that is on `board`."""
    await exchange.respond(200, await board.text(), CONTENT_TYPE)
