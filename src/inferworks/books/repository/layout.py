"""The layout of `books.db`: its tables, and how those of older versions are brought up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from inferworks.books.charge import Charge
from inferworks.books.deliveries.landing import PERIODS
from inferworks.books.deliveries.landing import SCHEMA as DELIVERIES
from inferworks.checksum import row_checksum

VERSION = 4
UNCHECKED = 2
"""The version without checksums, which is read as it is."""
WIDTHS = {"charges": 6, "rates": 7}
RATES = """
CREATE TABLE rates (
    day TEXT NOT NULL, from_currency TEXT NOT NULL, to_currency TEXT NOT NULL,
    rate TEXT NOT NULL, source TEXT NOT NULL, file_sha256 TEXT NOT NULL REFERENCES files,
    checksum INTEGER NOT NULL, PRIMARY KEY (day, from_currency, to_currency)
) WITHOUT ROWID;
CREATE TABLE rate_quarantine (
    file_sha256 TEXT NOT NULL, at_ns INTEGER NOT NULL, kept BLOB NOT NULL, refused BLOB NOT NULL,
    PRIMARY KEY (kept, refused)
) WITHOUT ROWID;
"""
SCHEMA = f"""
CREATE TABLE meta (currency TEXT NOT NULL);
CREATE TABLE files (
    sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, imported_ns INTEGER NOT NULL,
    accepted INTEGER NOT NULL, duplicate INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE charges (
    id TEXT PRIMARY KEY, file_sha256 TEXT NOT NULL REFERENCES files,
    period_start_ns INTEGER NOT NULL, period_end_ns INTEGER NOT NULL, body BLOB NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
{PERIODS};
CREATE TABLE quarantine (
    id TEXT NOT NULL, file_sha256 TEXT NOT NULL, at_ns INTEGER NOT NULL,
    kept BLOB NOT NULL, refused BLOB NOT NULL, PRIMARY KEY (id, file_sha256)
) WITHOUT ROWID;
{RATES}{DELIVERIES}"""


def execute_all(db: sqlite3.Connection, statements: str) -> None:
    """Run `statements` one by one, within whatever transaction there is."""
    for statement in filter(str.strip, statements.split(";\n")):
        db.execute(statement)


def insert_all(db: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Insert `rows` into `table`, each with its checksum."""
    marks = ", ".join("?" * WIDTHS[table])
    db.executemany(
        f"INSERT INTO {table} VALUES ({marks})",
        ((*row, row_checksum(table, row)) for row in rows),
    )


def add_checksums(db: sqlite3.Connection, version: int) -> None:
    """Give every row its checksum; 1 kept RegionId among other columns and had no rates."""
    charges = db.execute("SELECT * FROM charges").fetchall()
    rates = db.execute("SELECT * FROM rates").fetchall() if version > 1 else []
    if version > 1:
        db.execute("ALTER TABLE rates ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
        db.execute("DELETE FROM rates")
    else:
        execute_all(db, RATES)
        for number, (*row, body) in enumerate(charges):
            charge = msgspec.json.decode(body, type=Charge)
            region_id = dict(charge.other).get("RegionId")
            other = tuple(pair for pair in charge.other if pair[0] != "RegionId")
            charge = msgspec.structs.replace(charge, region_id=region_id, other=other)
            charges[number] = (*row, msgspec.json.encode(charge))
    db.execute("ALTER TABLE charges ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0")
    db.execute("DELETE FROM charges")
    insert_all(db, "charges", charges)
    insert_all(db, "rates", rates)
