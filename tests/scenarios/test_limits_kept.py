"""Limits of real gateways: kept by several workers at once, and settled after one was killed amid streams.

The real thing: `inferworks up` in its own process before an upstream of this one, real sockets, SIGKILL.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
import uvloop
from tests.scenarios.test_gateway_killed import Client, Upstream, read_usages, write_settings
from tests.support.leaks import until

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.ids import CustomerId
from inferworks.limits.ledger import Budget
from inferworks.limits.limiter import account_id
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Outcome
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

INPUT_PICO, OUTPUT_PICO = 500_000, 1_500_000
CAP_PICO = 10**12
CUSTOMER = CustomerId("default")


def limited(platform: RealPlatform) -> Limit:
    """Put the customer under a plan and a limit."""
    limit = Limit(
        id="limit_1",
        scope=Scope(ScopeKind.CUSTOMER, CUSTOMER),
        measure=Measure.MONEY,
        window=Window.TOTAL,
        amount=CAP_PICO,
        currency="USD",
    )
    with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
        accounts.add_plan(PricePlan(CUSTOMER, 1, token_terms("USD", INPUT_PICO, OUTPUT_PICO)))
        accounts.add_limit(limit)
    return limit


def budget_of(platform: RealPlatform, limit: Limit) -> Budget:
    """Return what the ledger has of a limit."""
    name = account_id(limit, 0)
    with closing(SqliteLimits(platform.folder.limits)) as store:
        found = store.transact(lambda rows: rows.accounts([name]))[name]
    assert isinstance(found, Budget)
    return found


def test_sigkill_leaves_the_ledger_and_the_books_of_one_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, cut and later calls are settled at what the customer is charged for them, to the picounit."""
    monkeypatch.chdir(tmp_path)
    short, long = (
        [Client(3, leaves=False) for _ in range(5)],
        [Client(1000, leaves=False) for _ in range(5)],
    )

    async def storm(platform: RealPlatform) -> Limit:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            write_settings(port)
            key = platform.key()
            limit = limited(platform)
            origin = platform.start()
            tasks = [asyncio.ensure_future(client.run(origin, key)) for client in (*short, *long)]
            await until(lambda: all(client.whole for client in short))
            await until(lambda: all(len(client.times) >= 3 for client in long))
            held = budget_of(platform, limit)
            assert 0 < held.held + held.settled <= CAP_PICO
            platform.kill()
            await asyncio.gather(*tasks)
            origin = platform.start()
            last = Client(2, leaves=False)
            await last.run(origin, key)
            assert last.whole
            assert platform.stop() == 0
        finally:
            await upstream.server.stop(drain_s=0.0)
        return limit

    with real_platform(tmp_path / "data") as platform:
        limit = uvloop.run(storm(platform))
        usages = read_usages(platform)
        budget = budget_of(platform, limit)
    assert [usage.outcome for usage in usages].count(Outcome.ANSWERED) == 6
    charged = sum(
        usage.tokens.input * INPUT_PICO + usage.tokens.output * OUTPUT_PICO for usage in usages
    )
    assert (budget.held, budget.settled) == (0, charged)
    assert list(platform.folder.slices.iterdir()) == []


def have_two_workers(file: Path) -> None:
    """Change a configuration, so that two workers serve."""
    settings = file.read_text("utf-8").replace("[gateway]", "[gateway]\nworkers = 2")
    file.write_text(settings, "utf-8")


def test_two_workers_answer_exactly_as_many_calls_as_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 150 clients 40 are answered: the first 30, by both workers, and 10 of the others."""
    monkeypatch.chdir(tmp_path)
    first, others = (
        [Client(1, leaves=False) for _ in range(30)],
        [Client(1, leaves=False) for _ in range(120)],
    )

    async def storm(platform: RealPlatform) -> Limit:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            write_settings(port)
            have_two_workers(Path("inferworks.toml"))
            key = platform.key()
            limit = Limit(
                id="limit_1",
                scope=Scope(ScopeKind.CUSTOMER, CUSTOMER),
                measure=Measure.REQUESTS,
                window=Window.TOTAL,
                amount=40,
            )
            with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
                accounts.add_limit(limit)
            origin = platform.start()
            for clients in (first, others):
                await asyncio.gather(*(client.run(origin, key) for client in clients))
            assert platform.stop() == 0
        finally:
            await upstream.server.stop(drain_s=0.0)
        return limit

    with real_platform(tmp_path / "data") as platform:
        limit = uvloop.run(storm(platform))
        budget = budget_of(platform, limit)
        journals = platform.folder.written_journals()
        answered = []
        for path in journals:
            with JournalReader(path) as reader:
                usages = reader.facts(0, 2**63 - 1).usages
                answered.append(sum(usage.outcome is Outcome.ANSWERED for usage in usages))
    assert all(client.whole for client in first)
    assert sum(client.whole for client in (*first, *others)) == sum(answered) == 40
    assert sum(count > 0 for count in answered) == 2
    assert (budget.held, budget.settled) == (0, 40)
