"""The simulated disk keeps what was synced, and of the rest whatever chance leaves."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.stub import StubAccounts
from inferworks.errors import JournalError, LakeError, LimitsError
from inferworks.folder import DataFolder, sync_names
from inferworks.limits.ledger import Budget
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.simulation.disk import Disk
from inferworks.simulation.network import Network
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Process, Turns
from inferworks.testing.facts import make_usage

pytestmark = pytest.mark.slow


class Died(BaseException):
    """End of a process, of which nothing after it is done."""


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


def test_a_descriptor_is_written_to_by_a_file_of_it(disk: Disk) -> None:
    """`os.fdopen` makes a file like any other: what it writes is durable once synced, and it closes."""
    path = Path(disk.root) / "a"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write("kept\n")
        file.flush()
        os.fsync(file.fileno())
        with pytest.raises(UnicodeEncodeError):
            file.write("\u00e9")
    sync_names(path.parent)
    with os.fdopen(os.open(path, os.O_RDONLY)) as reading:
        assert (reading.read(), reading.writable()) == ("kept\n", False)
    assert not disk.descriptors
    assert after_power_loss(disk, path) == b"kept\n"


def test_a_file_need_not_own_its_descriptor(disk: Disk) -> None:
    """With `closefd=False` the descriptor stays open."""
    descriptor = os.open(Path(disk.root) / "a", os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(b"kept")
    os.fsync(descriptor)
    assert disk.kept_for_good("a") is None, "its name is not synced"
    sync_names(Path(disk.root))
    assert disk.kept_for_good("a") == b"kept"
    os.close(descriptor)
    assert not disk.descriptors


@pytest.mark.parametrize("unseen", ["content", "name"])
def test_a_call_past_the_disk_does_not_pass_for_a_loss(disk: Disk, unseen: str) -> None:
    """A file that the disk has not seen written to ends the simulation, and not the program."""
    path = Path(disk.root) / "a"
    written(path, b"kept")
    if unseen == "name":
        path.with_name("b").symlink_to("a")
    else:
        descriptor = os.open(path, os.O_WRONLY)
        os.pwrite(descriptor, b"lost", 0)
        os.close(descriptor)
    with pytest.raises(AssertionError, match="unseen"):
        disk.lose_power()


@pytest.mark.parametrize("another_comes", [False, True])
def test_a_pepper_outlives_its_accounts_whenever_its_maker_dies(
    turns: Turns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, another_comes: bool
) -> None:
    """A process dies at each of its operations, the next one comes or not, and the power is lost.

    The accounts, which lose nothing here, have the pepper that they were bound to, or none yet.
    """
    left = 0

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died

    monkeypatch.setattr(turns, "check", check)
    bound = set()
    for moment in range(30):
        for seed in range(10):
            root = tmp_path / f"{moment}-{seed}"
            root.mkdir()
            with a_disk(turns, root, seed) as disk:
                accounts, left = StubAccounts(), moment
                with suppress(Died):
                    load_pepper(accounts, root / "accounts.pepper")
                ended, left = left >= 0, 1 << 62
                bound.add(bool(accounts.pepper_id()))
                if another_comes:
                    load_pepper(accounts, root / "accounts.pepper")
                disk.lose_power()
                load_pepper(accounts, root / "accounts.pepper")
        if ended:
            break
    assert ended, "every operation was the last one of a process"
    assert bound == {False, True}


def test_what_a_lake_says_is_there_outlives_the_power(
    turns: Turns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer dies at each of its operations; what the next one finds or puts is durable."""
    left = 0

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died

    monkeypatch.setattr(turns, "check", check)
    first = set()
    for moment in range(60):
        for seed in range(5):
            root = tmp_path / f"{moment}-{seed}"
            root.mkdir()
            with a_disk(turns, root, seed) as disk:
                left = moment
                with suppress(Died):
                    LocalLake(root / "lake").create("manifest/1.json", b"1")
                ended, left = left >= 0, 1 << 62
                first.add(LocalLake(root / "lake").create("manifest/1.json", b"1"))
                disk.lose_power()
                assert LocalLake(root / "lake").get("manifest/1.json") == b"1"
        if ended:
            break
    assert ended, "every operation was the last one of a process"
    assert first == {False, True}


def test_a_folder_of_a_lake_that_was_not_synced_is_made_anew(disk: Disk) -> None:
    """After a sync that failed a folder is there, and the next sync says nothing of it."""
    lake = LocalLake(Path(disk.root) / "lake")
    disk.faults["sync"] = 1.0
    with pytest.raises(LakeError):
        lake.put("usage/1", b"1")
    disk.faults.clear()
    lake.put("usage/1", b"1")
    assert disk.kept_for_good("lake/usage/1") == b"1"


@contextmanager
def process_of_its_own(turns: Turns, disk: Disk) -> Iterator[None]:
    """Run the block as a process that is killed at its end, and has the kernel close its files."""
    world = turns.process
    process = turns.current.process = Process("a writer")
    try:
        yield
    finally:
        disk.faults.clear()
        turns.current.process = world
        turns.kill(process)
        disk.closed_by_kernel(process)


def test_limits_outlive_a_commit_whose_sync_failed(turns: Turns, disk: Disk) -> None:
    """As does every database that is opened like it: a later draw that was confirmed stays."""
    path = Path(disk.root) / "limits.db"

    def live(*names: str) -> None:
        with process_of_its_own(turns, disk):
            store = SqliteLimits(path)
            for name in names:
                disk.faults["sync"] = float(name == "fails")
                store.transact(lambda rows, name=name: rows.put(Budget(name, 1)))  # type: ignore[misc]

    live("first")
    with pytest.raises(LimitsError, match="disk I/O error"):
        live("fails")
    live("second")
    disk.lose_power()
    with closing(SqliteLimits(path)) as store:
        found = store.transact(lambda rows: {one.id for one in rows.budgets()})
    assert {"first", "second"} <= found


def test_a_journal_outlives_a_commit_whose_sync_failed(turns: Turns, disk: Disk) -> None:
    """A writer is killed with it; calls that the next one has recorded stay when the power is lost."""
    path = Path(disk.root) / "journal.db"

    def live(*calls: str) -> None:
        with process_of_its_own(turns, disk):
            store = SqliteStore(path)
            store.open()
            for call in calls:
                disk.faults["sync"] = float(call == "fails")
                store.write([make_usage(call_id=call)])

    live("first")
    with pytest.raises(JournalError, match="disk I/O error"):
        live("fails")
    live("second")
    disk.lose_power()
    with JournalReader(path) as reader:
        assert {"first", "second"} <= {usage.call_id for usage in reader.usages(0, 1 << 62)}
