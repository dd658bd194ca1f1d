"""Versions of every store of a data folder: upgraded once whoever comes first, newer ones refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.old_folder import unpack_old_folder

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.books.closing.ledger import Ledger
from inferworks.books.repository.store import BookStore
from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.sqlite import Database

pytestmark = pytest.mark.slow

STORES: dict[str, Callable[[Path], object]] = {
    "accounts": SqliteAccounts,
    "books": BookStore,
    "ledger": Ledger,
    "limits": SqliteLimits,
    "journal": SqliteStore,
}
"""Each store by the name of its file."""


def opened(name: str, folder: Path) -> None:
    """Open a store to write, and close it."""
    store = STORES[name](folder / f"{name}.db")
    with closing(store):  # type: ignore[type-var]
        if isinstance(store, SqliteStore):
            store.open()


def set_version(path: Path, version: int) -> None:
    """Say that a newer program wrote a store."""
    with closing(Database(path)) as database:
        if path.stem == "journal":
            database.execute("UPDATE meta SET value = ?", (version,))
        else:
            database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("name", STORES)
def test_a_store_of_a_newer_version_is_refused_and_left_alone(name: str, tmp_path: Path) -> None:
    """In a line that has both versions; no row of it is touched."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    opened(name, folder.path)
    path = folder.path / f"{name}.db"
    set_version(path, 99)
    before = path.read_bytes()
    with pytest.raises(
        DataFolderError, match=r"version 99, this program (reads version|writes) \d+"
    ):
        opened(name, folder.path)
    assert path.read_bytes() == before


PROGRAM = """
import sys
from pathlib import Path
from tests.wiring.test_store_versions import STORES, opened
print("ready", flush=True)
sys.stdin.readline()
for name in STORES:
    opened(name, Path(sys.argv[1]))
"""


def test_processes_that_start_at_once_upgrade_an_old_folder_once(tmp_path: Path) -> None:
    """Four of them open every store of version 0.1 at the same moment: one upgrades it, all can use it."""
    data = unpack_old_folder(tmp_path) / "inferworks-data"
    with suppress(FileNotFoundError):
        (data / "limits.db").unlink()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for name in STORES:
        with closing(Database(data / f"{name}.db", read_only=True)) as database:
            assert database.integrity() == []
