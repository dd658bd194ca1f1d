"""Shipments of other nodes on their way into the journal: few at once, each for the node of its key."""

from __future__ import annotations

from typing import Final

import msgspec

from inferworks.api.coded import CODED, decode_body
from inferworks.api.wire.validation_errors import invalid
from inferworks.cloud.bodies.aside import aside
from inferworks.errors import CallError, JournalError, RecordError, ShippingError
from inferworks.http.server import Exchange
from inferworks.meter.shipping.receive import Receiver, Taken
from inferworks.meter.shipping.shipment import Shipment

_AT_ONCE: Final = 2
"""Shipments that are held in memory at once; they are written one at a time."""
_BUSY_S: Final = 1
_TROUBLE_S: Final = 5

_decode = msgspec.json.Decoder(Shipment).decode


class Shipments:
    """Takes shipments in, a bounded number at once."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._running = 0

    async def take(self, exchange: Exchange, node: str, now_ns: int) -> Taken:
        """Take in the shipment in the body of a request of `node`; durable when this returns.

        CallError when it cannot be taken: 400 or 409 for ever, 429 or 503 for now.
        """
        if self._running >= _AT_ONCE:
            raise CallError(429, "Other nodes are shipping now; try again later.",
                            kind="rate_limit_error", code="shipping_busy",
                            retry_after_s=_BUSY_S)  # fmt: skip
        self._running += 1
        try:
            if CODED in exchange.headers:
                await decode_body(exchange)
            return await aside(self._receive, exchange.body, node, now_ns)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise invalid(str(error)) from error
        except ShippingError as error:
            raise CallError(409, f"{error}.", code="shipment_refused") from error
        except RecordError as error:
            raise CallError(400, f"{error}.", code="invalid_record") from error
        except JournalError as error:
            raise CallError(503, f"The hub cannot write its journal now: {error}.", kind="server_error",
                            code="journal", retry_after_s=_TROUBLE_S) from error  # fmt: skip
        finally:
            self._running -= 1

    def _receive(self, body: bytes, node: str, now_ns: int) -> Taken:
        shipment = _decode(body)
        if shipment.run.node != node:
            raise CallError(403, f"This key ships as the node {node!r}, not as {shipment.run.node!r}; make "
                            f"another with: inferworks keys create --ship {shipment.run.node}",
                            kind="permission_error", code="node_not_allowed")  # fmt: skip
        return self._receiver.receive(shipment, now_ns)
