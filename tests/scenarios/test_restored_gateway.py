"""A gateway with workers and limits is backed up amid calls; a copy of it serves beside it.

The real thing: `inferworks up`, `backup` and `restore` in processes of their own, real sockets.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from tests.scenarios.test_limits_kept import budget_of, limited
from tests.scenarios.test_workers import upstream_of
from tests.support.command_line import run
from tests.support.leaks import until
from tests.support.streams import Client

from inferworks.limits.ledger import Budget
from inferworks.limits.slice_log import left_logs
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.usage import Outcome
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

JOURNALS = {"journal.db", "journal-1.db", "journal-2.db"}
KNOWN = {"accounts.db", "books.db", "ledger.db", "limits.db", *JOURNALS}
"""Databases of a gateway's folder. For a new one, say in `wiring.backup` after what it is to be copied, and
have `wiring.restore` verify it; then add it here."""


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlatform]:
    """A platform whose configuration is in the working directory."""
    monkeypatch.chdir(tmp_path)
    with real_platform(tmp_path / "data") as platform:
        yield platform


async def command(*words: object) -> Any:
    """Run a command in a process of its own, and return what it prints as JSON."""
    line = [sys.executable, "-m", "inferworks", *map(str, words), "--json"]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return msgspec.json.decode(done.stdout)


def databases(folder: Path) -> set[str]:
    """The files of SQLite in a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix()
        for path in paths
        if path.read_bytes().startswith(b"SQLite format 3\0")
    }


def whole_budget(path: Path) -> Budget:
    """Return the one budget of a store."""
    with closing(SqliteLimits(path)) as limits:
        [budget] = limits.transact(lambda rows: rows.budgets())
    return budget


def test_a_copy_goes_on_beside_the_original(platform: RealPlatform, tmp_path: Path) -> None:
    """Both serve; the copy has every earlier call once, and frees nothing that the original may spend."""
    before, amid, later = (
        [Client(tokens, leaves=False) for _ in range(6)] for tokens in (3, 1000, 3)
    )
    copy = tmp_path / "copy"

    async def main() -> None:
        async with upstream_of(2):
            key = platform.key()
            limit = limited(platform)
            data = ("--data", platform.folder.path)
            (tmp_path / "bill.csv").write_text(
                "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,"
                "ServiceCategory\n9.00,USD,2024-10-01T00:00:00Z,2024-11-01T00:00:00Z,A Cloud,Other\n"
            )
            await command("books", "import", "bill.csv", *data)
            await command("books", "close", "2024-10", *data)
            origin = platform.start()
            await asyncio.gather(*(client.run(origin, key) for client in before))
            tasks = [asyncio.create_task(client.run(origin, key)) for client in amid]
            await until(lambda: all(client.times for client in amid))
            assert databases(platform.folder.path) == KNOWN
            assert (await command("backup", tmp_path / "backup", *data))["sound"]
            assert left_logs(tmp_path / "backup" / "slices") == []
            done = await command("restore", tmp_path / "backup", "--data", copy)
            assert done["sound"]
            assert done["slices_counted_as_used"] > 0
            assert databases(copy) == KNOWN
            taken = whole_budget(tmp_path / "backup" / "limits.db")
            copied = whole_budget(copy / "limits.db")
            assert (copied.held, copied.settled) == (0, taken.held + taken.settled)
            with real_platform(copy) as second:
                beside = second.start()
                await asyncio.gather(*(client.run(beside, key) for client in later))
                assert not any(task.done() for task in tasks), "the original goes on"
                assert second.stop() == platform.stop() == 0
                await asyncio.gather(*tasks)
                assert "Traceback" not in second.log() + platform.log()
                assert budget_of(second, limit).settled > copied.settled

    uvloop.run(main())
    assert all(client.whole for client in (*before, *later))
    with JournalsReader(RealPlatform(copy).folder.journals()) as reader:
        usages = {usage.call_id: usage.outcome for usage in reader.usages(0, 1 << 62)}
        assert reader.opened_unclosed() == []
    crashed = {client.call_id for client in amid}
    assert usages == {
        **{client.call_id: Outcome.ANSWERED for client in (*before, *later)},
        **dict.fromkeys(crashed, Outcome.CRASHED),
    }
    for folder in (copy, platform.folder.path):
        run("scrub", "--data", folder)
        run("books", "verify", "--data", folder)
        run("audit", "verify", "--data", folder)
