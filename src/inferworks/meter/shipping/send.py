"""The sender of a node: ships the outbox to the hub, as long as there is anything.

It asks the hub where it is, sends what comes behind, and believes the answer alone. Whatever happens,
killed or refused, it begins again with the question; what the hub has acknowledged is noted in the outbox
only for how long pieces are kept, and for people.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from inferworks.clock import Clock
from inferworks.errors import DamagedError, ShippingError, UpstreamError
from inferworks.meter.shipping.base import Hub
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.shipment import Position
from inferworks.units import NS_PER_SECOND

ASK_AGAIN_NS: Final = 60 * NS_PER_SECOND
"""Age at which a position is asked for again without anything to ship: the hub may have gone back."""


class Settles(Protocol):
    """Knows up to which position of an outbox its journal takes nothing back."""

    def newest(self, outbox: Outbox) -> int | None:
        """Return that position; None while nothing may be shipped."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """Position of an outbox whose journal is written by this process."""

    turn: threading.Lock
    is_in_doubt: Callable[[], bool]

    def newest(self, outbox: Outbox) -> int | None:
        """Return that position; None while nothing may be shipped."""
        with self.turn:  # so that no write is between the disk and its result
            return None if self.is_in_doubt() else outbox.newest()


@dataclass(frozen=True, slots=True)
class ToldBy:
    """Position of an outbox whose journal another process writes, as that has told it."""

    position: Callable[[], int | None]

    def newest(self, outbox: Outbox) -> int | None:
        """Return that position; None before it was told."""
        return self.position()


class Sender:
    """Sender of `outbox` to `hub`. One task; a second sender of the outbox does no harm."""

    def __init__(
        self, outbox: Outbox, settled: Settles, hub: Hub, clock: Clock, keep_ns: int
    ) -> None:
        """Acknowledged pieces stay for `keep_ns`."""
        self._outbox = outbox
        self._settled = settled
        self._hub = hub
        self._clock = clock
        self._keep_ns = keep_ns
        self._position: Position | None = None
        self._told_ns = 0
        """Moment at which the hub told its position."""

    def forget(self) -> None:
        """Ask the hub for its position at the next turn, whatever it was."""
        self._position = None

    async def send(self) -> int:
        """Ship what is there; return the number of pieces that the hub has taken.

        UpstreamError when the hub cannot take them now, ShippingError when it cannot take them at all.
        """
        until = await asyncio.to_thread(self._settled.newest, self._outbox)
        position, self._position = self._position, None  # unknown, if this turn fails
        if until is None:
            return 0
        if position is not None and position.at >= until:
            if self._clock.now_ns() - self._told_ns < ASK_AGAIN_NS:
                self._position = position
                return 0
            position = None
        if position is None:
            position = await self._hub.deliver(self._outbox.question())
            await asyncio.to_thread(self._outbox.check, position)
        began_at = position.at
        while True:
            shipment = await asyncio.to_thread(self._outbox.shipment, position, until)
            if shipment is None:
                break
            told = await self._hub.deliver(shipment)
            await asyncio.to_thread(self._outbox.check, told)
            if told == position:
                raise ShippingError(
                    f"the hub has not taken the pieces behind {position.at:,}, though it is there "
                    "itself: something between the two changes what is sent"
                )
            position = told
        now_ns = self._clock.now_ns()
        await asyncio.to_thread(self._outbox.acknowledge, position.at, now_ns, self._keep_ns)
        self._position, self._told_ns = position, now_ns
        return max(0, position.at - began_at)


async def send_in_turn(senders: Collection[Sender]) -> None:
    """Have each of `senders` ship what it has. One that is refused holds up no other, and is told at last.

    When the hub is away, which holds up all, none of them goes on believing where it was: it may come back
    from a backup.
    """
    refusals: list[ShippingError | DamagedError] = []
    for sender in senders:
        try:
            await sender.send()
        except (ShippingError, DamagedError) as error:
            refusals.append(error)
        except UpstreamError:
            for each in senders:
                each.forget()
            raise
    if refusals:
        raise refusals[0]
