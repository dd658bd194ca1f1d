"""Checksums of rows: accidents on a disk, and SQLite's own complaints about damage."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.checksum import long_row_checksum, row_checksum
from inferworks.sqlite import as_declared, is_damage

ROWS = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(), max_size=5)


def test_it_is_the_crc_that_is_documented() -> None:
    """Anybody can compute it: of the table's name and the row as JSON without spaces."""
    assert row_checksum("usage", ["call_1", "acme", 7]) == zlib.crc32(b'usage["call_1","acme",7]')


@settings(max_examples=30)
@given(st.text(), ROWS)
def test_a_long_row_has_the_same(table: str, row: list[object]) -> None:
    """The quicker way for long rows changes nothing."""
    assert long_row_checksum(table, row) == row_checksum(table, row)


def test_rows_of_other_tables_and_other_bits_differ() -> None:
    """One bit, another table, and a value that moves to its neighbour."""
    row = ["a", "b"]
    others = [("u", ["a", "c"]), ("v", row), ("u", ["ab", ""]), ("u", ["a", "b", None])]
    assert all(row_checksum(*other) != row_checksum("u", row) for other in others)


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


def test_what_is_no_text_is_damage() -> None:
    """Python cannot read a text that is no Unicode, and such an error has no code."""
    assert is_damage(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))
    assert is_damage(msgspec.ValidationError("Expected `int`, got `str`"))
