"""`ledger.db`: the chain of closes, and everything each of them was drawn from.

Problem. A close must be there whole or not at all, whatever happens while it is written, and it must be
possible years later to compute it again, though bills, prices and this program have moved on.

Decision. One close is one transaction: its record, and every part that it names (see `seal.py`). Parts
are kept under their hash, so what two closes share (the policy, the rules) is kept once. A record is
only taken when it follows the one that is last *now*: of two processes that close at the same time one
is refused, never both let in. Nothing is ever updated or deleted; SQLite triggers say so to everybody
who opens the file, and the hashes tell of those who do not listen.

The kept parts are compressed with zlib in chunks; `Ledger.raw` gives their canonical bytes.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from inferworks.books.period import Period, Periods, refuse_overlap
from inferworks.books.seal import (
    FIRST,
    Body,
    Close,
    Part,
    Record,
    Reopening,
    read_record,
    record_bytes,
    sha256_of,
)
from inferworks.errors import BooksError, DataFolderError, UserError

_VERSION = 1
_BUSY_SECONDS = 10.0
_CHUNK_BYTES = 8 * 2**20
_SCHEMA = """
CREATE TABLE record (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE kept (
    sha256 TEXT NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (sha256, chunk)
) WITHOUT ROWID;
CREATE TABLE period (
    name TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL
) WITHOUT ROWID;
"""
_GUARD = """
CREATE TRIGGER {table}_is_not_{verb}d BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'what is sealed never changes; correct it in the open period'); END
"""


class Ledger:
    """The closes in the file at `path`, which is made unless `read_only`; in memory when it is None."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        """DataFolderError when it cannot be opened, is no ledger.db, or is of another version."""
        self._path = path or Path(":memory:")
        self._db = _connect(path, read_only=read_only)
        try:
            with self._translated():
                if not read_only:
                    self._prepare()
                self._check_version()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def chain(self) -> list[tuple[str, bytes]]:
        """Every record as it is kept, in order: the hash that stands beside it, and its bytes."""
        with self._translated():
            return self._db.execute("SELECT sha256, body FROM record ORDER BY number").fetchall()

    def records(self) -> list[Record]:
        """Every record, in order. BooksError when one of them is damaged."""
        return [read_record(body) for _, body in self.chain()]

    def head(self) -> tuple[int, str]:
        """The number of the next record, and the hash that it must carry."""
        with self._translated():
            return self._head()

    def periods(self) -> Periods:
        """The calendar: what was declared, and what is closed now."""
        with self._translated():
            rows = self._db.execute("SELECT start_ns, end_ns, name FROM period ORDER BY start_ns")
            declared = tuple(Period(*row) for row in rows)
        closed = sorted(close.period for close in standing(self.records()))
        return Periods(declared, tuple(closed))

    def declare(self, period: Period) -> None:
        """Keep a period under its name. UserError when the name or a part of its time is taken."""
        with self._translated(), self._transaction():
            rows = self._db.execute("SELECT start_ns, end_ns, name FROM period").fetchall()
            refuse_overlap(period, [Period(*row) for row in rows])
            self._db.execute(
                "INSERT INTO period VALUES (?, ?, ?)", (period.name, period.start_ns, period.end_ns)
            )

    def append(self, record: Record, bodies: Iterable[Body] = ()) -> str:
        """Keep `record` and its parts, all or none; its hash.

        UserError when another record was kept since the caller looked at the head.
        """
        raw = record_bytes(record)
        with self._translated(), self._transaction():
            if self._head() != (record.number, record.previous):
                raise UserError(
                    "somebody else closed or reopened a period meanwhile; nothing was done, look "
                    "again with: inferworks books periods"
                )
            for body in bodies:
                self._keep(body)
            self._db.execute(
                "INSERT INTO record VALUES (?, ?, ?)", (record.number, sha256_of(raw), raw)
            )
        return sha256_of(raw)

    def raw(self, part: Part) -> bytes:
        """The canonical bytes kept for `part`. BooksError when they are gone or damaged."""
        with self._translated():
            chunks = self._db.execute(
                "SELECT body FROM kept WHERE sha256 = ? ORDER BY chunk", (part.sha256,)
            ).fetchall()
        if not chunks:
            raise BooksError("its bytes are gone from the ledger")
        try:
            raw = b"".join(zlib.decompress(chunk) for (chunk,) in chunks)
        except zlib.error as error:
            raise BooksError(f"its bytes are damaged: {error}") from error
        if sha256_of(raw) != part.sha256:
            raise BooksError("its bytes were changed after they were sealed")
        return raw

    def body(self, close: Close, name: str) -> Body:
        """The part called `name` of `close`. BooksError when it is gone or damaged."""
        for part in close.parts:
            if part.name == name:
                try:
                    return Body(part, self.raw(part))
                except BooksError as error:
                    raise BooksError(f"period {close.period.name}: {name}: {error}") from error
        raise BooksError(f"period {close.period.name}: {name}: the close names no such part")

    def _head(self) -> tuple[int, str]:
        last = self._db.execute("SELECT number, sha256 FROM record ORDER BY number DESC").fetchone()
        return (0, FIRST) if last is None else (last[0] + 1, last[1])

    def _keep(self, body: Body) -> None:
        for chunk, start in enumerate(range(0, max(1, len(body.raw)), _CHUNK_BYTES)):
            packed = zlib.compress(body.raw[start : start + _CHUNK_BYTES], level=1)
            self._db.execute(
                "INSERT OR IGNORE INTO kept VALUES (?, ?, ?)", (body.part.sha256, chunk, packed)
            )

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if self._version() == 0:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    self._db.execute(statement)
                for table in ("record", "kept", "period"):
                    for verb in ("update", "delete"):
                        self._db.execute(_GUARD.format(table=table, verb=verb))
                self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _check_version(self) -> None:
        version = self._version()
        if version != _VERSION:
            raise DataFolderError(
                f"{self._path} has layout version {version}, this program reads version {_VERSION}; "
                "use the program version that wrote it, or another data folder"
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; the write lock is taken at once, so that what was read still holds."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours, in one line."""
        try:
            yield
        except sqlite3.Error as error:
            raise DataFolderError(f"cannot use {self._path}: {error}") from error


def standing(records: Iterable[Record]) -> list[Close]:
    """The closes that count now, in order: those that no reopening superseded."""
    closes: dict[int, Close] = {}
    for record in records:
        if isinstance(record, Reopening):
            closes.pop(record.supersedes, None)
        else:
            closes[record.number] = record
    return list(closes.values())


def _connect(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    try:
        if path is None:
            return sqlite3.connect(":memory:", isolation_level=None)
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise DataFolderError(f"cannot open {path}: {error}") from error
