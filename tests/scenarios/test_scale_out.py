"""Three gateways, PostgreSQL and one lake, by the configuration in deploy/scale-out: a node is killed.

The real thing: `inferworks up` in processes of their own, a PostgreSQL server, real sockets, SIGKILL.
docs/scale-out.md says what fails when what is down; here it is seen to.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import uvloop
from tests.support.command_line import document, run
from tests.support.leaks import until
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.streams import Client, Upstream

from inferworks.accounts.limit import Limit
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.http.client import Origin
from inferworks.limits.ledger import Budget
from inferworks.limits.limiter import account_id
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.usage import Outcome
from inferworks.testing.platform import RealPlatform, real_platform

pytest.importorskip("psycopg")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads /proc"),
]

FILE = Path(__file__).parents[2] / "deploy" / "scale-out" / "etc" / "inferworks.toml"
NODES = ("node-1", "node-2", "node-3")
CAP = 60
SHORT, LONG = 3, 1000
UPSTREAM = """
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:{port}/v1"
models = ["m"]
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def settings(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Environment of the nodes: places, a secret, and less patience than people have."""
    given = {
        "INFERWORKS_STORE_URL": server.database(),
        "INFERWORKS_LAKE_URL": f"file://{tmp_path}/lake",
        "INFERWORKS_KEY_PEPPER": "5ec2e7" * 12,
        "INFERWORKS_OBSERVE_METRICS_LISTEN": "",
        "INFERWORKS_GATEWAY_WORKERS": "1",  # a third of the processes to start
        "INFERWORKS_GATEWAY_DRAIN_WAIT_S": "0",
        "INFERWORKS_LAKE_SEAL_S": "0.2",
        "INFERWORKS_LAKE_SEAL_AFTER_S": "0",
        "INFERWORKS_LAKE_LEAST_ROWS": "1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[RealPlatform]]:
    """Three nodes that are not started, each in a folder of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(real_platform(tmp_path / name / "data", tmp_path / name))
            for name in NODES
        ]


def budget_of(url: str, limit: Limit) -> Budget:
    """Return what the shared ledger has of a limit."""
    from inferworks.limits.stores.postgres import PostgresLimits

    name = account_id(limit, 0)
    with closing(PostgresLimits(url)) as store:
        found = store.transact(lambda rows: rows.accounts([name]))[name]
    assert isinstance(found, Budget)
    return found


def is_archived(node: RealPlatform) -> bool:
    """True once the lake has every call of a node."""
    with JournalsReader(node.folder.written_journals()) as reader:
        return not reader.unsealed_counts()["usage"] and not reader.opened_unclosed()


def test_one_budget_on_three_nodes_of_which_one_is_killed(
    nodes: list[RealPlatform], settings: dict[str, str], tmp_path: Path
) -> None:
    """As many calls are answered as the limit says, and clients, ledger and lake have the same sum."""
    early, late, last = ([Client(SHORT, leaves=False) for _ in range(n)] for n in (30, 60, 60))
    cut = [Client(LONG, leaves=False) for _ in range(4)]

    async def main() -> Limit:
        upstream = Upstream()
        port = await upstream.server.start("127.0.0.1", 0)
        try:
            text = FILE.read_text(encoding="utf-8") + UPSTREAM.format(port=port)
            for name in NODES:
                (tmp_path / name).mkdir()
                named = text.replace("[engine]\n", f'[engine]\nnode = "{name}"\n')
                (tmp_path / name / "inferworks.toml").write_text(named, encoding="utf-8")
            key, limit = await asyncio.to_thread(accounts_of, tmp_path / NODES[0])
            at = await asyncio.gather(*(asyncio.to_thread(node.start) for node in nodes))
            await run_spread(early, at, key)
            assert all(client.whole for client in early)
            tasks = [asyncio.create_task(client.run(at[2], key)) for client in cut]
            await until(lambda: all(client.times for client in cut))
            nodes[2].kill()
            await asyncio.gather(*tasks)
            await run_spread(late, at[:2], key)
            while_down = sum(client.whole for client in late)
            taken = await asyncio.to_thread(budget_of, settings["INFERWORKS_STORE_URL"], limit)
            assert taken.held + taken.settled <= CAP
            assert len(early) + while_down <= CAP
            again = await asyncio.to_thread(nodes[2].start)
            await asyncio.sleep(1.0)  # a refusal stands for half a second, and a beat settles
            await run_spread(last, [*at[:2], again], key)
            for node in nodes:
                await until(lambda node=node: is_archived(node))  # type: ignore[misc]
                assert await asyncio.to_thread(node.stop) == 0
        finally:
            await upstream.server.stop(drain_s=0.0)
        return limit

    limit = uvloop.run(main())
    answered = [client for client in (*early, *late, *last) if client.whole]
    assert len(answered) == CAP, "no more, and none that could be had was refused for good"
    budget = budget_of(settings["INFERWORKS_STORE_URL"], limit)
    assert (budget.held, budget.settled) == (0, CAP)
    for node in nodes:
        assert "Traceback" not in node.log(), node.log()
    usages = list(LakeReader(LocalLake(tmp_path / "lake")).facts(0, 2**62).usages)
    assert len({usage.call_id for usage in usages}) == len(usages)
    outcomes = Counter(usage.outcome for usage in usages)
    assert (outcomes[Outcome.ANSWERED], outcomes[Outcome.CRASHED]) == (CAP, len(cut))
    known = {usage.call_id for usage in usages if usage.outcome is Outcome.ANSWERED}
    assert known == {client.call_id for client in answered}


def accounts_of(folder: Path) -> tuple[str, Limit]:
    """Make a key and a limit by commands of one node; both are known to every node that starts."""
    where = ("--config", folder / "inferworks.toml", "--data", folder / "data")
    made: str = document("keys", "create", *where)["key"]
    run("limits", "create", "--customer", "default", "--requests", CAP, "--per", "total", *where)
    with closing(SqliteAccounts(folder / "data" / "accounts.db", read_only=True)) as accounts:
        [limit] = accounts.limits()
    return made, limit


async def run_spread(clients: list[Client], origins: Sequence[Origin], key: str) -> None:
    """Run all clients at once, dealt out to the nodes as a load balancer does."""
    begun_s = time.monotonic()
    await asyncio.gather(
        *(client.run(origins[n % len(origins)], key) for n, client in enumerate(clients))
    )
    assert time.monotonic() - begun_s < 60
