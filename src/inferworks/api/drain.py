"""Drains: answers that are read to their end, for their usage, though their clients have left.

Problem. At some providers a disconnect stops nothing: the model writes on and the bill has all of it. The
tokens seen until then are fewer than those charged, and the rest could only be estimated.

Decision. Where an offer says `drain`, the call goes on without its client: the same task, the same
recorder, the same connection to the upstream, only that nothing is sent any more. So there is still one
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
    """Limits on reading answers whose clients have left."""

    at_once: int = 64
    """Answers at once; 0 for none."""
    seconds: float = 60.0
    """Seconds for one answer, from when its client left."""
    n_bytes: int = 4 * 1024 * 1024
    """Bytes of one streamed answer, from when its client left."""


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
        """Count `n_bytes` more; return False when they exceed the limit."""
        self._bytes_left -= n_bytes
        return self._bytes_left >= 0

    def end(self) -> None:
        """End the drain; a second call does nothing."""
        self._timer.cancel()
        self._ended(self)
