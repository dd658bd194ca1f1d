"""Bytes that clients make the gateway hold, bounded together.

Problem. A limit on each body bounds one client. Ten thousand connections with 32 MB each are 320 GB, and no
machine has them: held bytes have to be bounded over all connections.

Decision. Each byte that is kept because of a client is counted when it is kept: bodies, from their first
byte until their call ends; pipelined bytes ahead of an answer; answers that their clients do not read. The
connection whose byte does not fit is refused, and nothing that was accepted before is dropped for it. One
owner (a key) has at most half of the whole, so that no customer's uploads shut out all others;
unauthenticated clients share one half too.

The first `FREE_BYTES` of each body are not counted: each connection has at most one such body, so the limit
on connections bounds them, and calls with ordinary prompts are served even when the budget is used up.

Rejected. Counting announced content lengths (a false one costs a client nothing); dropping the largest body
instead of the newest (both sides have paid for its bytes; slow bodies end by their timeout anyway).
"""

from __future__ import annotations

from collections.abc import Hashable

FREE_BYTES = 64 * 1024
"""Bytes of each body that are not counted."""


class Budget:
    """Budget of held bytes: `most_bytes` in all, half of them for one owner."""

    _leaves_half = False
    """True when one owner may hold no more than what is left then; else half of all."""

    def __init__(self, most_bytes: int) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._of_owner: dict[Hashable, int] = {}

    def take(self, owner: Hashable, n_bytes: int) -> bool:
        """Count `n_bytes` more for `owner`; return False, and count nothing, when they do not fit."""
        of_owner = self._of_owner.get(owner, 0) + n_bytes
        left = self._most_bytes - self.held_bytes - n_bytes
        most_of_one = left if self._leaves_half else self._most_bytes // 2
        if left < 0 or of_owner > most_of_one:
            return False
        self.held_bytes += n_bytes
        self._of_owner[owner] = of_owner
        return True

    def give_back(self, owner: Hashable, n_bytes: int) -> None:
        """Count `n_bytes` less for `owner`."""
        self.held_bytes -= n_bytes
        left = self._of_owner[owner] - n_bytes
        if left:
            self._of_owner[owner] = left
        else:
            del self._of_owner[owner]


class Places(Budget):
    """Budget of connections on which a body may be sent at once, one by one.

    One owner has no more of them than are left then: the first half of all, the next half of the rest. So
    where some agree to send slowly, connections are left for clients that send at once.
    """

    _leaves_half = True


class Held:
    """Bytes counted for one body, one answer or one backlog."""

    __slots__ = ("_budget", "_bytes", "_owner")

    def __init__(self, budget: Budget, owner: Hashable) -> None:
        self._budget = budget
        self._owner = owner
        self._bytes = 0

    def more(self, n_bytes: int) -> bool:
        """Count `n_bytes` more; return False when they do not fit."""
        fits = self._budget.take(self._owner, n_bytes)
        if fits:
            self._bytes += n_bytes
        return fits

    def release(self) -> None:
        """Give back all bytes; a second call does nothing."""
        if self._bytes:
            self._budget.give_back(self._owner, self._bytes)
            self._bytes = 0
