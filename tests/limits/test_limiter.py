"""Gateways with production code on one ledger, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.clock import SystemClock
from inferworks.ids import CallId
from inferworks.limits.ledger import Budget, Gateway
from inferworks.limits.limiter import Amounts, Limiter, LimitReachedError
from inferworks.limits.slice_log import SliceLog
from inferworks.limits.stores.stub import MemoryLedger, MemoryLimits


def limit(
    amount: int, measure: Measure = Measure.REQUESTS, window: Window = Window.TOTAL, **more: object
) -> Limit:
    """Return a limit on a key."""
    fields: dict[str, object] = {"currency": "USD"} if measure is Measure.MONEY else {}
    scope = Scope(ScopeKind.KEY, "key_1")
    made = {"id": "limit_1", "scope": scope, "measure": measure, "window": window, "amount": amount}
    return Limit(**(made | fields | more))  # type: ignore[arg-type]


@asynccontextmanager
async def gateways(
    folder: Path, ledger: MemoryLedger, count: int
) -> AsyncIterator[Sequence[Limiter]]:
    """Run `count` limiters on one ledger, each with its beat."""
    found = []
    for number in range(count):
        log = SliceLog(folder / f"place{number}", f"run{number}", "boot")
        gateway = Gateway(f"run{number}", f"place{number}", "boot", 0)
        found.append(Limiter(MemoryLimits(ledger), log, gateway, SystemClock()))

    async def beats(one: Limiter) -> None:
        while True:
            await one.beat()
            await asyncio.sleep(0.02)

    tasks = [asyncio.ensure_future(beats(one)) for one in found]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in found:
            await one.close()


async def calls(
    limiter: Limiter, limits: Sequence[Limit], count: int, most: Amounts, used: Amounts
) -> int:
    """Make so many calls at once, and return the number that were admitted."""

    async def call(number: int) -> bool:
        accounts = limiter.accounts(limits, SystemClock().now_ns())
        try:
            hold = await limiter.hold(accounts, CallId(f"call{id(limiter)}-{number}"), most)
        except LimitReachedError:
            return False
        await asyncio.sleep(0.001)
        hold.end(used)
        return True

    return sum(await asyncio.gather(*(call(number) for number in range(count))))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_exactly_so_many_calls_exactly_so_many_are_admitted(tmp_path: Path, count: int) -> None:
    """A limit of 100 calls admits 100 of 400, on any number of gateways."""
    ledger, one = MemoryLedger(), Amounts(0, 0)

    async def run() -> None:
        async with gateways(tmp_path, ledger, count) as limiters:
            each = [calls(limiter, [limit(100)], 400 // count, one, one) for limiter in limiters]
            assert sum(await asyncio.gather(*each)) == 100
            assert sum(limiter.draws for limiter in limiters) < 100

    asyncio.run(run())
    [budget] = ledger.accounts.values()
    assert isinstance(budget, Budget)
    assert (budget.held, budget.settled) == (0, 100)
