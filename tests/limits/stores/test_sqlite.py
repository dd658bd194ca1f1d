"""The store of limits in SQLite."""

from contextlib import closing
from pathlib import Path

import pytest

from inferworks.errors import DataFolderError, LimitsError
from inferworks.limits.stores import sqlite
from inferworks.limits.stores.sqlite import SqliteLimits, check_limits
from inferworks.sqlite import Database
from inferworks.testing.limits import check_limits_store


def test_conformance(tmp_path: Path) -> None:
    """Several stores on one file keep the promises of the seam."""
    check_limits_store(lambda: SqliteLimits(tmp_path / "limits.db"))


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A newer layout may mean anything: the program says so and leaves the file alone."""
    path = tmp_path / "limits.db"
    SqliteLimits(path).close()
    database = Database(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(DataFolderError, match="limits of version 99, this program reads version 2"):
        SqliteLimits(path)
    assert path.read_bytes() == before


def test_a_file_of_the_first_version_is_checked_as_it_is(tmp_path: Path) -> None:
    """Columns that were added since are not asked for; one that was only just made has nothing wrong."""
    path = tmp_path / "limits.db"
    path.touch()
    assert check_limits(path, thorough=True) == (0, [])
    with closing(Database(path)) as database:
        for statement in sqlite._SCHEMA.split(";"):
            database.execute(statement)
        database.execute("INSERT INTO budget VALUES ('b', '100', 1, 0, '7', '0', 0, 0)")
        database.execute("INSERT INTO slice VALUES ('s', 'b', 'p', 'r', '7', 0, '0', 'open', 0)")
        database.execute("PRAGMA user_version = 1")
    assert check_limits(path, thorough=True) == (2, [])
    with closing(Database(path)) as database:
        database.execute("UPDATE slice SET granted = 'no number'")
    [fault] = check_limits(path, thorough=True)[1]
    assert "limits.db is damaged: invalid literal" in fault


def test_a_file_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    """Errors of SQLite come up as ours, and a transaction after the close is refused."""
    path = tmp_path / "limits.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataFolderError, match=r"limits\.db"):
        SqliteLimits(path)
    path.unlink()
    store = SqliteLimits(path)
    store.close()
    with pytest.raises(LimitsError, match="closed"):
        store.transact(lambda rows: rows.now_ns())
