"""The layout of the books: its tables, and rows of older versions brought up to it with their checksums."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest
from msgspec.structs import replace

from inferworks.books.charge import Charge
from inferworks.books.repository.layout import (
    RATES,
    SCHEMA,
    WIDTHS,
    add_checksums,
    execute_all,
    insert_all,
)
from inferworks.checksum import row_checksum
from inferworks.testing.books import a_charge

OLD_CHARGES = (
    "CREATE TABLE charges (id TEXT, file_sha256 TEXT, start INTEGER, end INTEGER, body BLOB);\n"
)
OLD_RATES = (
    "CREATE TABLE rates (day TEXT, source_currency TEXT, target TEXT, rate TEXT, source TEXT, "
    "file_sha256 TEXT);\n"
)
RATE = ("2026-11-21", "EUR", "USD", "1.1", "a bank", "h")


@pytest.fixture(name="db")
def _db() -> Iterator[sqlite3.Connection]:
    """An empty database in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        yield db


def names(db: sqlite3.Connection) -> set[str]:
    """The tables."""
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows}


def a_row(charge: Charge) -> tuple[object, ...]:
    """A row of charges without its checksum."""
    return ("chg_1", "h", 0, 10, msgspec.json.encode(charge))


def test_new_books_have_every_table(db: sqlite3.Connection) -> None:
    """Tables of deliveries too; empty texts are no statements."""
    execute_all(db, "")
    execute_all(db, " \n")
    assert names(db) == set()
    execute_all(db, SCHEMA)
    assert names(db) >= {
        "meta", "files", "charges", "quarantine", "rates", "rate_quarantine", "deliveries", "parts",
        "lines", "replaced", "questions",
    }  # fmt: skip


def test_rows_are_inserted_with_their_checksums(db: sqlite3.Connection) -> None:
    """As readers hold them against the row."""
    execute_all(db, SCHEMA)
    rows = {"charges": a_row(a_charge("a", "1", (0, 10))), "rates": RATE}
    assert set(rows) == set(WIDTHS)
    for table, row in rows.items():
        insert_all(db, table, [row])
        [found] = db.execute(f"SELECT * FROM {table}")
        assert len(found) == WIDTHS[table]
        assert found == (*row, row_checksum(table, row))
    insert_all(db, "charges", [])


def test_rows_of_the_second_version_get_checksums(db: sqlite3.Connection) -> None:
    """Charges and rates, and nothing else of them changes."""
    execute_all(db, OLD_CHARGES + OLD_RATES)
    charge = a_charge("a", "1", (0, 10))
    db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", a_row(charge))
    db.execute("INSERT INTO rates VALUES (?, ?, ?, ?, ?, ?)", RATE)
    add_checksums(db, 2)
    for table, row in (("charges", a_row(charge)), ("rates", RATE)):
        assert db.execute(f"SELECT * FROM {table}").fetchall() == [(*row, row_checksum(table, row))]


def test_rows_of_the_first_version_have_their_region_among_other_columns(
    db: sqlite3.Connection,
) -> None:
    """A field of the charge holds it from then on; the tables of rates are made."""
    execute_all(db, OLD_CHARGES)
    old = replace(a_charge("a", "1", (0, 10)), other=(("RegionId", "eu"), ("Tags", "{}")))
    plain = a_charge("b", "2", (0, 10))
    for charge in (old, plain):
        db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", a_row(charge))
    add_checksums(db, 1)
    rows = db.execute("SELECT * FROM charges").fetchall()
    assert all(row[5] == row_checksum("charges", row[:5]) for row in rows)
    found = [msgspec.json.decode(row[4], type=Charge) for row in rows]
    assert found == [replace(old, region_id="eu", other=(("Tags", "{}"),)), plain]
    assert {"rates", "rate_quarantine"} <= names(db)


def test_books_without_rows_are_brought_up_too(db: sqlite3.Connection) -> None:
    """Of both versions."""
    execute_all(db, OLD_CHARGES)
    add_checksums(db, 1)
    assert db.execute("SELECT * FROM charges").fetchall() == []
    assert "rates" in RATES
