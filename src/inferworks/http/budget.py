"""Bytes that clients make the gateway hold, bounded together.

Problem. A limit on each body bounds one client. Ten thousand connections with 32 MB each are 320 GB, and
no machine has them: what is held has to be bounded over all connections.

Decision. Each byte that is kept because of a client is counted when it is kept: of bodies, from the first
that comes until their call is over; of what is sent ahead of an answer; of answers that their clients do
not read. Whoever brings the byte that does not fit is turned away, and nothing that was let in before is
dropped for it. Of the whole, one owner (a key) has at most half, so that no customer's uploads shut out
all others; those whom nobody knows share one half too.

What is small is not counted (`FREE_BYTES` of each body): there is at most one such on each connection, so
the limit on connections bounds it, and calls with ordinary prompts are served however full it is.

Rejected. Counting the lengths that clients announce (a lie costs nothing, and holds nothing); dropping the
largest instead of the newest (its bytes were paid for, by both sides; slow ones end by their time anyway).
"""

from __future__ import annotations

from collections.abc import Hashable

FREE_BYTES = 64 * 1024
"""Of each body so much is not counted."""


class Budget:
    """Bytes that may be held at once: `most_bytes` in all, half of them for one owner."""

    def __init__(self, most_bytes: int) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._of_owner: dict[Hashable, int] = {}

    def take(self, owner: Hashable, n_bytes: int) -> bool:
        """Count `n_bytes` more for `owner`; False, and nothing is counted, when they do not fit."""
        of_owner = self._of_owner.get(owner, 0) + n_bytes
        left = self._most_bytes - self.held_bytes - n_bytes
        if left < 0 or of_owner > self._most_of_one(left):
            return False
        self.held_bytes += n_bytes
        self._of_owner[owner] = of_owner
        return True

    def _most_of_one(self, left: int) -> int:
        """The most that one owner may have when `left` are left."""
        return self._most_bytes // 2

    def give_back(self, owner: Hashable, n_bytes: int) -> None:
        """Count `n_bytes` less for `owner`."""
        self.held_bytes -= n_bytes
        left = self._of_owner[owner] - n_bytes
        if left:
            self._of_owner[owner] = left
        else:
            del self._of_owner[owner]


class Places(Budget):
    """Connections on which a body may be sent at once, counted one by one.

    One owner has no more of them than are left then: the first half of all, the next half of the rest. So
    where some agree to send slowly, places are left for those who send at once.
    """

    def _most_of_one(self, left: int) -> int:
        return left


class Held:
    """What is counted for one body, one answer or one backlog."""

    __slots__ = ("_budget", "_bytes", "_owner")

    def __init__(self, budget: Budget, owner: Hashable) -> None:
        self._budget = budget
        self._owner = owner
        self._bytes = 0

    def more(self, n_bytes: int) -> bool:
        """Count `n_bytes` more; False when they do not fit."""
        fits = self._budget.take(self._owner, n_bytes)
        if fits:
            self._bytes += n_bytes
        return fits

    def release(self) -> None:
        """Nothing of it is held any more. May be said twice."""
        if self._bytes:
            self._budget.give_back(self._owner, self._bytes)
            self._bytes = 0
