"""The journal's store in one SQLite file.

Write-ahead logging lets readers in other processes read while we write; `synchronous=FULL` makes a
commit wait for its fsync, which is what durable means.

Rows go in through multi-row `VALUES` statements and not through `executemany`: Python's sqlite3 gives up
the interpreter lock at each step of a statement, so a thread that inserts row by row beside a busy event
loop queues for the lock once per row, and with many rows per statement once per statement. A group of any
size up to `_LARGEST` is one statement per table; each size is prepared once.

That a call was opened is kept beside the database, in a file that takes it without a wait (`openings`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from inferworks.errors import DataFolderError, JournalError, RecordError
from inferworks.ids import CallId
from inferworks.meter.openings import Openings
from inferworks.meter.reader import JournalReader, check_version, ended
from inferworks.meter.record import Record
from inferworks.meter.tables import MIGRATIONS, SCHEMA, SCHEMA_VERSION, TABLES, Row
from inferworks.meter.usage import Checkpoint, Opened, Usage

_LARGEST: Final = 64
"""Rows per statement at most."""

_PREPARED: Final = 3 * _LARGEST
_LOCK_TIMEOUT_S: Final = 30.0
"""How long to wait while another process writes, for instance an import."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # on macOS a plain fsync stops short of the disk
    "PRAGMA wal_autocheckpoint = 4000",  # pages of 4 KiB: one pause per 16 MB written
    "PRAGMA cache_size = -16000",  # KiB
)


class SqliteStore:
    """Keeps a journal in the file at `path`, which is made when it does not exist.

    `turn` is held during each write. Whoever else in this process writes to the file (the one who seals
    it) takes the same lock: SQLite's own has no queue, and who finds it taken looks again ever later.
    """

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        self._path = path
        self._turn = turn or threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._openings = Openings(path)
        self._statements: dict[tuple[type[Record], int], str] = {}

    def open(self) -> None:
        """Open the file, or make it; DataFolderError when it is no journal, or a newer one."""
        try:
            self._database = _connect(self._path)
            self._openings.open()
        except sqlite3.Error as error:
            raise DataFolderError(
                f"cannot use the journal {self._path}: {error}; "
                "name another data folder, or restore this one from a backup"
            ) from error

    def write(self, records: Sequence[Record]) -> None:
        """Commit `records` in one transaction; see `JournalStore.write`."""
        database = self._open_database()
        try:
            with self._turn:
                self._write(database, records)
        except (sqlite3.IntegrityError, OverflowError, UnicodeError) as error:
            raise RecordError(f"a record was refused: {error}") from error
        except sqlite3.Error as error:
            raise JournalError(f"cannot write {self._path}: {error}") from error

    def opened(self, opened: Opened) -> None:
        """Keep that a call was opened; see `JournalStore.opened`."""
        self._open_database()
        try:
            self._openings.append(opened)
        except OSError as error:
            raise self._lost(error) from error

    def reached(self, checkpoint: Checkpoint) -> None:
        """Keep how far an open call has come; see `JournalStore.reached`."""
        self._open_database()
        try:
            self._openings.reached(checkpoint)
        except OSError as error:
            raise self._lost(error) from error

    def settle(self) -> bool:
        """Have the disk take which calls are open; see `JournalStore.settle`."""
        try:
            return self._openings.settle(self._are_ended)
        except (OSError, sqlite3.Error) as error:
            raise self._lost(error) from error

    def reads(self) -> JournalReader:
        """A read-only view of the file."""
        return JournalReader(self._path)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._openings.close()
            self._database.close()
            self._database = None

    def _write(self, database: sqlite3.Connection, records: Sequence[Record]) -> None:
        statements = self._statements_for(database, records)
        if len(statements) == 1:
            database.execute(
                *statements[0]
            )  # by itself it is a transaction, without two calls more
        elif statements:
            self._transact(database, statements)
        for record in records:
            if type(record) is Usage:
                self._openings.ended(record.call_id)

    def _transact(
        self, database: sqlite3.Connection, statements: Sequence[tuple[str, Row]]
    ) -> None:
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                database.execute(*statement)
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")

    def _lost(self, error: Exception) -> JournalError:
        return JournalError(f"cannot write beside {self._path}: {error}")

    def _are_ended(self, calls: Sequence[CallId]) -> bool:
        return len(ended(self._open_database(), calls)) == len(calls)

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise JournalError(f"the journal {self._path} is not open")
        return self._database

    def _statements_for(
        self, database: sqlite3.Connection, records: Sequence[Record]
    ) -> list[tuple[str, Row]]:
        """What inserts `records`, table by table, in their order within each."""
        by_type: dict[type[Record], list[Row]] = {}
        for record in records:
            type_ = type(record)
            by_type.setdefault(type_, []).append(TABLES[type_].to_row(record))
        variables = database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        statements: list[tuple[str, Row]] = []
        for type_, rows in by_type.items():
            at_once = min(_LARGEST, variables // len(rows[0]))
            for begin in range(0, len(rows), at_once):
                some = rows[begin : begin + at_once]
                statements.append(
                    (self._insert(type_, len(some)), tuple(chain.from_iterable(some)))
                )
        return statements

    def _insert(self, type_: type[Record], rows: int) -> str:
        """The statement for so many rows, the same string each time, so that it stays prepared."""
        statement = self._statements.get((type_, rows))
        if statement is None:
            statement = self._statements[type_, rows] = TABLES[type_].insert(rows)
        return statement


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that writes durably, with the tables in place."""
    database = sqlite3.connect(
        path,
        timeout=_LOCK_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_PREPARED,
    )
    try:
        _create(database)
        _migrate(database, path)
        for pragma in _PRAGMAS:
            database.execute(pragma)
    except BaseException:
        database.close()
        raise
    return database


def _create(database: sqlite3.Connection) -> None:
    """Make the tables, all or none, in a file that is empty."""
    database.execute("BEGIN IMMEDIATE")
    if database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        for statement in SCHEMA:
            database.execute(statement)
    database.execute("COMMIT")


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring the journal in `database` to this version, whole or not at all.

    DataFolderError when it is no journal, or one of a newer version.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in MIGRATIONS[check_version(database, path)]:
            database.execute(statement)
        database.execute(
            "UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(SCHEMA_VERSION),)
        )
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
