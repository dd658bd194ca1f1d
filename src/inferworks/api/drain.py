"""Reading on when nobody listens: answers that are paid for to their end are read to their end.

Problem. At some providers a client that leaves stops nothing: the model writes on and the bill has all of
it. What was seen until then is then less than what it costs, and a guess at the rest is a guess.

Decision. Where an offer says `drain`, the call goes on without its client: the same task, the same
tally, the same connection to the upstream, only that nothing is sent any more. So there is still one
place where the call ends, and no second owner of anything. `Drains` bounds it: so many at once, so many
seconds and bytes each; beyond that the answer is dropped and what was made is estimated.

Rejected. A task of its own for each call that may have to be drained (3 microseconds for every call, for
the few whose client leaves); handing the stream over when the client leaves (a cancelled `await` has
taken half of it down by then).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec


class DrainLimits(msgspec.Struct, frozen=True):
    """How much is read for clients that have left."""

    at_once: int = 64
    """Answers at once; 0 for none ever."""
    seconds: float = 60.0
    """For one answer, from when its client left."""
    n_bytes: int = 4 * 1024 * 1024
    """Of one answer that is streamed, from when its client left."""


_DEFAULT = DrainLimits()


class Drains:
    """The answers that are read to their end though their clients have left."""

    def __init__(self, limits: DrainLimits = _DEFAULT) -> None:
        self.limits = limits
        self._running: set[Drain] = set()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, cut: Callable[[], object], *, is_over: bool = False) -> Drain | None:
        """Begin one, to be ended with its `end`; None when there are too many. `cut` cancels its task.

        One that `is_over` waits for what it has used and nothing else, so there are never too many.
        """
        if len(self._running) >= self.limits.at_once and not is_over:
            return None
        drain = Drain(self.limits, cut, self._running.discard)
        self._running.add(drain)
        return drain


class Drain:
    """One answer that is read on. Its task is cancelled when its time is over."""

    def __init__(
        self, limits: DrainLimits, cut: Callable[[], object], ended: Callable[[Drain], None]
    ) -> None:
        self._bytes_left = limits.n_bytes
        self._timer = asyncio.get_running_loop().call_later(limits.seconds, cut)
        self._ended = ended

    def takes(self, n_bytes: int) -> bool:
        """Whether `n_bytes` more may be read."""
        self._bytes_left -= n_bytes
        return self._bytes_left >= 0

    def end(self) -> None:
        """It is over; a second time does nothing."""
        self._timer.cancel()
        self._ended(self)
