"""`ledger.db`: the chain of closes, with all inputs of each.

Problem. A close must be there whole or not at all, whatever happens while it is written, and it must be
possible years later to compute it again, though bills, prices and this program have moved on.

Decision. One close is one transaction: its record, and every part that it names (see `seal.py`). Parts
are kept under their hash, so a part that two closes share (the policy, the rules) is kept once. A record
is only accepted when it follows the one that is last *now*: of two processes that close at the same time
one is refused. Nothing is ever updated or deleted; SQLite triggers refuse it, and the hashes reveal a
change made without them.

The kept parts are compressed with zlib in chunks; `Ledger.raw` gives their canonical bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from inferworks.books.charge import Charge
from inferworks.books.closing.seal import (
    FIRST,
    Body,
    Close,
    Part,
    Record,
    Reopening,
    Sealable,
    read_record,
    record_bytes,
    sha256_of,
)
from inferworks.books.lines import MANY_LINES, NAMES, Charges, Lines
from inferworks.books.period import Period, Periods, refuse_overlap
from inferworks.checksum import row_checksum
from inferworks.errors import BooksError, DamagedError, DataFolderError, UserError
from inferworks.folder import leaving_none_empty
from inferworks.sqlite import Database

_VERSION = 2
_UNCHECKED = 1
"""The version in which declared periods had no checksums, which is read as it is."""
_SCHEMA = """
CREATE TABLE record (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE kept (
    sha256 TEXT NOT NULL, chunk INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (sha256, chunk)
) WITHOUT ROWID;
CREATE TABLE period (
    name TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, checksum INTEGER
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
        self._path = path
        with leaving_none_empty(path) if path else contextlib.nullcontext():
            self._db = Database(path, read_only=read_only)
            try:
                with self._db.translated():
                    if not read_only:
                        self._prepare()
                    version = self._db.version()
                    if version not in (_UNCHECKED, _VERSION):
                        raise DataFolderError(
                            f"{self._db.path} has layout version {version}, this program reads version "
                            f"{_VERSION}; use the program version that wrote it, or another data folder"
                        )
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def chain(self) -> list[tuple[str, bytes]]:
        """Every record as it is kept, in order: the hash that stands beside it, and its bytes."""
        with self._db.translated():
            return self._db.found(
                list[tuple[str, bytes]], "SELECT sha256, body FROM record ORDER BY number"
            )

    def records(self) -> list[Record]:
        """Every record, in order. DamagedError when one of them is not what was written."""
        records = []
        for number, (sha256, body) in enumerate(self.chain()):
            if sha256_of(body) != sha256:
                raise self._db.damaged(
                    f"record {number}: its hash and its content do not belong together"
                )
            records.append(read_record(body))
            if records[-1].number != number:
                raise self._db.damaged(f"record {number} is missing from the chain")
        return records

    def head(self) -> tuple[int, str]:
        """The number of the next record, and the hash that it must carry."""
        with self._db.translated():
            return self._head()

    def periods(self) -> Periods:
        """The calendar: what was declared, and what is closed now."""
        with self._db.translated():
            declared = self._declared()
        closed = sorted(close.period for close in standing(self.records()))
        return Periods(declared, tuple(closed))

    def declare(self, period: Period) -> None:
        """Keep a period under its name. UserError when the name or a part of its time is taken."""
        with self._db.translated(), self._db.transaction():
            refuse_overlap(period, self._declared())
            row = (period.name, period.start_ns, period.end_ns)
            self._db.execute(
                "INSERT INTO period VALUES (?, ?, ?, ?)", (*row, row_checksum("period", row))
            )

    def append(self, record: Record, bodies: Iterable[Sealable] = ()) -> str:
        """Keep `record` and its parts, all or none; its hash.

        UserError when another record was kept since the caller looked at the head.
        """
        raw = record_bytes(record)
        with self._db.translated(), self._db.transaction():
            if self._head() != (record.number, record.previous):
                raise UserError(
                    "somebody else closed or reopened a period meanwhile; nothing was done, look "
                    "again with: inferworks books periods"
                )
            for body in bodies:
                self._db.executemany(
                    "INSERT OR IGNORE INTO kept VALUES (?, ?, ?)",
                    ((body.part.sha256, *chunk) for chunk in enumerate(body.packed())),
                )
            self._db.execute(
                "INSERT INTO record VALUES (?, ?, ?)", (record.number, sha256_of(raw), raw)
            )
        return sha256_of(raw)

    def raw(self, part: Part) -> bytes:
        """The canonical bytes kept for `part`. BooksError when they are gone or damaged."""
        return b"".join(self._chunks(part))

    def rows(self, part: Part) -> Iterator[bytes]:
        """The rows kept for `part`, one at a time; the BooksError, if any, comes after the last."""
        left = b""
        for chunk in self._chunks(part):
            *rows, left = (left + chunk).split(b"\n")
            yield from rows

    def lines(self, close: Close, name: str) -> Lines:
        """The charges in the part called `name` of `close`, to be read whenever they are asked for."""
        named = next((part for part in close.parts if part.name == name + NAMES), None)
        title = f"period {close.period.name}: {name}"
        return _SealedLines(self, _part_of(close, name), named, title)

    def charges(self, close: Close, name: str) -> Charges:
        """Return the charges in the part called `name` of `close`, held in memory where they are few."""
        if _part_of(close, name).rows >= MANY_LINES:
            return self.lines(close, name)
        return self.body(close, name).rows(Charge)

    @contextlib.contextmanager
    def again(self) -> Iterator[Ledger]:
        """Return a ledger for a longer-lived user: the same file opened anew; in memory, itself."""
        if self._path is None:
            yield self
            return
        with Ledger(self._path, read_only=True) as ledger:
            yield ledger

    def body(self, close: Close, name: str) -> Body:
        """The part called `name` of `close`. BooksError when it is gone or damaged."""
        part = _part_of(close, name)
        try:
            return Body(part, self.raw(part))
        except BooksError as error:
            raise BooksError(f"period {close.period.name}: {name}: {error}") from error

    def check(self) -> list[str]:
        """Return the faults of the file and the declared periods, a line each; the rest has its hashes."""
        with self._db.translated():
            findings = self._db.integrity()
        try:
            with self._db.translated():
                self._declared()
        except DamagedError as error:
            findings.append(str(error))
        return findings

    def _chunks(self, part: Part) -> Iterator[bytes]:
        """The canonical bytes kept for `part`, a chunk at a time. BooksError when they are not those."""
        digest = hashlib.sha256()
        query = "SELECT body FROM kept WHERE sha256 = ? AND chunk = ?"
        for at in itertools.count():
            with self._db.translated():
                found = self._db.found(list[tuple[bytes]], query, part.sha256, at)
            if not found or not found[0][0]:
                if not at:
                    raise BooksError("its bytes are gone from the ledger")
                break
            try:
                chunk = zlib.decompress(found[0][0])
            except zlib.error as error:
                raise BooksError(f"its bytes are damaged: {error}") from error
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != part.sha256:
            raise BooksError("its bytes were changed after they were sealed")

    def _declared(self) -> tuple[Period, ...]:
        """The declared periods, in order. DamagedError when one is not what was written."""
        column = "checksum" if self._db.version() > _UNCHECKED else "NULL"
        rows = self._db.found(
            list[tuple[str, int, int, int | None]],
            f"SELECT name, start_ns, end_ns, {column} FROM period ORDER BY start_ns",
        )
        for name, start_ns, end_ns, checksum in rows:
            if checksum not in (None, row_checksum("period", (name, start_ns, end_ns))):
                raise self._db.damaged(
                    f"period {name!a} is not what was written: its checksum differs"
                )
        return tuple(Period(start_ns, end_ns, name) for name, start_ns, end_ns, _ in rows)

    def _head(self) -> tuple[int, str]:
        last = self._db.found(
            list[tuple[int, str]],
            "SELECT number, sha256 FROM record ORDER BY number DESC LIMIT 1",
        )
        return (last[0][0] + 1, last[0][1]) if last else (0, FIRST)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._db.transaction():
            version = self._db.version()
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    self._db.execute(statement)
                for table in ("record", "kept", "period"):
                    for verb in ("update", "delete"):
                        self._db.execute(_GUARD.format(table=table, verb=verb))
            elif version == _UNCHECKED:
                self._db.execute("ALTER TABLE period ADD COLUMN checksum INTEGER")
            if version < _VERSION:
                self._db.execute(f"PRAGMA user_version = {_VERSION}")


class _SealedLines(Lines):
    """The charges in a part of a close."""

    def __init__(self, ledger: Ledger, part: Part, names: Part | None, title: str) -> None:
        super().__init__()
        self._ledger, self._part, self._names, self._title = ledger, part, names, title

    def __len__(self) -> int:
        return self._part.rows

    def bodies(self) -> Iterator[bytes]:
        """Yield each line as JSON. BooksError, after the last, when they differ from the sealed ones."""
        return self._rows(self._part)

    def names(self) -> Iterator[bytes]:
        """The id of each, as JSON; from a part of their own, where there is one."""
        return super().names() if self._names is None else self._rows(self._names)

    def _rows(self, part: Part) -> Iterator[bytes]:
        try:
            with self._ledger.again() as ledger:
                yield from ledger.rows(part)
        except BooksError as error:
            raise BooksError(f"{self._title}: {error}") from error


def _part_of(close: Close, name: str) -> Part:
    """The part called `name` of `close`. BooksError when it names none."""
    for part in close.parts:
        if part.name == name:
            return part
    raise BooksError(f"period {close.period.name}: {name}: the close names no such part")


def standing(records: Iterable[Record]) -> list[Close]:
    """The closes that count now, in order: those that no reopening superseded."""
    closes: dict[int, Close] = {}
    for record in records:
        if isinstance(record, Reopening):
            closes.pop(record.supersedes, None)
        else:
            closes[record.number] = record
    return list(closes.values())
