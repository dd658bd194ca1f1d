"""Choice of the connection to drop when a new one comes and there are as many as there may be.

Idle connections cost their owners nothing, so a client that opens as many as are allowed would shut out all
others. So an idle connection is dropped for a new one: first an unauthenticated one, which has shown no key
with a request that has a body, whatever it has begun to send; the oldest first, since it has had its time.
Then an authenticated idle one, the one with the nearest keep-alive deadline first. A connection that runs a
request, or receives an authenticated one, is never dropped. A new connection is refused only when none can
be dropped.

To look through all connections for each new one would be work that unauthenticated clients can cause. So
their connections are kept in order (two steps for a connection, none for a call), and of the authenticated
ones the next few to drop are found at once; where there is none, the next search waits.

Rejected. A share for each address (behind a proxy all clients have one address, and IPv6 gives one client
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


class Evictable(Protocol):
    """Connection that may be dropped for a new one."""

    deadline: float
    """Time at which the connection is dropped for its silence, in seconds of the event loop's clock."""

    @property
    def idle(self) -> bool:
        """True when the connection may be dropped now."""
        ...


G = TypeVar("G", bound=Evictable)


class Evictions(Generic[G]):
    """Choice of the connection that is dropped next."""

    def __init__(self) -> None:
        self.unauthenticated: OrderedDict[G, None] = OrderedDict()
        """Open connections that nobody was admitted on, the oldest first."""
        self._authenticated: list[tuple[float, ref[G]]] = []
        """The last gives way first. Weak, since those that have left must not be held here."""
        self._search_at = 0.0

    def choose(self, connections: Collection[G], now: float) -> G | None:
        """Return the one of `connections` to drop at `now`; None when none may be dropped."""
        for _ in range(min(_FOUND_AT_ONCE, len(self.unauthenticated))):
            connection, _nothing = self.unauthenticated.popitem(last=False)
            if connection.idle:
                return connection
            self.unauthenticated[connection] = None  # it is being answered: the others first
        known = self._pop_authenticated()
        if known is not None or now < self._search_at:
            return known
        # find the next few; at most every so often when there was nobody
        found = ((one.deadline, ref(one)) for one in connections if one.idle)
        self._authenticated = heapq.nsmallest(_FOUND_AT_ONCE, found, key=lambda one: one[0])
        self._authenticated.reverse()
        if not self._authenticated:
            self._search_at = now + _LOOK_AGAIN_S
        return self._pop_authenticated()

    def _pop_authenticated(self) -> G | None:
        while self._authenticated:
            deadline, weak = self._authenticated.pop()
            connection = weak()
            if connection is not None and connection.idle and connection.deadline == deadline:
                return connection
        return None
