"""The simulated disk keeps what was synced, and of the rest whatever chance leaves."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferworks.folder import DataFolder, sync_names
from inferworks.simulation.disk import Disk
from inferworks.simulation.network import Network
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Turns

pytestmark = pytest.mark.slow


@contextmanager
def a_disk(turns: Turns, root: Path, seed: int) -> Iterator[Disk]:
    """A disk below `root` that stands in for the system's."""
    disk = Disk(turns, root, seed)
    with standing_in(turns, disk, Network(turns, seed), seed):
        yield disk


def written(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write `data` to a new file at `path`."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def after_power_loss(disk: Disk, path: Path) -> bytes | None:
    """Content of `path` after the power was lost; None when its name is gone."""
    disk.lose_power()
    return path.read_bytes() if path.exists() else None


def outcomes(turns: Turns, tmp_path: Path, act: Callable[[Path], None]) -> set[bytes | None]:
    """Contents that a file may have after `act` and a loss of power, in 40 worlds."""
    found: set[bytes | None] = set()
    for seed in range(40):
        root = tmp_path / str(seed)
        root.mkdir()
        with a_disk(turns, root, seed) as disk:
            act(root / "a")
            found.add(after_power_loss(disk, root / "a"))
    return found


def test_what_was_synced_stays(disk: Disk) -> None:
    """A file and its name that were made durable are there as they were."""
    path = Path(disk.root) / "a"
    written(path, b"kept")
    sync_names(path.parent)
    assert after_power_loss(disk, path) == b"kept"


def test_what_was_not_synced_may_go_or_stay(turns: Turns, tmp_path: Path) -> None:
    """Later writes survive wholly, partly or not; the file itself stays."""

    def act(path: Path) -> None:
        written(path, b"kept")
        sync_names(path.parent)
        with path.open("ab", buffering=0) as file:
            file.write(b" one")
            file.write(b" two")

    found = outcomes(turns, tmp_path, act)
    assert {b"kept", b"kept one", b"kept one two"} <= found
    assert b"kept\0\0\0\0 two" in found, "writes need not arrive in order"


def test_a_large_write_may_be_torn(turns: Turns, tmp_path: Path) -> None:
    """The last write before the end of the power may have reached some of its sectors."""

    def act(path: Path) -> None:
        written(path, b"x" * 4096, synced=False)
        sync_names(path.parent)

    sizes = {len(content or b"") for content in outcomes(turns, tmp_path, act)}
    assert {0, 4096} <= sizes
    assert sizes & set(range(512, 4096, 512)), "some are torn at a sector"


def test_a_name_is_lost_with_its_folder_unsynced(turns: Turns, tmp_path: Path) -> None:
    """A synced file whose folder was not is found, or not found."""
    assert outcomes(turns, tmp_path, lambda path: written(path, b"kept")) == {None, b"kept"}


def test_a_failed_sync_is_a_trap(disk: Disk) -> None:
    """Data of a failed sync is lost, though later syncs succeed."""
    path = Path(disk.root) / "a"
    written(path, b"")
    sync_names(path.parent)
    with path.open("r+b", buffering=0) as file:
        file.write(b"lost")
        disk.faults["sync"] = 1.0
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(file.fileno())
        disk.faults.clear()
        os.fsync(file.fileno())
        assert path.read_bytes() == b"lost", "the kernel still has it"
    assert after_power_loss(disk, path) == b""


def test_a_commit_survives_the_power(disk: Disk) -> None:
    """SQLite's FULL synchronous commits are there, by the real pragmas on the simulated disk."""
    path = Path(disk.root) / "a.db"
    database = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE kept (number INTEGER)",
        "INSERT INTO kept VALUES (17)",
    ):
        database.execute(statement)
    assert disk.kept_for_good("a.db-wal"), "the log and its name are durable"
    database.close()
    disk.lose_power()
    again = sqlite3.connect(path, isolation_level=None)
    assert again.execute("SELECT number FROM kept").fetchall() == [(17,)]
    again.close()


def test_errors_of_the_disk_are_those_of_sqlite(disk: Disk) -> None:
    """A full disk is told by the module's own error, with its code."""
    database = sqlite3.connect(Path(disk.root) / "a.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE kept (number INTEGER)")
    disk.faults["no space"] = 1.0
    with pytest.raises(sqlite3.OperationalError, match="full") as raised:
        database.execute("INSERT INTO kept VALUES (17)")
    disk.faults.clear()
    assert raised.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
    database.close()


def test_a_data_folder_has_a_durable_name(turns: Turns, tmp_path: Path) -> None:
    """A power failure does not take a data folder away, with all that is durable in it."""

    def act(path: Path) -> None:
        DataFolder(path.parent / "deep" / "data").create()
        written(path.parent / "deep" / "data" / "a", b"kept")
        sync_names(path.parent / "deep" / "data")

    for seed in range(10):
        root = tmp_path / str(seed)
        root.mkdir()
        with a_disk(turns, root, seed) as disk:
            act(root / "a")
            disk.lose_power()
            assert (root / "deep" / "data" / "a").read_bytes() == b"kept"
