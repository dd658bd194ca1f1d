"""The hub seam: where a node's shipments go.

`stub.MemoryHub` is the fake that ships; the real one is reached over HTTP (`wiring.shipping`).
"""

from __future__ import annotations

from typing import Protocol

from inferworks.meter.shipping.shipment import Position, Shipment


class Hub(Protocol):
    """Receives the logs of nodes."""

    async def deliver(self, shipment: Shipment) -> Position:
        """Hand over `shipment`; return the position up to which the hub has durably taken its run.

        UpstreamError when the hub is away, busy, or has answered something else: whether it took anything
        is then open, and the next answer shows it. ShippingError when only people can mend it, as a key
        that is refused.
        """
        ...
