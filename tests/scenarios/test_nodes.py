"""Several gateways, one set of books: shipped to a hub, or archived into one lake.

The real thing: `inferworks up` in processes of their own, an upstream of this one, real sockets, SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.support.command_line import document, invoke, run

from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.reader import JournalReader
from inferworks.meter.shipping.shipment import Run, Shipment, beginning
from inferworks.meter.tables import SCHEMA_VERSION
from inferworks.meter.usage import Usage
from inferworks.testing.platform import RealPlatform, real_platform

pytestmark = pytest.mark.slow

CALLS = 20
EVER = 2**63 - 1
HUB = "[engine]\nreplicas = 0\n"
NODE = """
[engine]
replicas = 0
node = "{node}"
[[upstream]]
name = "up"
provider = "vllm"
url = "http://127.0.0.1:{upstream}/v1"
models = ["m"]
"""
SHIP = """
[ship]
url = "http://127.0.0.1:{hub}/v1"
key = "file:{key}"
every_s = 0.05
"""
LAKE = """
[lake]
url = "file://{lake}"
seal_s = 0.1
seal_after_s = 0
least_rows = 1
"""


async def answer(exchange: Exchange) -> None:
    """Answer as a model would."""
    if exchange.method == "GET":
        await exchange.respond(200, b'{"data": []}')
        return
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    message = {"role": "assistant", "content": "Yes."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await exchange.respond(200, msgspec.json.encode({"choices": [choice], "usage": usage}))


async def call(client: HttpClient, origin: Origin, key: str, times: int) -> None:
    """Make so many calls, each of which is answered."""
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "Yes?"}]})
    for _ in range(times):
        assert (await post(client, origin, "/v1/chat/completions", key, body))[0] == 200


async def post(
    client: HttpClient, origin: Origin, path: str, key: str, body: bytes
) -> tuple[int, bytes]:
    """Status and body of the answer to a request."""
    headers = [(b"authorization", f"Bearer {key}".encode())]
    bare = Origin(origin.host, origin.port, origin.tls, "")
    async with client.stream("POST", bare, path, headers, body) as response:
        return response.status, await response.read(10.0, 1 << 20)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds`, which files show, however busy the machine is."""
    async with asyncio.timeout(90):
        while not holds():
            await asyncio.sleep(0.1)


def usages(platform: RealPlatform) -> dict[str, Usage]:
    """The calls in the journal of a platform, by their ids."""
    if not platform.folder.journal.exists():
        return {}
    with JournalReader(platform.folder.journal) as reader:
        return {usage.call_id: usage for usage in reader.usages(0, EVER)}


def configured(path: Path, text: str) -> Path:
    """A working directory with that configuration."""
    path.mkdir(exist_ok=True)
    (path / "inferworks.toml").write_text(text, encoding="utf-8")
    return path


def with_upstream(act: Callable[[int], Awaitable[None]]) -> None:
    """Run `act` beside an upstream, at the port that it gets."""

    async def beside() -> None:
        server = HttpServer(answer)
        port = await server.start("127.0.0.1", 0)
        try:
            await act(port)
        finally:
            await server.stop(drain_s=0.0)

    uvloop.run(beside())


def test_a_node_ships_to_its_hub(tmp_path: Path) -> None:
    """Hub and node are killed, the hub is away for a while: it has every call of the node once."""
    key_file = tmp_path / "key"
    hub_folder = configured(tmp_path / "hub", HUB)
    made = document("keys", "create", "--ship", "edge-7", "--data", hub_folder / "data")
    key_file.write_text(made["key"])

    async def act(upstream: int) -> None:
        node_text = NODE.format(node="edge-7", upstream=upstream)
        client = HttpClient()
        with (
            real_platform(hub_folder / "data", hub_folder) as hub,
            real_platform(tmp_path / "node" / "data", tmp_path / "node") as node,
        ):
            caller, other = node.key(), hub.key()

            async def start_node(hub_port: int) -> Origin:
                text = node_text + SHIP.format(hub=hub_port, key=key_file)
                configured(tmp_path / "node", text)
                return await asyncio.to_thread(node.start)

            hub_at = await asyncio.to_thread(hub.start)
            node_at = await start_node(hub_at.port)
            await call(client, node_at, caller, CALLS)
            await until(lambda: len(usages(hub)) == CALLS)
            await check_rights(client, hub_at, made["key"], other)
            hub.kill()
            await call(client, node_at, caller, CALLS)  # while the hub is away
            node.kill()
            hub_at = await asyncio.to_thread(hub.start)
            node_at = await start_node(hub_at.port)
            await until(lambda: len(usages(hub)) == 2 * CALLS)
            await call(client, node_at, caller, CALLS)
            node.kill()  # with some of them not shipped, perhaps
            await start_node(hub_at.port)
            await until(lambda: len(usages(hub)) == 3 * CALLS)
            assert usages(hub) == usages(node)
            sent = document("ship", "status", "--data", node.folder.path)["ships"]
            assert (sent["node"], sent["waiting"]) == ("edge-7", 0)
            [received] = document("ship", "status", "--data", hub.folder.path)["received"]
            assert (received["node"], received["records"]) == ("edge-7", 3 * CALLS)
            assert "edge-7" in run("ship", "status", "--data", hub.folder.path).output
            assert node.stop() == hub.stop() == 0
            assert "Traceback" not in hub.log(), hub.log()
        client.close()

    with_upstream(act)
    assert_hub_books(hub_folder / "data")


async def check_rights(client: HttpClient, hub: Origin, ships: str, calls: str) -> None:
    """A key that ships does nothing else, no other ships, and each is one node only."""
    shipments, chat = "/v1/usage/shipments", "/v1/chat/completions"
    run_of_other = Run("edge-8", "0" * 32)
    start = beginning(run_of_other)
    other = Shipment(SCHEMA_VERSION, run_of_other, start.at, start.digest, ())
    body = msgspec.json.encode(other)
    for path, key, data, code in (
        (chat, ships, b"{}", b"shipping_key"),
        (shipments, calls, body, b"not_a_shipping_key"),
        (shipments, ships, body, b"node_not_allowed"),
    ):
        status, answered = await post(client, hub, path, key, data)
        assert (status, code in answered) == (403, True), answered
    status, answered = await post(client, hub, shipments, ships, b"[]")
    assert status == 400, answered
    status, _ = await post(client, hub, shipments, "iw_nobody", body)
    assert status == 401


def workers_of(platform: RealPlatform) -> list[int]:
    """The workers of a platform that runs."""
    instance = platform.folder.instance()
    assert instance is not None, "it does not run"
    children = Path(f"/proc/{instance.pid}/task/{instance.pid}/children")
    return sorted(map(int, children.read_text().split()))


def of_all_journals(platform: RealPlatform) -> dict[str, Usage]:
    """The calls in all journals of a platform, by their ids; each in one of them."""
    with JournalsReader(platform.folder.written_journals()) as reader:
        found = list(reader.usages(0, EVER))
    by_id = {str(usage.call_id): usage for usage in found}
    assert len(by_id) == len(found)
    return by_id


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads /proc")
def test_nodes_with_workers_ship_to_a_hub_with_workers(tmp_path: Path) -> None:
    """Workers and holders are killed amid shipments, and their number changes: each call is there once."""
    key_file = tmp_path / "key"
    two = "[gateway]\nworkers = 2\n"
    hub_folder = configured(tmp_path / "hub", HUB + two)
    made = document("keys", "create", "--ship", "edge-7", "--data", hub_folder / "data")
    key_file.write_text(made["key"])
    asked = 0

    async def act(upstream: int) -> None:
        nonlocal asked
        with (
            real_platform(hub_folder / "data", hub_folder) as hub,
            real_platform(tmp_path / "node" / "data", tmp_path / "node") as node,
        ):
            caller = node.key()
            hub_at = await asyncio.to_thread(hub.start)

            async def start_node(workers: int) -> Origin:
                text = NODE.format(node="edge-7", upstream=upstream)
                text += SHIP.format(hub=hub_at.port, key=key_file)
                configured(tmp_path / "node", f"{text}[gateway]\nworkers = {workers}\n")
                return await asyncio.to_thread(node.start)

            async def calls(at: Origin) -> None:
                """Make calls over connections of their own, so that all workers have some."""
                nonlocal asked
                clients = [HttpClient() for _ in range(8)]
                await asyncio.gather(*(call(one, at, caller, CALLS // 4) for one in clients))
                for one in clients:
                    one.close()
                asked += 8 * (CALLS // 4)

            for workers in (2, 3, 1):
                node_at = await start_node(workers)
                await calls(node_at)
                if workers > 1:  # while they ship
                    os.kill(workers_of(node)[0], signal.SIGKILL)
                    await until(lambda: len(workers_of(node)) == workers)  # noqa: B023
                    await calls(node_at)
                os.kill(workers_of(hub)[0], signal.SIGKILL)
                await calls(node_at)
                node.kill()
                if workers == 3:
                    hub.kill()
                    hub_at = await asyncio.to_thread(hub.start)
            node_at = await start_node(2)
            await until(lambda: len(usages(hub)) == asked)
            status = partial(document, "ship", "status", "--data")
            while (sent := (await asyncio.to_thread(status, node.folder.path))["ships"])["waiting"]:
                await asyncio.sleep(0.1)
            assert usages(hub) == of_all_journals(node)
            journals = ["journal.db", "journal-1.db", "journal-2.db", "journal-3.db"]
            assert [one["journal"] for one in sent["journals"]] == journals
            received = (await asyncio.to_thread(status, hub.folder.path))["received"]
            assert {one["node"] for one in received} == {"edge-7"}
            assert {one["run"] for one in received} <= {one["run"] for one in sent["journals"]}
            assert sum(one["records"] for one in received) == asked
            shipping = [one for one in sent["journals"] if one["acknowledged"]]
            assert len(shipping) >= 3, "one process and several workers have shipped"
            assert node.stop() == hub.stop() == 0
            assert "Traceback" not in hub.log(), hub.log()

    with_upstream(act)
    assert calls_told("--data", hub_folder / "data") == {"answered": asked}
    restarted = run(
        "ship",
        "restart",
        "--data",
        tmp_path / "node" / "data",
        "--config",
        tmp_path / "node" / "inferworks.toml",
    )
    assert restarted.output.count("0 pieces to ship") == 4
    assert "ships nothing" in run("ship", "end", "--data", tmp_path / "node" / "data").output


def assert_hub_books(folder: Path) -> None:
    """The hub's own commands count the node's calls."""
    assert calls_told("--data", folder) == {"answered": 3 * CALLS}


def calls_told(*where: object) -> dict[str, int]:
    """The calls that `inferworks status` counts, of a gateway that does not run."""
    result = invoke("status", "--since", "1h", "--json", *where)
    assert result.exit_code == 1, result.output
    found: dict[str, int] = json.loads(result.stdout)["calls"]
    return found


def test_two_nodes_archive_into_one_lake(tmp_path: Path) -> None:
    """Both archive at once; any machine with the lake's URL has the calls of both, each once."""
    lake = tmp_path / "lake"

    async def act(upstream: int) -> None:
        client = HttpClient()
        folders = [tmp_path / name for name in ("fra-1", "fra-2")]
        for folder in folders:
            text = NODE.format(node=folder.name, upstream=upstream) + LAKE.format(lake=lake)
            configured(folder, text)
        with (
            real_platform(folders[0] / "data", folders[0]) as one,
            real_platform(folders[1] / "data", folders[1]) as other,
        ):
            keys = [one.key(), other.key()]
            origins = [await asyncio.to_thread(node.start) for node in (one, other)]
            for _ in range(2):
                await asyncio.gather(
                    *(call(client, at, key, 10) for at, key in zip(origins, keys, strict=True))
                )
                other.kill()
                origins[1] = await asyncio.to_thread(other.start)
            await until(lambda: not usages(one) and not usages(other))
            assert one.stop() == other.stop() == 0
        client.close()

    with_upstream(act)
    books = configured(tmp_path / "books", LAKE.format(lake=lake))  # of a third machine
    for folder in (books, tmp_path / "fra-1"):
        configuration = folder / "inferworks.toml"
        where = ("--config", configuration, "--data", folder / "data")
        assert calls_told(*where) == {"answered": 40}
        verified = document("lake", "verify", *where)
        assert verified["findings"] == []
        assert document("lake", "status", *where)["tables"]["usage"]["rows"] == 40
