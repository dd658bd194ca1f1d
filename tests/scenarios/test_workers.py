"""Several workers on one port; one or all are killed, or fewer are started: each call is recorded once.

The real thing: `inferworks up` with its workers in processes of their own, real sockets, SIGKILL. The
statement is computed from what they leave, as for a single process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.support.command_line import invoke, run
from tests.support.leaks import until
from tests.support.streams import Client, Upstream

from inferworks.accounts.plan import PricePlan
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.http.client import Origin
from inferworks.ids import CustomerId
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.inflight_log import opening_files
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.usage import Outcome, Tokens, Usage
from inferworks.observe.table import CALLS
from inferworks.testing.exposition import parse_exposition
from inferworks.testing.platform import RealPlatform, alive, real_platform
from inferworks.wiring.books import open_books

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads /proc"),
]

SHORT, LONG = 3, 1000
FOREVER = (0, 2**62)
OUTPUT_PICO = 7
SETTINGS = """
[engine]
replicas = 0
[gateway]
workers = {workers}
drain_s = 0.5
[meter]
checkpoint_s = 0.5
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:{port}/v1"
models = [{models}]
"""


def write_settings(port: int, workers: int, models: str = '"m"') -> None:
    """The configuration of so many workers before an upstream at `port`, in the working directory."""
    settings = SETTINGS.format(port=port, workers=workers, models=models)
    Path("inferworks.toml").write_text(settings, encoding="utf-8")


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlatform]:
    """A platform in a folder of its own, with a price for output tokens."""
    monkeypatch.chdir(tmp_path)
    with real_platform(tmp_path / "data") as platform:
        platform.key()
        with closing(SqliteAccounts(platform.folder.accounts)) as accounts:
            accounts.add_plan(PricePlan.per_token(CustomerId("default"), 0, "USD", 0, OUTPUT_PICO))
        yield platform


@asynccontextmanager
async def upstream_of(workers: int) -> AsyncIterator[tuple[Upstream, int]]:
    """An upstream that the configuration of so many workers names, and its port."""
    upstream = Upstream()
    port = await upstream.server.start("127.0.0.1", 0)
    write_settings(port, workers)
    try:
        yield upstream, port
    finally:
        await upstream.server.stop(drain_s=0.0)


def children(pid: int) -> list[int]:
    """The processes that the one with this id has started."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def workers_of(platform: RealPlatform) -> list[int]:
    """The workers of a platform that runs."""
    instance = platform.folder.instance()
    assert instance is not None, "it does not run"
    return children(instance.pid)


async def get(origin: Origin, path: str, key: str = "") -> bytes:
    """The body of the answer at `path`, over a connection of its own."""
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    writer.write(head.encode())
    _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return body


async def health(origin: Origin) -> dict[str, object]:
    """The state of the whole, as any worker tells it."""
    return msgspec.json.decode(await get(origin, "/health"), type=dict[str, object])


async def until_replaced(platform: RealPlatform, origin: Origin, dead: int) -> None:
    """Wait until another worker is there for the one that is dead, and all are ready."""
    async with asyncio.timeout(60):
        while dead in workers_of(platform) or len(workers_of(platform)) < 2:
            await asyncio.sleep(0.01)
        while (await health(origin))["status"] != "ok":
            await asyncio.sleep(0.05)


async def run_all(clients: list[Client], origin: Origin, key: str) -> list[asyncio.Task[None]]:
    """Start `clients`, and wait until each has the beginning of its answer."""
    tasks = [asyncio.create_task(client.run(origin, key)) for client in clients]
    await until(lambda: all(len(client.times) >= 1 for client in clients))
    return tasks


def check_books(platform: RealPlatform, asked: Counter[str], clients: list[Client]) -> list[Usage]:
    """Every call has one record in the journals and one in the books, and its tokens earn once."""
    assert "Traceback" not in platform.log(), platform.log()
    with JournalsReader(platform.folder.journals()) as reader:
        assert reader.opened_unclosed() == []
    lake = LakeReader(LocalLake(platform.folder.lake), *platform.folder.journals())
    usages = list(lake.facts(*FOREVER).usages)
    by_id = {str(usage.call_id): usage for usage in usages}
    assert len(by_id) == len(usages) == len(clients)
    assert set(asked) == set(by_id)
    assert set(asked.values()) == {1}
    for client in clients:
        usage = by_id[client.call_id]
        if client.whole:
            assert (usage.outcome, usage.tokens) == (Outcome.ANSWERED, Tokens(7, client.tokens))
        else:
            assert usage.outcome in {Outcome.CRASHED, Outcome.CANCELLED, Outcome.FAILED}
    books = open_books(platform.folder.path)
    statement = books.statement(books.query(start_ns=0, end_ns=time.time_ns()))
    earned = sum(usage.tokens.output for usage in usages) * OUTPUT_PICO
    assert statement.revenue_pico == earned
    return usages


def test_a_killed_worker_is_replaced_and_its_calls_are_closed(platform: RealPlatform) -> None:
    """The calls of the others go on, new clients are served meanwhile, and no call is lost or doubled."""
    long = [Client(LONG, leaves=False) for _ in range(60)]
    later = [Client(SHORT, leaves=False) for _ in range(30)]
    after = [Client(SHORT, leaves=False) for _ in range(30)]

    async def main() -> tuple[Counter[str], int]:
        async with upstream_of(2) as (upstream, _):
            key, origin = platform.key(), platform.start()
            tasks = await run_all(long, origin, key)
            running = workers_of(platform)
            assert len(running) == 2
            os.kill(running[0], signal.SIGKILL)
            tasks += [asyncio.create_task(client.run(origin, key)) for client in later]
            await asyncio.gather(*tasks[-len(later) :])
            await until_replaced(platform, origin, running[0])
            replaced = workers_of(platform)
            assert len(replaced) == 2
            assert set(replaced) & set(running) == {running[1]}
            await asyncio.gather(*(client.run(origin, key) for client in after))
            going_on = sum(not task.done() for task in tasks)
            assert platform.stop() == 0
            await asyncio.gather(*tasks)
        return upstream.asked, going_on

    asked, going_on = uvloop.run(main())
    usages = check_books(platform, asked, [*long, *later, *after])
    assert all(client.whole for client in later + after), "clients are served while one is replaced"
    crashed = sum(usage.outcome is Outcome.CRASHED for usage in usages)
    assert crashed + going_on == len(long), "the streams of the other worker went on"
    assert crashed > 0 < going_on, "60 connections all at one of two workers"
    assert "worker-" in platform.log()
    assert [path.name for path in platform.folder.journals()] == [
        "journal.db", "journal-1.db", "journal-2.db",
    ]  # fmt: skip
    assert not [f for path in platform.folder.journals() for f in opening_files(path)]


def test_workers_end_with_the_process_that_holds_the_folder(platform: RealPlatform) -> None:
    """SIGKILL leaves no orphan that serves or writes, and the next start closes the calls of all."""
    clients = [Client(LONG, leaves=False) for _ in range(40)]

    async def main() -> Counter[str]:
        async with upstream_of(2) as (upstream, _):
            key, origin = platform.key(), platform.start()
            tasks = await run_all(clients, origin, key)
            workers = workers_of(platform)
            platform.kill()
            await asyncio.gather(*tasks)
            await until(lambda: not any(map(alive, workers)))
            platform.start()
            assert platform.stop() == 0
        return upstream.asked

    usages = check_books(platform, uvloop.run(main()), clients)
    assert {usage.outcome for usage in usages} == {Outcome.CRASHED}


def test_fewer_workers_lose_nothing(platform: RealPlatform) -> None:
    """From four to two and to one: calls of those that are no more are closed, read and archived."""
    clients = [[Client(n, leaves=False) for n in (SHORT, LONG) * 10] for _ in range(3)]

    async def main() -> Counter[str]:
        asked: Counter[str] = Counter()
        key = platform.key()
        for some, workers in zip(clients, (4, 2, 1), strict=True):
            async with upstream_of(workers) as (upstream, _):
                origin = platform.start()
                tasks = await run_all(some, origin, key)
                await asyncio.gather(
                    *(t for t, c in zip(tasks, some, strict=True) if c.tokens == SHORT)
                )
                platform.kill()
                await asyncio.gather(*tasks)
                asked += upstream.asked
        platform.start()
        assert platform.stop() == 0
        return asked

    asked = uvloop.run(main())
    every = [client for some in clients for client in some]
    check_books(platform, asked, every)
    assert len(platform.folder.journals()) == 5
    data = ["--data", str(platform.folder.path)]
    counted = msgspec.json.decode(invoke("status", "--json", *data).stdout)
    assert sum(counted["calls"].values()) == len(every)
    assert run("lake", "seal", "--all", *data).exit_code == 0
    assert run("scrub", *data).exit_code == 0
    with JournalsReader(platform.folder.journals()) as reader:
        assert reader.unsealed_counts()["usage"] == 0
    check_books(platform, asked, every)
    instance = msgspec.json.decode((platform.folder.path / "instance.json").read_bytes())
    assert instance["workers"] == 4
    platform.folder.worker_journal(3).unlink()
    with pytest.raises(AssertionError, match=r"journal-3\.db is gone"):
        platform.start()


def test_figures_reports_and_settings_are_of_all_workers(platform: RealPlatform) -> None:
    """Counters never fall, a report counts once whoever takes it, and SIGHUP reaches every worker."""

    async def main() -> None:
        async with upstream_of(2) as (_, port):
            key = platform.key()
            monitor = msgspec.json.decode(
                run(
                    "keys", "create", "--monitor", "--json", "--data", str(platform.folder.path)
                ).stdout
            )["key"]
            origin = platform.start()

            async def counted() -> int:
                text = (await get(origin, "/metrics", monitor)).decode()
                return int(parse_exposition(text).sum(CALLS.name))

            clients = [Client(SHORT, leaves=False) for _ in range(20)]
            await asyncio.gather(*(client.run(origin, key) for client in clients))
            assert [await counted() for _ in range(8)] == [20] * 8
            [_, dead] = workers_of(platform)
            os.kill(dead, signal.SIGKILL)
            seen = [await counted() for _ in range(8)]
            await until_replaced(platform, origin, dead)
            assert {*seen, await counted()} == {20}
            assert set((await health(origin))["workers"].values()) == {"ready"}  # type: ignore[attr-defined]
            await check_reports(origin, platform)
            await check_reload(origin, key, port)
            assert platform.stop() == 0

    uvloop.run(main())


async def check_reports(origin: Origin, platform: RealPlatform) -> None:
    """The same report over many connections is accepted once."""
    created = run(
        *(
            "keys",
            "create",
            "--report",
            "trainer",
            "--purpose",
            "train-gradient",
            "--ours",
            "--json",
        ),
        *("--data", str(platform.folder.path)),
    )
    key = msgspec.json.decode(created.stdout)["key"]
    start_ns = time.time_ns() - 10**9
    data = {
        "resource": "gpu-1",
        "purpose": "train-gradient",
        "start_ns": start_ns,
        "end_ns": start_ns + 5,
        "quantity": 5,
        "unit": "node_ns",
    }
    named = {"specversion": "1.0", "type": "inferworks.activity", "source": "trainer", "id": "1"}
    event = msgspec.json.encode({**named, "data": data})
    await asyncio.sleep(1.5)  # a key is known within a second
    accepted = [await post(origin, "/v1/usage/events", key, event) for _ in range(10)]
    counts = Counter((one["accepted"], one["duplicate"]) for one in accepted)
    assert counts == {(1, 0): 1, (0, 1): 9}


async def post(origin: Origin, path: str, key: str, body: bytes) -> dict[str, int]:
    """The answer to `body`, over a connection of its own."""
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/cloudevents+json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    said, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert b" 200 " in said, answer
    return msgspec.json.decode(answer, type=dict[str, int])


async def check_reload(origin: Origin, key: str, port: int) -> None:
    """A model that the configuration names since is served by every worker."""
    write_settings(port, 2, '"m", "n"')

    async def everywhere() -> bool:
        answers = [await get(origin, "/v1/models", key) for _ in range(10)]
        return all(b'"n"' in answer for answer in answers)

    async with asyncio.timeout(20):
        while not await everywhere():
            await asyncio.sleep(0.1)
