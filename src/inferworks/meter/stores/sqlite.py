"""The journal's store in one SQLite file.

Write-ahead logging lets readers in other processes read while we write; `synchronous=FULL` makes a
commit wait for its fsync.

Rows go in through multi-row `VALUES` statements and not through `executemany`: Python's sqlite3 gives up
the interpreter lock at each step of a statement, so a thread that inserts row by row beside a busy event
loop queues for the lock once per row, and with many rows per statement once per statement. A group of any
size up to `_LARGEST` is one statement per table; each size is prepared once.

The opening of a call is kept beside the database, in an append-only file without a wait (`inflight_log`).

After an error with unknown effect on the disk (a failed fsync, any I/O error), a new connection is made,
and the whole write-ahead log goes into the database and is begun afresh (`wal_checkpoint(TRUNCATE)`): so
all later reads are of data written and synced anew, even if the log's pages had been lost. The same is done
when a journal is opened: whoever had it before may have been killed between the error and a new connection,
and all that follows lost pages in the log is lost with them. A full disk and a lock that could not be had
in time leave the file and the connection as they were: SQLite has rolled back, and writes the same place of
the log again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final, Literal

from inferworks.errors import DataFolderError, JournalError, RecordError
from inferworks.folder import sync_names
from inferworks.ids import CallId
from inferworks.meter.inflight_log import InflightLog
from inferworks.meter.reader import JournalReader, check_version, ended
from inferworks.meter.record import Record
from inferworks.meter.shipping import outbox
from inferworks.meter.tables import MIGRATIONS, SCHEMA, SCHEMA_VERSION, TABLES, USAGE, Row
from inferworks.meter.usage import Checkpoint, Opened, Usage
from inferworks.sqlite import begin_log_afresh, connect, transaction

_LARGEST: Final = 64
"""Rows per statement at most."""

_PREPARED: Final = 3 * _LARGEST
_LOCK_TIMEOUT_S: Final = 30.0
"""Longest wait in seconds while another process writes, for instance an import."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # on macOS a plain fsync stops short of the disk
    "PRAGMA wal_autocheckpoint = 4000",  # pages of 4 KiB: one pause per 16 MB written
    "PRAGMA cache_size = -16000",  # KiB
    "PRAGMA temp_store = MEMORY",  # so that no statement needs a descriptor, or room on another disk
)

_SOUND: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})
"""The errors after which the file and the connection are as they were."""


class SqliteStore:
    """Store of a journal in the file at `path`, which is made when it does not exist.

    `turn` is held during each write. Other writers to the file in this process (archiving) take the same
    lock: SQLite's own has no queue, and a waiter looks again at growing intervals.
    """

    def __init__(
        self,
        path: Path,
        turn: threading.Lock | None = None,
        *,
        ships_as: str = "",
        is_shared: bool = False,
    ) -> None:
        """With `ships_as` the journal ships its records from now on, as the node of that name.

        `is_shared`: other processes write it, too. Nothing is then taken back, for another may have written
        the same record since, and told that it is durable; so a shared store takes only records that their
        sender sends again under the same name.
        """
        self._path = path
        self._ships_as = ships_as
        self._is_shared = is_shared
        self._turn = turn or threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._identity = ""
        self._place: tuple[int, int] | None = None
        """Device and inode of the file."""
        self._is_doubtful = False
        """True if the connection or the disk may have lost something."""
        self._openings = InflightLog(path)
        self._statements: dict[tuple[type[Record], int], str] = {}
        self._ships = False
        self._settled_to = 0
        self._is_in_doubt = False

    @property
    def is_in_doubt(self) -> bool:
        """True if records in the file may yet be taken back; certain for whoever has the `turn`."""
        return self._is_in_doubt

    @property
    def settled_to(self) -> int:
        """Position in the outbox up to which nothing is taken back; see `JournalStore.settled_to`."""
        return self._settled_to

    def open(self) -> None:
        """Open the file, or make it; DataFolderError when it is no journal, or a newer one."""
        try:
            self._database = _connect(self._path, "rwc")
            begin_log_afresh(self._database, _LOCK_TIMEOUT_S)
            self._identity, self._place = _identity(self._database), _place(self._path)
            if self._ships_as:
                with transaction(self._database):
                    outbox.begin(self._database, self._ships_as)
            self._ships = outbox.run_of(self._database) is not None
            self._settled_to = outbox.newest(self._database) if self._ships else 0
            self._is_in_doubt = False
            self._openings.open()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise DataFolderError(
                f"cannot use the journal {self._path}: {error}; "
                "name another data folder, or restore this one from a backup"
            ) from error

    def write(self, records: Sequence[Record]) -> None:
        """Commit `records` in one transaction; see `JournalStore.write`."""
        database = self._open_database()
        try:
            with self._turn:
                statements = self._statements_for(database, records)
                self._is_in_doubt = True
                if self._ships:
                    with transaction(database):
                        for statement in statements:
                            database.execute(*statement)
                        outbox.append(database, records)
                        settled_to = outbox.newest(database)
                    self._settled_to = settled_to
                elif len(statements) == 1:  # by itself a transaction, without two calls more
                    database.execute(*statements[0])
                elif statements:
                    with transaction(database):
                        for statement in statements:
                            database.execute(*statement)
                self._is_in_doubt = False
                for record in records:
                    if type(record) is Usage:
                        self._openings.ended(record.call_id)
        except (sqlite3.IntegrityError, OverflowError, UnicodeError) as error:
            self._is_in_doubt = False  # nothing was written
            raise RecordError(f"a record was refused: {error}") from error
        except sqlite3.Error as error:
            self._is_doubtful |= error.sqlite_errorcode & 0xFF not in _SOUND
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
            if _place(self._path) != self._place:
                self._is_doubtful = True
                raise JournalError(f"{self._path} is gone, or another file; bring it back")
            return self._openings.settle(self._are_ended)
        except (OSError, sqlite3.Error) as error:
            raise self._lost(error) from error

    def resume(self, doubtful: Sequence[Usage]) -> None:
        """Write the journal on, in a new connection if need be; see `JournalStore.resume`."""
        try:
            with self._turn:
                if self._database is None or self._is_doubtful:
                    self._reopen()
                database = self._open_database()
                with transaction(database):  # written in any case, to test whether that works
                    database.execute("UPDATE meta SET value = value WHERE key = 'schema_version'")
                    taken_back: set[CallId] = set()
                    for usage in () if self._is_shared else doubtful:
                        name = (usage.call_id,)
                        found = database.execute("SELECT * FROM usage WHERE call_id = ?", name)
                        row = found.fetchone()
                        if row is not None and row == USAGE.stored(usage):
                            database.execute("DELETE FROM usage WHERE call_id = ?", name)
                            taken_back.add(usage.call_id)
                    if self._ships:
                        outbox.take_back(database, self._settled_to, taken_back)
                        settled_to = outbox.newest(database)
                if self._ships:
                    self._settled_to = settled_to
                self._is_in_doubt = False
            self._openings.resume()
        except (OSError, sqlite3.Error, DataFolderError) as error:
            raise JournalError(f"cannot write {self._path} again: {error}") from error

    def reads(self) -> JournalReader:
        """A read-only view of the file."""
        return JournalReader(self._path)

    def close(self) -> None:
        """Close the files."""
        if self._database is not None and not self._is_doubtful:
            with suppress(OSError, sqlite3.Error):  # else the next one to open the journal does it
                self._openings.tidy(self._are_ended)
        self._openings.close()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _reopen(self) -> None:
        """Begin again with a new connection, and with all that is known written and synced anew."""
        old, self._database = self._database, None
        if old is not None:
            with suppress(sqlite3.Error):
                old.close()
        database = _connect(self._path, "rw")
        try:
            if self._identity not in {"", _identity(database)}:
                raise JournalError(f"{self._path} is another journal now; bring ours back")
            (is_busy, _, _) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                raise JournalError(
                    f"{self._path} is being read by others, who hold old pages of it"
                )
        except BaseException:
            database.close()
            raise
        self._database, self._place = database, _place(self._path)
        self._is_doubtful = False

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
        """Return the statements that insert `records`, table by table, in their order within each."""
        by_type: dict[type[Record], list[Row]] = {}
        for record in records:
            type_ = type(record)
            by_type.setdefault(type_, []).append(TABLES[type_].stored(record))
        variables = database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        statements: list[tuple[str, Row]] = []
        for type_, rows in by_type.items():
            at_once = min(_LARGEST, variables // len(rows[0]))
            for begin in range(0, len(rows), at_once):
                some = rows[begin : begin + at_once]
                statement = self._statements.get((type_, len(some)))
                if statement is None:  # the same string each time, so that it stays prepared
                    statement = TABLES[type_].insert(len(some))
                    self._statements[type_, len(some)] = statement
                statements.append((statement, tuple(chain.from_iterable(some))))
        return statements


def _connect(path: Path, mode: Literal["rw", "rwc"]) -> sqlite3.Connection:
    """Return a connection that writes durably, with the tables in place. Mode `rw` makes no file.

    The file and its write-ahead log have durable names: SQLite asks for that too, but ignores a failure
    of it, and a commit into a log without a durable name is lost with the power. A journal of a former
    version is brought to this one; DataFolderError when it is no journal, or one of a newer version.
    """
    database = connect(
        path, mode, _LOCK_TIMEOUT_S, check_same_thread=False, cached_statements=_PREPARED
    )
    try:
        with transaction(database):
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                for statement in SCHEMA:
                    database.execute(statement)
        with transaction(database):
            for statement in MIGRATIONS[check_version(database, path)]:
                database.execute(statement)
            version = (str(SCHEMA_VERSION),)
            database.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", version)
        for pragma in _PRAGMAS:
            database.execute(pragma)
        check_version(database, path)  # any read makes the log
        sync_names(path.parent)
    except BaseException:
        database.close()
        raise
    return database


def _identity(database: sqlite3.Connection) -> str:
    """Return the journal's own id; empty if it has none."""
    found = database.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()
    return "" if found is None else str(found[0])


def _place(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at `path`; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
