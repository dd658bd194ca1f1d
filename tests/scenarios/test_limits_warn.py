"""A real gateway that is killed between a warning and its receiver: it comes all the same, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.scenarios.test_gateway_killed import Client, Upstream, write_settings

from inferworks.accounts.limit import Limit, Measure, Scope, ScopeKind, Window
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.http.server import Exchange, HttpServer
from inferworks.limits.ledger import Rows
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.testing.platform import RealPlatform, real_platform
from inferworks.webhooks import verify

pytestmark = pytest.mark.slow

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHARES = (50, 80, 100)


class Receiver:
    """A receiver of webhooks that believes what is signed, and is busy for as long as it is told."""

    def __init__(self) -> None:
        self.is_busy = False
        self.asked = 0
        self.got: dict[str, dict[str, Any]] = {}
        self.twice: list[str] = []

    async def handle(self, exchange: Exchange) -> None:
        """Take a webhook."""
        self.asked += 1
        headers = {name.decode(): value.decode() for name, value in exchange.headers.items()}
        message_id = verify(headers, exchange.body, [SECRET])
        if self.is_busy:
            await exchange.respond(503, b"")
            return
        if message_id in self.got:
            self.twice.append(message_id)
        self.got[message_id] = msgspec.json.decode(exchange.body)["data"]
        await exchange.respond(204, b"")

    def shares(self) -> list[int]:
        """Return the shares that came."""
        return sorted(one["share_percent"] for one in self.got.values())


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[int]:
    """Yield the port at which the receiver listens while the block runs."""
    errors: list[BaseException] = []
    server = HttpServer(receiver.handle, on_error=errors.append)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.stop(drain_s=0.0)
        assert errors == []


def limited(platform: RealPlatform, amount: int) -> None:
    """Limit the requests of the customer, with warnings."""
    limit = Limit(
        id="limit_1",
        scope=Scope(ScopeKind.CUSTOMER, "default"),
        measure=Measure.REQUESTS,
        window=Window.TOTAL,
        amount=amount,
        warn_at=SHARES,
    )
    with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
        accounts.add_limit(limit)


def waiting(platform: RealPlatform) -> int:
    """Return the number of warnings that were tried and are not sent."""
    with closing(SqliteLimits(platform.folder.limits)) as store:
        found = store.transact(lambda rows: rows.newest_warnings(100))
    return sum(1 for one in found if one.tries and one.due_ns)


def let_time_pass(platform: RealPlatform) -> None:
    """Have the next attempts be due: their pauses are minutes."""

    def work(rows: Rows) -> None:
        for one in rows.newest_warnings(100):
            rows.put_warning(msgspec.structs.replace(one, due_ns=1))

    with closing(SqliteLimits(platform.folder.limits)) as store:
        store.transact(work)


async def becomes(is_so: Callable[[], bool]) -> None:
    """Wait up to half a minute until something is so, and look four times a second."""
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.25)


@pytest.mark.parametrize("workers", [1, 2])
def test_warnings_survive_a_kill_and_come_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """The receiver is busy until the gateway was killed; then each share comes, and none a second time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFERWORKS_WEBHOOK_SECRET", SECRET)
    receiver = Receiver()

    async def storm(platform: RealPlatform) -> None:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            async with receiving(receiver) as hook:
                write_settings(port)
                monkeypatch.setenv("INFERWORKS_WEBHOOKS_URL", f"http://127.0.0.1:{hook}/hooks")
                monkeypatch.setenv("INFERWORKS_WEBHOOKS_SECRETS", "env:INFERWORKS_WEBHOOK_SECRET")
                monkeypatch.setenv("INFERWORKS_GATEWAY_WORKERS", str(workers))
                key = platform.key()
                limited(platform, 20)
                receiver.is_busy = True
                origin = platform.start()
                clients = [Client(1, leaves=False) for _ in range(30)]
                await asyncio.gather(*(client.run(origin, key) for client in clients))
                assert sum(client.whole for client in clients) == 20
                await becomes(lambda: waiting(platform) == len(SHARES))
                platform.kill()
                assert receiver.got == {}
                receiver.is_busy = False
                let_time_pass(platform)
                platform.start()
                await becomes(lambda: receiver.shares() == list(SHARES))
                await becomes(lambda: waiting(platform) == 0)
                assert platform.stop() == 0
        finally:
            await upstream.server.stop(drain_s=0.0)

    with real_platform(tmp_path / "data") as platform:
        uvloop.run(storm(platform))
        log = platform.log()
    assert receiver.twice == []
    assert "customer default has used 80 % of limit limit_1" in log
    assert SECRET not in log
