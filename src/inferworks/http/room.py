"""Choice of the connection to drop when a new one comes and there are as many as there may be.

Idle connections cost their owners nothing, so a client that opens as many as are allowed would shut out all
others. So an idle connection is dropped for a new one: first an unauthenticated one ("stranger"), which has
shown no key with a request that has a body, whatever it has begun to send; the oldest first, since it has
had its time. Then an authenticated idle one, the one with the nearest keep-alive deadline first. A
connection that runs a request, or receives an authenticated one, is never dropped. A new connection is
refused only when none can be dropped.

To look through all connections for each new one would be work that strangers can cause. So strangers are
kept in order (two steps for a connection, none for a call), and of the authenticated ones the next few to
drop are found at once; where there is none, the next search waits.

Rejected. A share for each address (behind a proxy all clients have one address, and IPv6 gives a stranger
2^64).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Collection
from typing import Generic, Protocol, TypeVar
from weakref import ref

_FOUND_AT_ONCE = 64
_LOOK_AGAIN_S = 0.1


class Guest(Protocol):
    """Connection that may be dropped for a new one."""

    deadline: float
    """Time at which the connection is dropped for its silence, in seconds of the event loop's clock."""

    @property
    def idle(self) -> bool:
        """True when the connection may be dropped now."""
        ...


G = TypeVar("G", bound=Guest)


class Room(Generic[G]):
    """Choice of the connection that is dropped next."""

    def __init__(self) -> None:
        self.strangers: OrderedDict[G, None] = OrderedDict()
        """Open connections that nobody was admitted on, the oldest first."""
        self._known: list[tuple[float, ref[G]]] = []
        """The last gives way first. Weak, since those that have left must not be held here."""
        self._look_at = 0.0

    def made_by(self, guests: Collection[G], now: float) -> G | None:
        """Return the one of `guests` to drop at `now`; None when none may be dropped."""
        return self._stranger() or self._pop_known() or self._look(guests, now)

    def _stranger(self) -> G | None:
        for _ in range(min(_FOUND_AT_ONCE, len(self.strangers))):
            stranger, _nothing = self.strangers.popitem(last=False)
            if stranger.idle:
                return stranger
            self.strangers[stranger] = None  # it is being answered: the others first
        return None

    def _pop_known(self) -> G | None:
        while self._known:
            deadline, weak = self._known.pop()
            guest = weak()
            if guest is not None and guest.idle and guest.deadline == deadline:
                return guest
        return None

    def _look(self, guests: Collection[G], now: float) -> G | None:
        """Find the next few; at most every so often when there was nobody."""
        if now < self._look_at:
            return None
        found = ((guest.deadline, ref(guest)) for guest in guests if guest.idle)
        self._known = heapq.nsmallest(_FOUND_AT_ONCE, found, key=lambda one: one[0])
        self._known.reverse()
        if not self._known:
            self._look_at = now + _LOOK_AGAIN_S
        return self._pop_known()
