"""`POST /v1/usage/shipments`: records of a node, shipped to this gateway as its hub.

The body is a `Shipment` in JSON, plain or compressed; the answer is the position up to which the run has
been received, and comes when that is durable. So an answer that is lost does no harm: the node asks
again. Only keys made for it may ship (`inferworks keys create --ship NODE`), each as its one node.

Few shipments are taken at once, for each is a large body and a transaction beside those of calls; others
get 429 and when to try again. While the journal cannot be written they get 503.
"""

from __future__ import annotations

import msgspec

from inferworks.api.admission import authenticate
from inferworks.api.context import AppContext
from inferworks.errors import CallError
from inferworks.http.server import Exchange


async def shipments(exchange: Exchange, context: AppContext) -> None:
    """Take in a shipment of a node."""
    key = authenticate(exchange, context.keyring, context.clock, ships=True)
    if context.shipments is None:
        raise CallError(404, "This gateway receives no shipments.")
    taken = await context.shipments.take(exchange, key.ships, context.clock.now_ns())
    await exchange.respond(200, msgspec.json.encode(taken.position))
