"""The one base of the SQLite files: all or nothing, and each error is one line that says what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from inferworks.errors import DamagedError, DataFolderError
from inferworks.sqlite import Database, as_declared, connect, is_damage, transaction


def made(path: Path) -> Path:
    """Return the path of a database with one empty table."""
    with closing(Database(path)) as database:
        database.execute("CREATE TABLE kept (value INTEGER NOT NULL)")
    return path


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """Rows that a failed block wrote are gone, and the next transaction begins."""
    with closing(Database(made(tmp_path / "some.db"))) as database:
        with pytest.raises(sqlite3.IntegrityError), database.transaction():
            database.executemany("INSERT INTO kept VALUES (?)", [(1,), (None,)])
        with database.transaction():
            database.execute("INSERT INTO kept VALUES (1), (2)")
        assert database.found(list[tuple[int]], "SELECT value FROM kept") == [(1,), (2,)]


def test_a_transaction_that_sqlite_ended_is_over(tmp_path: Path) -> None:
    """A full disk ends the transaction itself: its error arrives, and the connection is of use again."""
    with closing(connect(made(tmp_path / "some.db"), "rw")) as database:
        [pages] = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(database):
            database.executemany("INSERT INTO kept VALUES (?)", ((n,) for n in range(100_000)))
        with transaction(database):
            database.execute("INSERT INTO kept VALUES (1)")
        assert database.execute("SELECT value FROM kept").fetchall() == [(1,)]


INSERT = "INSERT INTO kept VALUES (1)"


def test_a_lock_is_waited_for_and_told(tmp_path: Path) -> None:
    """A file that another process writes to can be used when that has ended, and the error says so."""
    path = made(tmp_path / "some.db")
    told = r"cannot use .*some\.db: database is locked; .*try again when it is done"
    with closing(Database(path)) as one, closing(connect(path, "rw")) as other:
        one.execute("PRAGMA busy_timeout = 0")
        with transaction(other), pytest.raises(DataFolderError, match=told), one.translated():
            one.execute(INSERT)
        one.execute(INSERT)


def test_an_unusable_file_is_told(tmp_path: Path) -> None:
    """A file that is missing or may not be written is one line with its name and what to do."""
    with pytest.raises(DataFolderError, match=r"cannot open .*none\.db: .*; check the permissions"):
        Database(tmp_path / "none.db", read_only=True)
    path, told = (
        made(tmp_path / "some.db"),
        r"cannot use .*some\.db: .*; check the disk and the perm",
    )
    with (
        closing(Database(path, read_only=True)) as database,
        pytest.raises(DataFolderError, match=told),
        database.translated(),
    ):
        database.execute(INSERT)


@pytest.mark.parametrize(
    "query", ["SELECT 'text'", "SELECT * FROM lost", "SELECT CAST(x'ff' AS TEXT)"]
)
def test_a_damaged_file_is_told(tmp_path: Path, query: str) -> None:
    """A value of another type, a table that is gone and text that is none are damage: restore it."""
    told = r"some\.db is damaged: .*; restore the data folder from a backup"
    with (
        closing(Database(made(tmp_path / "some.db"))) as database,
        pytest.raises(DamagedError, match=told),
        database.translated(),
    ):
        database.found(list[tuple[int]], query)


def test_a_file_of_noise_is_told(tmp_path: Path) -> None:
    """A file that is no database is damaged, and named."""
    path = tmp_path / "some.db"
    path.write_bytes(b"noise" * 1000)
    with (
        closing(Database(path)) as database,
        pytest.raises(DamagedError, match=r"some\.db is damaged: file is not a database"),
        database.translated(),
    ):
        database.version()


def test_without_a_path_it_is_in_memory() -> None:
    """A database without a path leaves no file, and has a version like any other."""
    with closing(Database(None)) as database:
        assert database.version() == 0
        database.execute("PRAGMA user_version = 3")
        assert database.version() == 3
        assert database.integrity() == []


def test_a_value_of_another_type_is_an_error() -> None:
    """SQLite gives back a value of any type from any column."""
    assert as_declared(b"x", bytes) == b"x"
    assert as_declared(7, int) == 7
    for found, kind in (("7", int), (None, str), (b"x", str)):
        with pytest.raises(msgspec.ValidationError):
            as_declared(found, kind)


def error_of(database: sqlite3.Connection, statement: str) -> sqlite3.Error:
    """The error of a statement that must fail."""
    with pytest.raises(sqlite3.Error) as failed:
        database.execute(statement).fetchall()
    return failed.value


def test_damage_is_told_from_faults_of_ours(tmp_path: Path) -> None:
    """No database, and a table or column that is gone, are damage; bad SQL and a broken rule are not."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1)")
    for statement in ("SELECT a FROM gone", "SELECT gone FROM t"):
        assert is_damage(error_of(database, statement))
    for statement in ("SELEC", "INSERT INTO t VALUES (1)"):
        assert not is_damage(error_of(database, statement))
    database.close()
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    other = sqlite3.connect(tmp_path / "x.db")
    assert is_damage(error_of(other, "SELECT * FROM t"))
    other.close()


def test_an_error_of_the_program_is_no_damage() -> None:
    """A closed connection says nothing about the file, and its error has no code either."""
    database = sqlite3.connect(":memory:")
    database.close()
    assert not is_damage(error_of(database, "SELECT 1"))


def test_what_is_no_text_is_damage() -> None:
    """Python cannot read a text that is no Unicode, and such an error has no code."""
    assert is_damage(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    assert is_damage(msgspec.ValidationError("Expected `int`, got `str`"))
