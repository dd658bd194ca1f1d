"""The hub that ships as a fake: positions and pieces in memory, taken by the same rules."""

from __future__ import annotations

from inferworks.errors import UpstreamError
from inferworks.meter.shipping.shipment import (
    Position,
    Run,
    Shipment,
    Shipped,
    accepted,
    beginning,
    records_of,
)


class MemoryHub:
    """Keeps what nodes ship. While `away` is set it cannot be reached."""

    def __init__(self) -> None:
        self.away = False
        self.positions: dict[Run, Position] = {}
        self.records: list[Shipped] = []

    async def deliver(self, shipment: Shipment) -> Position:
        """Keep what `shipment` adds; see `Hub.deliver`."""
        if self.away:
            raise UpstreamError("the hub is away", sent=False)
        run = shipment.run
        kept = self.positions.get(run)
        moved = accepted(kept, shipment)
        if moved is None:
            return kept or beginning(run)
        records = [record for piece in shipment.pieces for record in records_of(piece)]
        self.positions[run] = moved
        self.records += records
        return moved
