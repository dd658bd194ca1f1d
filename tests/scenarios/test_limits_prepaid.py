"""A prepaid customer of a real gateway: credit that ends amid streams, is topped up and paid back."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import uvloop
from click.testing import CliRunner
from tests.scenarios.test_gateway_killed import read_usages, write_settings
from tests.support import streams
from tests.support.leaks import until
from tests.support.streams import Client, Upstream

from inferworks.accounts.plan import PricePlan, token_terms
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.cli.main import cli
from inferworks.ids import CustomerId
from inferworks.limits.ledger import Budget
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.money import PICO
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

INPUT_PICO, OUTPUT_PICO = 500_000, 1_500_000
CUSTOMER = CustomerId("default")


def run(platform: RealPlatform, *words: str) -> str:
    """Run a command on the folder of the platform, and return what it printed."""
    done = CliRunner().invoke(cli, [*words, "--data", str(platform.folder.path)])
    assert done.exit_code == 0, done.output
    return done.stdout


def listed(platform: RealPlatform) -> dict[str, Any]:
    """Return the limit as it is listed."""
    [one] = json.loads(run(platform, "limits", "list", "--json"))
    assert isinstance(one, dict)
    return one


async def admitted(platform: RealPlatform, origin: Any, key: str) -> int:
    """Make short calls until one is refused; return how many were answered."""
    for count in range(20):
        client = Client(16, leaves=False)
        await client.run(origin, key)
        if not client.whole:
            assert b"429" in client.data.split(b"\r\n")[0]
            assert b'"insufficient_quota"' in client.data
            assert b"your prepaid credit is used up" in client.data
            return count
    raise AssertionError("the credit does not end")


def test_credit_ends_amid_streams_and_books_and_ledger_are_of_one_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams end cleanly; a purchase counts within a second, a refund too; after SIGKILL sums agree."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streams, "EVENT_S", 0.02)

    async def storm(platform: RealPlatform) -> None:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            write_settings(port)
            key = platform.key()
            with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
                terms = token_terms("USD", INPUT_PICO, OUTPUT_PICO)
                accounts.add_plan(PricePlan(CUSTOMER, 1, terms))
            run(platform, "customers", "credit", CUSTOMER, "--amount", "0.0003")
            made = run(platform, "limits", "create", "--customer", CUSTOMER, "--prepaid")
            assert "customer default may use 0.0003 USD of prepaid credit" in made
            origin = platform.start()
            cut = [Client(1000, leaves=False) for _ in range(2)]
            await asyncio.gather(*(client.run(origin, key) for client in cut))
            assert any(b'"ended_by":"limit"' in client.data for client in cut)
            assert any(b'"finish_reason":"length"' in client.data for client in cut)
            await admitted(platform, origin, key)
            await asyncio.to_thread(
                run, platform, "customers", "credit", CUSTOMER, "--amount", "0.01"
            )
            await asyncio.sleep(1.2)  # a gateway reads it within a second
            long = [Client(1000, leaves=False) for _ in range(3)]
            tasks = [asyncio.ensure_future(client.run(origin, key)) for client in long]
            await until(lambda: all(len(client.times) >= 3 for client in long))
            platform.kill()
            await asyncio.gather(*tasks)
            origin = platform.start()
            last = Client(16, leaves=False)
            await last.run(origin, key)
            assert last.whole
            await asyncio.to_thread(
                run, platform, "customers", "credit", CUSTOMER, "--amount=-1", "--reason", "ends"
            )
            await asyncio.sleep(1.2)
            assert await admitted(platform, origin, key) == 0
            assert platform.stop() == 0
        finally:
            await upstream.server.stop(drain_s=0.0)

    with real_platform(tmp_path / "data") as platform:
        uvloop.run(storm(platform))
        usages = read_usages(platform)
        charged = sum(
            usage.tokens.input * INPUT_PICO + usage.tokens.output * OUTPUT_PICO for usage in usages
        )
        limit = listed(platform)
        [wallet] = json.loads(run(platform, "customers", "wallets", CUSTOMER, "--json"))
        with closing(SqliteLimits(platform.folder.limits)) as store:
            name = f"{limit['id']}/money-USD/total@0"
            budget = store.transact(lambda rows: rows.accounts([name]))[name]
    assert isinstance(budget, Budget)
    assert (budget.held, budget.settled) == (0, charged)
    assert Decimal(wallet["used"]) * PICO == charged
    assert Decimal(wallet["left"]) == 0
    assert Decimal(limit["used"]) == Decimal(wallet["used"])
    assert Decimal(limit["left"]) == 0
