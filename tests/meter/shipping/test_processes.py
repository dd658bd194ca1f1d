"""Node, rival and hub are killed again and again while thousands of records are shipped: each arrives once.

Real processes, sockets and files. `INFERWORKS_SHIPPING_S` sets for how many seconds they are killed.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.meter.reader import JournalReader
from inferworks.meter.shipping.receive import ReceivedReader

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("shipping_processes.py")
SECONDS = float(os.environ.get("INFERWORKS_SHIPPING_S", "15"))
EVER = 2**63 - 1


class Processes:
    """The processes of one scenario, each killed and started again at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, what: str, path: Path, pause_s: float = 0.001) -> None:
        """Start one of them, or start it again."""
        self.kill(name)
        command = [sys.executable, str(SCRIPT), what, str(path), self.port, str(pause_s)]
        with (self.folder / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """SIGKILL, if it runs."""
        process = self.running.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill all."""
        for name in list(self.running):
            self.kill(name)


def records(path: Path) -> tuple[list[str], list[str]]:
    """The calls and the machines in the journal at `path`, in order."""
    with JournalReader(path) as reader:
        calls = sorted(usage.call_id for usage in reader.usages(0, EVER))
        return calls, sorted(row.replica for row in reader.capacity(0, EVER))


def is_begun(path: Path) -> bool:
    """True once the journal at `path` has its tables: they and the file come one after the other."""
    return path.exists() and path.stat().st_size > 0


def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until `holds`, which files show."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def shipped(node: Path, hub: Path) -> bool:
    """True once the hub has everything of the node."""
    if not (is_begun(node) and is_begun(hub)):
        return False
    with closing(sqlite3.connect(node)) as database:
        [last] = database.execute("SELECT max(position) FROM outbox").fetchone()
        run = database.execute("SELECT value FROM meta WHERE key = 'ship_run'").fetchone()[0]
    with ReceivedReader(hub) as reader:
        return any(r.run in run and r.position == last for r in reader.received())


def test_killed_while_shipping(tmp_path: Path) -> None:
    """A node, a rival shipper and the hub are killed at random: nothing twice, nothing lost."""
    node, hub = tmp_path / "node.db", tmp_path / "hub.db"
    processes = Processes(tmp_path)
    chosen, kills = random.Random(7), 0
    try:
        processes.start("hub", "hub", hub)
        processes.start("node", "node", node)
        until(lambda: is_begun(node))
        processes.start("rival", "rival", node)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            time.sleep(chosen.uniform(0.2, 1.0))  # between kills: any moment will do
            what = chosen.choice(["hub", "node", "rival"])
            processes.start(what, what, hub if what == "hub" else node)
            kills += 1
        processes.kill("node")
        until(lambda: shipped(node, hub))
    finally:
        processes.close()
    ours, theirs = records(node), records(hub)
    assert ours == theirs, (tmp_path / "log").read_text()[-2000:]
    assert len(ours[0]) > 50 * SECONDS
    assert kills > SECONDS


def test_a_hub_is_restored_and_a_node_reinstalled(tmp_path: Path) -> None:
    """A hub back from an older backup has all again; a node on a new disk is a run of its own."""
    node, again, hub = tmp_path / "node.db", tmp_path / "again.db", tmp_path / "hub.db"
    backup = tmp_path / "backup.db"
    processes = Processes(tmp_path)
    try:
        processes.start("hub", "hub", hub)
        processes.start("node", "node", node)
        until(lambda: is_begun(hub) and len(records(hub)[0]) > 100)
        with closing(sqlite3.connect(hub)) as source, closing(sqlite3.connect(backup)) as to:
            source.backup(to)
        before = len(records(backup)[0])
        until(lambda: len(records(hub)[0]) > before + 200)
        processes.kill("hub")
        for path in tmp_path.glob("hub.db*"):
            path.unlink()
        shutil.copy(backup, hub)
        assert len(records(hub)[0]) == before
        processes.start("hub", "hub", hub)
        until(lambda: len(records(hub)[0]) > before + 300)
        processes.kill("node")
        processes.start("rival", "rival", node)
        until(lambda: shipped(node, hub))
        processes.kill("rival")
        assert records(node) == records(hub)
        of_the_first = records(node)
        processes.start("node", "node", again)  # its disk was lost; it has the same name
        until(lambda: is_begun(again) and len(records(again)[0]) > 100)
        processes.kill("node")
        processes.start("rival", "rival", again)
        until(lambda: shipped(again, hub))
    finally:
        processes.close()
    both = [sorted([*one, *other]) for one, other in zip(of_the_first, records(again), strict=True)]
    assert list(records(hub)) == both
    with ReceivedReader(hub) as reader:
        assert [received.node for received in reader.received()] == ["edge-7", "edge-7"]
