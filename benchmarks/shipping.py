"""Records shipped to a hub per second, and the cost of entering them at a node.

    python benchmarks/shipping.py [--json] [--rows N] [--group N] [--folder DIR]

Usages are written into a journal in groups of `--group`, without an outbox and with one; then the outbox is
shipped over HTTP to a hub in the same process. CPU is of the whole process: sender, hub and both databases.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import uvloop

from inferworks.api.shipping import Shipments
from inferworks.clock import SystemClock
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.ids import new_call_id
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.receive import Receiver
from inferworks.meter.shipping.send import Sender, Settled
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.secrets import Secret, SecretReference
from inferworks.testing.facts import make_usage
from inferworks.wiring.shipping import HttpHub

_NODE = "edge-7"


class Figure(msgspec.Struct):
    """One measured step. A row is one call's Usage."""

    name: str
    rows: int
    rows_per_s: float
    cpu_us_per_row: float
    bytes_per_row: float
    """Size of the journal afterwards; of shipping, that of the hub's."""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--folder", help="where to write; its disk is what is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = list(_measure(Path(folder), options.rows, options.group))
    if options.json:
        print(json.dumps([msgspec.to_builtins(figure) for figure in figures]))
        return
    print(f"{'':28}{'rows/s':>10}{'CPU us/row':>12}{'bytes/row':>11}")
    for one in figures:
        cells = f"{one.rows_per_s:>10,.0f}{one.cpu_us_per_row:>12.1f}{one.bytes_per_row:>11,.0f}"
        print(f"{one.name:28}{cells}")


def _measure(folder: Path, rows: int, group: int) -> Iterator[Figure]:
    yield _written("journal", folder / "plain.db", rows, group, "")
    yield _written("journal with an outbox", folder / "node.db", rows, group, _NODE)
    began, cpu_began = time.perf_counter(), time.process_time()
    uvloop.run(_ship(folder / "node.db", folder / "hub.db"))
    yield _figure("shipped to a hub", folder / "hub.db", rows, began, cpu_began)


def _written(name: str, path: Path, rows: int, group: int, ships_as: str) -> Figure:
    """Write usages into a journal, in groups."""
    usages = [make_usage(call_id=new_call_id()) for _ in range(rows)]
    with closing(SqliteStore(path, ships_as=ships_as)) as store:
        store.open()
        began, cpu_began = time.perf_counter(), time.process_time()
        for begin in range(0, rows, group):
            store.write(usages[begin : begin + group])
        return _figure(name, path, rows, began, cpu_began)


async def _ship(node: Path, hub: Path) -> None:
    """Ship all of a node's outbox to a hub."""
    with closing(SqliteStore(hub)) as store:
        store.open()
    shipments = Shipments(Receiver(hub))

    async def handle(exchange: Exchange) -> None:
        taken = await shipments.take(exchange, _NODE, SystemClock().now_ns())
        await exchange.respond(200, msgspec.json.encode(taken.position))

    server = HttpServer(handle)
    port = await server.start("127.0.0.1", 0)
    turn = threading.Lock()
    secret = Secret(SecretReference("env", "KEY"), "iw_key")
    with Outbox(node, turn) as outbox, closing(HttpClient()) as client:
        to = HttpHub(client, Origin.parse(f"http://127.0.0.1:{port}"), secret, SystemClock())
        await Sender(outbox, Settled(turn, lambda: False), to, SystemClock(), 10**18).send()
    await server.stop(drain_s=0.0)


def _figure(name: str, path: Path, rows: int, began: float, cpu_began: float) -> Figure:
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return Figure(name, rows, rows / wall_s, 1e6 * cpu_s / rows, size / rows)


if __name__ == "__main__":
    main()
