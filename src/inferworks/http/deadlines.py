"""Many deadlines and one timer.

Each wait for an upstream has a limit, and nearly none of them is ever reached. A timer of the event loop
for each costs 3 microseconds a wait, most of it to take the timer back. So who waits writes down until
when, which costs nothing, and one timer is set for the earliest of all. When it rings, those that are
late are told, and it is set again for the earliest that is left. A deadline that has been met, or put off,
is noticed only then. The limits are of a few lengths, so a new deadline is hardly ever the earliest, and
the timer rings about once in each of those lengths.

Rejected. A tick every so often (it rings while nothing waits, and it is late by up to a tick); a heap of
deadlines (log n for each wait, and what was met has to be found and taken out again).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

NEVER = float("inf")


class HasDeadline(Protocol):
    """Object with a deadline."""

    deadline: float
    """Time on the event loop's clock, in seconds; `NEVER` while nothing is waited for."""

    def late(self) -> None:
        """Handle a deadline that has passed."""
        ...


class Deadlines:
    """Tells its `members` when they are late. Used in one event loop; `close` it with the last of them."""

    def __init__(self) -> None:
        self.members: set[HasDeadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.fires_at = NEVER
        """Time at which the timer fires; a deadline that is no earlier needs no call of `expect`."""

    def expect(self, deadline: float) -> None:
        """A member has set its deadline to `deadline`."""
        if deadline < self.fires_at:
            self.close()
            self.fires_at = deadline
            self._timer = asyncio.get_running_loop().call_at(deadline, self._fire)

    def close(self) -> None:
        """Stop the timer."""
        self.fires_at = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self.close()
        now = asyncio.get_running_loop().time()
        for member in [member for member in self.members if member.deadline <= now]:
            member.late()
        self.expect(min((member.deadline for member in self.members), default=NEVER))
