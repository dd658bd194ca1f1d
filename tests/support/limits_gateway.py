"""A gateway as far as its limits go, in a process of its own: `limits_gateway.py STORE FOLDER RUN`.

It makes calls that hold, use and end, as fast as the limits let it. `FOLDER/slices` is its disk, which may
be lost. `FOLDER/truth-RUN` stands for what the upstreams know: a line for each hold, for each amount that
was truly used, and for each end.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.clock import SystemClock
from inferworks.errors import LimitsError
from inferworks.ids import CallId
from inferworks.limits.ledger import Gateway
from inferworks.limits.limiter import BEAT_S, Amounts, Limiter, LimitReachedError, account_id
from inferworks.limits.slice_log import SliceLog, left_logs
from inferworks.limits.stores.base import LimitsStore

CAP_PICO: Final = 3_000_000
CALLS: Final = 16
"""Calls under way at once."""
SCOPE: Final = Scope(ScopeKind.CUSTOMER, "customer")
MONEY: Final = Limit(
    id="money",
    scope=SCOPE,
    measure=Measure.MONEY,
    window=Window.TOTAL,
    amount=CAP_PICO,
    currency="USD",
)
REQUESTS: Final = Limit(
    id="requests", scope=SCOPE, measure=Measure.REQUESTS, window=Window.TOTAL, amount=10**9
)
BUDGET: Final = account_id(MONEY, 0)


def opened(store: str) -> LimitsStore:
    """Return the store at a path or a URL."""
    if store.startswith("postgresql:"):
        from inferworks.limits.stores.postgres import PostgresLimits

        return PostgresLimits(store)
    from inferworks.limits.stores.sqlite import SqliteLimits

    return SqliteLimits(Path(store))


def limiter_of(store: LimitsStore, folder: Path, run: str) -> Limiter:
    """Return a limiter with its log in `folder`."""
    log = SliceLog(folder / "slices", run, "boot")
    return Limiter(store, log, Gateway(run, str(folder), "boot", 0), SystemClock())


class Truth:
    """Record of what the upstreams know of one run."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, kind: str, call: str, amount: int) -> None:
        """Write a line; it survives the death of this process."""
        os.write(self._file, f"{kind} {call} {amount}\n".encode())


async def serve(store: str, folder: Path, run: str) -> None:
    """Settle what earlier lives left, and make calls until killed."""
    left = left_logs(folder / "slices")
    limiter = limiter_of(opened(store), folder, run)
    truth = Truth(folder / f"truth-{run}")
    numbers = count()

    async def beats() -> None:
        nonlocal left
        while True:
            with suppress(LimitsError):
                await limiter.settle_left(left, {})
                left = []
                await limiter.beat()
            await asyncio.sleep(BEAT_S)

    async def calls() -> None:
        while True:
            call = f"{run}-{next(numbers)}"
            most = random.randint(50, 1000)
            accounts = limiter.accounts((MONEY, REQUESTS), SystemClock().now_ns())
            try:
                hold = await limiter.hold(accounts, CallId(call), Amounts(most, 0))
                truth.note("held", call, most)
                if most % 7 == 0:
                    more = random.randint(50, 1000)
                    await hold.extend(Amounts(more, 0))
                    most += more
                    truth.note("held", call, more)
            except (LimitReachedError, LimitsError):
                await asyncio.sleep(0.05)
                continue
            used = 0
            for _ in range(random.randint(1, 3)):
                await asyncio.sleep(random.random() * 0.01)
                piece = random.randint(0, most - used)
                truth.note("used", call, piece)
                used += piece
            hold.end(Amounts(used, 0))
            truth.note("ended", call, used)

    await asyncio.gather(beats(), *(calls() for _ in range(CALLS)))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
