"""SQLite files: opening, transactions, and the errors of one in a line that says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from inferworks.errors import DamagedError, DataFolderError

T = TypeVar("T")

_MEMORY: Final = ":memory:"
_LOCK_TIMEOUT_S: Final = 10.0
_MISSING: Final = ("no such table: ", "no such column: ")
"""Beginnings of SQLite's errors when its own page of a table's layout is damaged."""
_RESTORE: Final = "restore the data folder from a backup (docs/backup.md)"
_TRY_AGAIN: Final = "another command is at work on it: try again when it is done"
_IN_USE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_REMEDIES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on that disk and try again",
    sqlite3.SQLITE_READONLY: "check the disk and the permissions of the data folder",
    sqlite3.SQLITE_CANTOPEN: "check the permissions of the data folder, and its limits (ulimit -a)",
    sqlite3.SQLITE_PERM: "check the permissions of the data folder",
    sqlite3.SQLITE_BUSY: _TRY_AGAIN,
    sqlite3.SQLITE_LOCKED: _TRY_AGAIN,
    sqlite3.SQLITE_IOERR: "check the disk, its room and its limits (ulimit -a), and try again",
    sqlite3.SQLITE_NOMEM: "free memory and try again",
    sqlite3.SQLITE_CORRUPT: "restore the data folder from a backup; inferworks scrub says what is damaged",
    sqlite3.SQLITE_NOTADB: "restore the data folder from a backup; inferworks scrub says what is damaged",
}


class Database:
    """Connection to the SQLite file at `path`, which is made unless `read_only`; in memory when it is None.

    Only `translated` turns SQLite's errors into ours.

    Who opens a file to write begins its write-ahead log afresh. After a sync that failed, pages of the log
    may be lost on the disk that the kernel still shows; when the process that was told so is killed, the
    next one would write behind them, and a power failure would take its commits with the lost pages.
    """

    def __init__(
        self, path: Path | None, *, read_only: bool = False, threads: bool = False
    ) -> None:
        """`threads` lets other threads use it, one at a time. DataFolderError when it cannot be opened."""
        self.path = path or Path(_MEMORY)
        try:
            self.connection = (
                sqlite3.connect(_MEMORY, isolation_level=None)
                if path is None
                else connect(path, "ro" if read_only else "rwc", check_same_thread=not threads)
            )
        except sqlite3.Error as error:
            raise DataFolderError(f"cannot open {path}: {with_remedy(error)}") from error
        if path is not None and not read_only:
            try:
                begin_log_afresh(self.connection)
            except sqlite3.Error as error:
                self.close()
                raise DataFolderError(f"cannot use {path}: {with_remedy(error)}") from error

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def execute(self, query: str, values: Any = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(query, values)

    def executemany(self, query: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Run one statement for each of `rows`."""
        return self.connection.executemany(query, rows)

    def found(self, kind: type[T], query: str, *values: object) -> T:
        """Return the rows that `query` finds, as the list of type `kind`."""
        return as_declared(self.execute(query, values).fetchall(), kind)

    def version(self) -> int:
        """Return the version of the layout; 0 for an empty file."""
        [[version]] = self.found(list[tuple[int]], "PRAGMA user_version")
        return version

    def integrity(self) -> list[str]:
        """Return the faults that SQLite finds in the file, a line each."""
        messages = self.found(list[tuple[str]], "PRAGMA integrity_check(20)")
        return [str(self.damaged(text)) for (text,) in messages if text != "ok"]

    def damaged(self, what: object) -> DamagedError:
        """Return the error for a file in which `what` was found."""
        return DamagedError(f"{self.path} is damaged: {what}; {_RESTORE}")

    def transaction(self) -> AbstractContextManager[None]:
        """Run a transaction, all or nothing."""
        return transaction(self.connection)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise SQLite's errors as ours, in one line: DamagedError or DataFolderError."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeError, msgspec.DecodeError) as error:
            if is_damage(error):
                raise self.damaged(error) from error
            raise DataFolderError(f"cannot use {self.path}: {with_remedy(error)}") from error


def connect(
    path: Path, mode: Literal["ro", "rw", "rwc"], timeout_s: float = _LOCK_TIMEOUT_S, **options: Any
) -> sqlite3.Connection:
    """Return a connection to the file at `path` that begins no transaction of its own accord.

    `timeout_s` is the longest wait while others write; `options` are those of `sqlite3.connect`.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    made: sqlite3.Connection = sqlite3.connect(
        uri, uri=True, timeout=timeout_s, isolation_level=None, **options
    )
    return made


def begin_log_afresh(connection: sqlite3.Connection, timeout_s: float = _LOCK_TIMEOUT_S) -> None:
    """Move all of the write-ahead log into the file and empty it, unless others use it just now.

    They have done it then when they opened the file, or hold the log as it was. `timeout_s` is the longest
    wait for others afterwards. sqlite3.Error when the disk fails; damage shows to who reads the file.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        if not is_damage(error) and error.sqlite_errorcode & 0xFF not in _IN_USE:
            raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(timeout_s * 1000)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a transaction, all or nothing; the write lock is taken at once, so that reads still hold."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")


def as_declared(found: object, kind: type[T]) -> T:
    """`found` in a database, as the type `kind`; `msgspec.ValidationError` when it is of another.

    SQLite gives back a value of any type from any column, and no row where there must be one, when the
    page says something else than what was written to it.
    """
    return msgspec.convert(found, kind, builtin_types=(bytes,))


def is_damage(error: sqlite3.Error | UnicodeError | msgspec.DecodeError) -> bool:
    """Return whether a database whose layout was checked differs from what SQLite wrote.

    Text that is no Unicode has no code, and where SQLite's own message quotes it, Python cannot read that;
    nor has a value of another type than its column's (`as_declared`). Nor has an error of the program, such
    as a question to a connection that is closed, which is no damage.
    """
    if isinstance(error, sqlite3.ProgrammingError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    lacks = code == sqlite3.SQLITE_ERROR and str(error).startswith(_MISSING)
    return lacks or code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def remedy(error: Exception) -> str | None:
    """Return what to do about an error of SQLite; None when that is not known."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _REMEDIES.get(code & 0xFF)


def with_remedy(error: Exception) -> str:
    """Return the text of `error`, with what to do about it."""
    found = remedy(error)
    return f"{error}; {found}" if found else str(error)
