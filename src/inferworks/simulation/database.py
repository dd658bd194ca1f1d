"""SQLite on the simulated disk: a VFS over the disk, and `sqlite3.connect`.

The SQL, the schema and the pragmas are production's; SQLite itself is the one that `apsw` brings, since
the library's own offers no VFS. Locks and shared memory stay SQLite's own, on files in memory.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import apsw

from inferworks.simulation.disk import Disk, File, Write
from inferworks.simulation.threads import Lock
from inferworks.simulation.turns import Killed, Process

_VFS: Final = "simulated"
_NAME_IS_SYNCED: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
"""Files that SQLite may make, whose names it makes durable with the first sync after opening them."""

_ERRORS: Final[Sequence[tuple[type[apsw.Error], type[sqlite3.Error], int, str]]] = (
    (apsw.ConstraintError, sqlite3.IntegrityError, apsw.SQLITE_CONSTRAINT, ""),
    (apsw.FullError, sqlite3.OperationalError, apsw.SQLITE_FULL, "database or disk is full"),
    (apsw.IOError, sqlite3.OperationalError, apsw.SQLITE_IOERR, "disk I/O error"),
    (apsw.BusyError, sqlite3.OperationalError, apsw.SQLITE_BUSY, "database is locked"),
    (apsw.LockedError, sqlite3.OperationalError, apsw.SQLITE_LOCKED, "database table is locked"),
    (apsw.CantOpenError, sqlite3.OperationalError, apsw.SQLITE_CANTOPEN, "unable to open database file"),
    (apsw.ReadOnlyError, sqlite3.OperationalError, apsw.SQLITE_READONLY,
     "attempt to write a readonly database"),
    (apsw.SQLError, sqlite3.OperationalError, apsw.SQLITE_ERROR, ""),
    (apsw.CorruptError, sqlite3.DatabaseError, apsw.SQLITE_CORRUPT, "database disk image is malformed"),
    (apsw.NotADBError, sqlite3.DatabaseError, apsw.SQLITE_NOTADB, "file is not a database"),
    (apsw.TooBigError, sqlite3.DataError, apsw.SQLITE_TOOBIG, "string or blob too big"),
    (apsw.Error, sqlite3.DatabaseError, apsw.SQLITE_ERROR, ""),
)  # fmt: skip
"""Exception of `sqlite3` for each error, with its code and text."""
_CODES: Final = {**apsw.mapping_result_codes, **apsw.mapping_extended_result_codes}
"""Name of each code, and of each name its code."""


class _File(apsw.VFSFile):
    """File of SQLite's, with writes to the simulated disk."""

    def __init__(self, vfs: DiskVfs, name: Any, flags: list[int]) -> None:
        self._disk = vfs.disk
        self._process = vfs.disk.turns.process
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_ours = path is not None and self._disk.holds(path)
        is_new = is_ours and not os.path.lexists(path)
        if is_new and flags[0] & apsw.SQLITE_OPEN_CREATE:
            vfs.allowed(path)
        super().__init__("unix", name, flags)
        if is_new:
            self._disk.changed((path, File()))
        self._node = self._disk.file_at(path) if is_ours else None
        self._name = self._disk.shown(path) if is_ours else ""
        unnamed = is_ours and flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _NAME_IS_SYNCED
        self._folder = self._disk.folder_of(path) if unnamed else None

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 SQLite's name
        """Write, as far as the disk lets it."""
        self._allowed(apsw.FullError)
        super().xWrite(data, offset)
        if self._node is not None:
            self._node.later.append(Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Cut off."""
        self._allowed(apsw.IOError)
        super().xTruncate(newsize)
        if self._node is not None:
            self._node.later.append(Write(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Make the writes durable."""
        if self._process.dead:
            raise apsw.IOError("the process was killed")
        if self._node is None:
            return
        try:
            self._disk.make_durable(self._node, self._name)
            folder, self._folder = self._folder, None
            if folder is not None:
                with suppress(OSError):  # SQLite, too, takes no notice when this fails
                    self._disk.make_durable(folder, "the folder")
        except (OSError, Killed) as error:
            raise apsw.IOError(str(error)) from None

    def _allowed(self, full: type[apsw.Error]) -> None:
        if self._process.dead:
            raise apsw.IOError("the process was killed")
        try:
            self._disk.may_fail(self._name)
        except OSError as error:
            raise (full if error.errno == 28 else apsw.IOError)(str(error)) from None


class DiskVfs(apsw.VFS):
    """SQLite's operating system."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__(_VFS, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802
        """Open a file."""
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Take a name away."""
        self.allowed(filename)
        super().xDelete(filename, False)
        if self.disk.holds(filename):
            self.disk.changed((filename, None))
            if syncdir:
                try:
                    self.disk.make_durable(self.disk.folder_of(filename), "the folder")
                except (OSError, Killed) as error:
                    raise apsw.IOError(str(error)) from None

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        """Wait for another's lock."""
        with suppress(Killed):
            self.disk.turns.sleep(microseconds * 1000)
        return microseconds

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        """Random bytes, the same in every run."""
        return self.disk.random.randbytes(numbytes)

    def allowed(self, path: str) -> None:
        """A change of names begins; an error when it is made to fail."""
        if self.disk.turns.process.dead:
            raise apsw.IOError("the process was killed")
        try:
            self.disk.may_fail(path)
        except OSError as error:
            raise apsw.CantOpenError(str(error)) from None


class Cursor:
    """The rows that a statement has found."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = iter(rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def __next__(self) -> tuple[Any, ...]:
        return next(self._rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return list(self._rows)


class Connection:
    """A `sqlite3.Connection`, as far as production uses it."""

    def __init__(self, disk: Disk, path: str, flags: int, timeout: float) -> None:
        self._disk = disk
        self._turn = Lock(disk.turns)
        self._process: Process = disk.turns.process
        with _translated():
            self._connection = apsw.Connection(path, flags=flags, vfs=_VFS)
            self._connection.setbusytimeout(round(timeout * 1000))
        self._process.at_death.append(self._drop)

    @property
    def in_transaction(self) -> bool:
        """True while a transaction is open."""
        return bool(self._connection.in_transaction)

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        """Run one statement to its end."""
        turns = self._disk.turns
        turns.check()
        with self._turn, _translated():
            rows = list(self._connection.execute(sql, values))
        turns.check()
        return Cursor(rows)

    def getlimit(self, category: int) -> int:
        """One of SQLite's limits."""
        return int(self._connection.limit(category))

    def close(self) -> None:
        """Close it."""
        self._disk.turns.check()
        if self._drop in self._process.at_death:
            self._process.at_death.remove(self._drop)
        with suppress(
            apsw.Error
        ):  # as SQLite, which tries to tidy up and says nothing if it cannot
            self._connection.close()

    def _drop(self) -> None:
        """Release files and locks, as the kernel would. Nothing is written any more."""
        with suppress(apsw.Error, OSError):
            self._connection.close(True)


class _translated:  # noqa: N801 a context manager
    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, apsw.Error):
            for theirs, ours, usual, text in _ERRORS:
                if isinstance(error, theirs):
                    code = int(getattr(error, "extendedresult", 0)) or usual
                    raised = ours(text or str(error))
                    raised.sqlite_errorcode = code
                    raised.sqlite_errorname = str(_CODES.get(code, ""))
                    raise raised from error


def connecting(disk: Disk) -> Any:
    """`sqlite3.connect` for the files of `disk`."""
    real_connect = sqlite3.connect

    def connect(database: Any, timeout: float = 5.0, *, uri: bool = False, **more: Any) -> Any:
        path = str(database)
        where = unquote(urlsplit(path).path) if uri else path
        if not disk.holds(where):
            return real_connect(database, timeout, uri=uri, **more)
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        if uri and "mode=ro" in path:
            flags = apsw.SQLITE_OPEN_READONLY
        return Connection(disk, str(Path(where)), flags, timeout)

    return connect
