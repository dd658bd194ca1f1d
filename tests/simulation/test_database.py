"""SQLite on the simulated disk behaves as the library's own, and fails as the disk does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from inferworks.simulation.database import Connection
from inferworks.simulation.disk import Disk
from inferworks.simulation.turns import Killed, Process


def opened(disk: Disk, name: str = "a.db") -> sqlite3.Connection:
    """A database of one table, whose column is a key."""
    database = sqlite3.connect(Path(disk.root) / name, isolation_level=None)
    database.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY)")
    return database


def test_only_files_of_the_disk_are_simulated(disk: Disk, tmp_path: Path) -> None:
    """A database that lies elsewhere, or in memory, is the library's own."""
    ours = opened(disk)
    assert isinstance(ours, Connection)
    ours.close()
    for where in (tmp_path / "real.db", ":memory:"):
        real = sqlite3.connect(where)
        assert not isinstance(real, Connection)
        real.close()


def test_rows_are_read_one_by_one_or_all(disk: Disk) -> None:
    """A cursor is read once: what was fetched is not there again."""
    database = opened(disk)
    database.execute("INSERT INTO t VALUES (1), (2), (3), (4)")
    found = database.execute("SELECT x FROM t WHERE x > ?", (0,))
    assert (found.fetchone(), next(found)) == ((1,), (2,))
    assert found.fetchall() == [(3,), (4,)]
    assert (found.fetchone(), list(found)) == (None, [])
    named = database.execute("SELECT x FROM t WHERE x = :x", {"x": 4})
    assert list(named) == [(4,)]
    assert database.getlimit(sqlite3.SQLITE_LIMIT_COLUMN) > 0
    database.close()


def test_a_transaction_is_rolled_back(disk: Disk) -> None:
    """Until it is committed nothing of it stands."""
    database = opened(disk)
    assert not database.in_transaction
    database.execute("BEGIN")
    database.execute("INSERT INTO t VALUES (1)")
    assert database.in_transaction
    database.execute("ROLLBACK")
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize(
    ("sql", "kind", "name", "words"),
    [
        (
            "INSERT INTO t VALUES (1)",
            sqlite3.IntegrityError,
            "SQLITE_CONSTRAINT_PRIMARYKEY",
            "UNIQUE",
        ),
        ("SELEKT", sqlite3.OperationalError, "SQLITE_ERROR", "syntax error"),
        ("SELECT * FROM u", sqlite3.OperationalError, "SQLITE_ERROR", "no such table"),
    ],
)
def test_errors_are_those_of_the_library(
    disk: Disk, sql: str, kind: type[sqlite3.Error], name: str, words: str
) -> None:
    """Kind, code and words are what `sqlite3` raises for the same statement."""
    ours, real = opened(disk), sqlite3.connect(":memory:")
    real.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    for database in (ours, real):
        database.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(kind, match=words) as raised:
            database.execute(sql)
        assert raised.value.sqlite_errorname == name
        database.close()


def test_a_database_that_is_read_only_is_not_written(disk: Disk) -> None:
    """Opened so by its URI; the rows can be read."""
    writer = opened(disk)
    writer.execute("INSERT INTO t VALUES (7)")
    reader = sqlite3.connect(f"file:{disk.root}/a.db?mode=ro", uri=True)
    assert reader.execute("SELECT x FROM t").fetchall() == [(7,)]
    with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
        reader.execute("INSERT INTO t VALUES (8)")
    for database in (reader, writer):
        database.close()


def test_a_file_that_is_not_there_or_no_database_is_told(disk: Disk) -> None:
    """For reading none is made; another file is refused by its content."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
        sqlite3.connect(f"file:{disk.root}/none.db?mode=ro", uri=True)
    path = Path(disk.root) / "odd.db"
    path.write_bytes(b"not a database " * 100)
    database = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError, match="file is not a database"):
        database.execute("SELECT 1 FROM t")
    database.close()


@pytest.mark.parametrize(
    ("fault", "words"), [("no space", "database or disk is full"), ("write", "disk I/O error")]
)
def test_a_fault_of_the_disk_is_one_of_the_database(disk: Disk, fault: str, words: str) -> None:
    """Nothing of the statement stands, and the next one works once the disk does."""
    database = opened(disk)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("INSERT INTO t VALUES (0)")
    disk.faults[fault] = 1.0
    with pytest.raises(sqlite3.OperationalError, match=words):
        database.execute("INSERT INTO t VALUES (1)")
    disk.faults.clear()
    assert database.execute("SELECT count(*) FROM t").fetchone() == (1,)
    database.execute("INSERT INTO t VALUES (1)")
    database.close()


def test_a_second_writer_waits_for_as_long_as_it_was_told(disk: Disk) -> None:
    """Then it is told that the database is locked; the time is simulated."""
    first, second = opened(disk), sqlite3.connect(Path(disk.root) / "a.db", 2.0)
    first.execute("BEGIN IMMEDIATE")
    before_ns = disk.turns.now_ns
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        second.execute("BEGIN IMMEDIATE")
    assert disk.turns.now_ns - before_ns >= 10**9
    first.execute("COMMIT")
    second.execute("BEGIN IMMEDIATE")
    for database in (second, first):
        database.close()


def test_a_killed_process_lets_its_locks_go(disk: Disk) -> None:
    """Its open transaction is gone, and it does nothing more."""
    process, died = Process("writer"), list[bool]()

    def write() -> None:
        database = opened(disk)
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO t VALUES (1)")
        try:
            disk.turns.sleep(10**12)
        except Killed:
            with pytest.raises(Killed):
                database.execute("COMMIT")
            died.append(True)
            raise

    disk.turns.spawn("writer", write, process)
    disk.turns.sleep(10**9)
    disk.turns.kill(process)
    database = opened(disk)
    assert died == [True]
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    database.execute("INSERT INTO t VALUES (2)")
    database.close()
