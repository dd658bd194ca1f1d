"""Processes that ship, for tests that kill them: `node`, `rival` and `hub`; see `main`.

The hub is a real server that takes shipments as a gateway does; the node journals a record at a time and
ships, the rival ships the same journal and does nothing else.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import msgspec

from inferworks.api.shipping import Shipments
from inferworks.clock import SystemClock
from inferworks.errors import CallError, UpstreamError
from inferworks.http.client import HttpClient, Origin
from inferworks.http.server import Exchange, HttpServer
from inferworks.meter.journal import Journal
from inferworks.meter.reader import JournalReader
from inferworks.meter.shipping.outbox import Outbox
from inferworks.meter.shipping.receive import Receiver
from inferworks.meter.shipping.send import Sender, Settled
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.secrets import Secret, SecretReference
from inferworks.testing.facts import A_TIME_NS, make_capacity, make_usage
from inferworks.wiring.shipping import HttpHub

NODE = "edge-7"
KEEP_NS = 86_400 * 10**9


async def node(path: Path, port: int, pause_s: float, *, writes: bool) -> None:
    """Journal records for ever and ship them."""
    turn = threading.Lock()
    journal = Journal(SqliteStore(path, turn, ships_as=NODE))
    journal.start()
    with JournalReader(path) as reader:
        first = reader.counts()["usage"]

    async def write() -> None:
        for number in count(first):
            usage = make_usage(call_id=f"{path.stem}-{number}", opened_ns=A_TIME_NS + number)
            capacity = make_capacity(replica=f"{path.stem}-{number}")
            await journal.commit_all([usage, capacity])
            await asyncio.sleep(pause_s)

    writing = asyncio.ensure_future(write()) if writes else None
    settled = Settled(turn, lambda: journal.is_in_doubt)
    secret = Secret(SecretReference("env", "KEY"), "iw_key")
    with Outbox(path, turn) as outbox, closing(HttpClient()) as client:
        hub = HttpHub(client, Origin.parse(f"http://127.0.0.1:{port}"), secret, SystemClock())
        sender = Sender(outbox, settled, hub, SystemClock(), KEEP_NS)
        while writing is None or not writing.done():
            with suppress(UpstreamError):
                await sender.send()
            await asyncio.sleep(0.005)
    await writing


async def hub(path: Path, port: int) -> None:
    """Receive shipments for ever."""
    store = SqliteStore(path)
    store.open()
    store.close()
    shipments = Shipments(Receiver(path))

    async def handle(exchange: Exchange) -> None:
        try:
            taken = await shipments.take(exchange, NODE, SystemClock().now_ns())
        except CallError as error:
            await exchange.respond(error.status, msgspec.json.encode({"error": error.message}))
        else:
            await exchange.respond(200, msgspec.json.encode(taken.position))

    server = HttpServer(handle)
    await server.start("127.0.0.1", port)
    await asyncio.Event().wait()


def main(what: str, path: str, port: str, pause_s: str) -> None:
    """Run one of them."""
    if what == "hub":
        asyncio.run(hub(Path(path), int(port)))
    else:
        asyncio.run(node(Path(path), int(port), float(pause_s), writes=what == "node"))


if __name__ == "__main__":
    main(*sys.argv[1:])
