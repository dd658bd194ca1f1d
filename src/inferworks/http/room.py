"""Room for one more connection: who gives way when there are as many as there may be.

Idle connections cost their owners nothing, so whoever opens as many as are allowed would shut out all
others. So one that is doing nothing gives way to a newcomer: first a stranger, which has shown no key with
a request that has a body, whatever it has begun to send; the oldest first, since it has had its time. Then
one that is known and idle, the one first that would be dropped for its silence next. What a key was shown
for never does. A newcomer is turned away only when there is nobody of those kinds.

To look through all connections for each newcomer would be work that strangers can ask for. So strangers
are kept in order (two steps for a connection, none for a call), and of the known the next few to go are
found at once; where there is nobody, the next look waits.

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
    """A connection, as far as giving way goes."""

    deadline: float
    """When it is dropped for its silence."""

    @property
    def idle(self) -> bool:
        """Whether it may be dropped now."""
        ...


G = TypeVar("G", bound=Guest)


class Room(Generic[G]):
    """Knows who gives way next."""

    def __init__(self) -> None:
        self.strangers: OrderedDict[G, None] = OrderedDict()
        """Open connections that nobody was admitted on, the oldest first."""
        self._known: list[tuple[float, ref[G]]] = []
        """The last gives way first. Weak, since those that have left must not be held here."""
        self._look_at = 0.0

    def made_by(self, guests: Collection[G], now: float) -> G | None:
        """Who of `guests` is to give way at `now`; None when nobody is."""
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
