"""Delivery of warnings: each at least once to its receiver, from the store's rows, and never for ever.

A sender takes what is due and is not taken: it puts the next attempt a minute off before it begins, in the
transaction that reads. So two senders do not send one warning at a time, and when one dies in the middle,
another sends it a minute later. What a receiver has taken is marked as sent; an attempt that fails is
repeated after pauses that grow (`_PAUSES_S`), three days in all, and then given up, with a line in the log.

The receiver may get one twice (we die between its answer and our mark): it knows it by its id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from inferworks.errors import UpstreamError
from inferworks.limits.ledger import Rows
from inferworks.limits.stores.base import LimitsStore
from inferworks.limits.warnings import LimitWarning
from inferworks.units import NS_PER_SECOND

AT_ONCE: Final = 8
"""Messages that are under way at once."""
_TAKEN_NS: Final = 60 * NS_PER_SECOND
"""Time for which a sender has what it took; an attempt takes less than half of it."""
_PAUSES_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses between attempts, in seconds, as Standard Webhooks advises."""
_JITTER: Final = 0.1
_LONGEST_ASKED_S: Final = 86_400

_log = logging.getLogger("inferworks.webhooks")


class NotTakenError(UpstreamError):
    """A receiver did not take a message. It may say when to try again, or that it wants none any more."""

    def __init__(self, message: str, after_s: int = 0, *, is_final: bool = False) -> None:
        super().__init__(message, sent=True)
        self.after_s = after_s
        self.is_final = is_final


class Receiver(Protocol):
    """Receiver of warnings."""

    async def take(self, warning: LimitWarning) -> None:
        """Deliver a warning. UpstreamError where it was not taken; `NotTakenError` where it says more."""
        ...


class Outbox:
    """Sender of the warnings in `store`, which it has for itself."""

    def __init__(self, store: LimitsStore, receiver: Receiver) -> None:
        self._store = store
        self._receiver = receiver
        self.outcomes: Counter[str] = Counter()
        """Attempts so far: `delivered`, `failed`; and warnings that were `given_up`."""

    async def send(self) -> int:
        """Send what is due, and return the number of attempts. LimitsError when the store is away."""
        count = 0
        while taken := await asyncio.to_thread(self._store.transact, _taken):
            count += len(taken)
            done = await asyncio.gather(*(self._attempt(one) for one in taken))
            await asyncio.to_thread(self._keep, done)
        return count

    async def _attempt(self, warning: LimitWarning) -> tuple[LimitWarning, float | None]:
        """Try once; return the warning, and the pause before the next attempt, None where there is none."""
        try:
            await self._receiver.take(warning)
        except UpstreamError as error:
            self.outcomes["failed"] += 1
            is_last = warning.tries > len(_PAUSES_S) or getattr(error, "is_final", False)
            _log.log(
                logging.ERROR if is_last else logging.WARNING,
                "warning %s was not taken, %s: %s",
                warning.id,
                "and is given up" if is_last else "and will be sent again",
                error,
            )
            if is_last:
                self.outcomes["given_up"] += 1
                return warning, None
            pause_s = _PAUSES_S[warning.tries - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311
            asked_s = min(getattr(error, "after_s", 0), _LONGEST_ASKED_S)
            return warning, max(pause_s, asked_s)
        self.outcomes["delivered"] += 1
        return warning, 0.0

    def _keep(self, done: Sequence[tuple[LimitWarning, float | None]]) -> None:
        """Record what became of attempts."""

        def work(rows: Rows) -> None:
            now_ns = rows.now_ns()
            for warning, pause_s in done:
                sent_ns = now_ns if pause_s == 0 else 0
                due_ns = now_ns + round(pause_s * NS_PER_SECOND) if pause_s else 0
                rows.put_warning(msgspec.structs.replace(warning, due_ns=due_ns, sent_ns=sent_ns))

        self._store.transact(work)


def _taken(rows: Rows) -> list[LimitWarning]:
    """Take what is due."""
    later_ns = rows.now_ns() + _TAKEN_NS
    taken = [
        msgspec.structs.replace(one, due_ns=later_ns, tries=one.tries + 1)
        for one in rows.due_warnings(AT_ONCE)
    ]
    for one in taken:
        rows.put_warning(one)
    return taken
