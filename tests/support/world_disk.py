"""The disk of a seeded world: real files, and a process that can be lost while it writes them.

One process writes both files here, and a world reads them after every event. So reads are cached until
that process is lost: those of the ledger, which is content-addressed, for good; those of the books until a
row of them changes.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest import mock

from inferworks.books.charge import Charge
from inferworks.books.closing.ledger import Ledger
from inferworks.books.closing.seal import Body, Close, Record, Sealable
from inferworks.books.period import Periods
from inferworks.books.repository.store import BookStore

T = TypeVar("T")


class Kill(BaseException):
    """Death of the process, in the middle of its work."""


class Fuse:
    """Kills the process after a number of statements of the database; never, unless it is lit."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        """Count one statement."""
        if self.left is None:
            return
        if self.left <= 0:
            raise Kill
        self.left -= 1


class Disk:
    """The books and the ledger as files in `folder`, and a way to lose the process that writes them."""

    def __init__(self, folder: Path) -> None:
        self.fuse = Fuse()
        self._folders = (folder / str(number) for number in itertools.count())
        self.folder = next(self._folders)
        self.folder.mkdir(parents=True)
        self._open()

    def kill(self) -> None:
        """Lose the process: go on with a copy of its files as they are now."""
        old, self.folder = self.folder, next(self._folders)
        shutil.copytree(old, self.folder)
        self.fuse.left = None
        self.close()
        self._open()

    def close(self) -> None:
        """Close both files."""
        self.books.close()
        self.ledger.close()

    def _open(self) -> None:
        connect = functools.partial(sqlite3.connect, factory=_fused(self.fuse))
        with mock.patch.object(sqlite3, "connect", connect):
            self.books = RememberingBooks(self.folder / "books.db")
            self.ledger = RememberingLedger(self.folder / "ledger.db")


class RememberingBooks(BookStore):
    """Books that read nothing twice, until something in them changes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: dict[tuple[int | None, int | None, bool], list[Charge]] = {}
        self._changes = -1

    def charges(self, start_ns: int | None = None, end_ns: int | None = None) -> list[Charge]:
        """The charges of a span, or all."""
        return self._remembered((start_ns, end_ns, False), super().charges)

    def validated(self, start_ns: int, end_ns: int) -> list[Charge]:
        """The same, held against the register when they are read."""
        return self._remembered((start_ns, end_ns, True), super().validated)

    def _remembered(
        self, asked: tuple[Any, Any, bool], read: Callable[[Any, Any], list[Charge]]
    ) -> list[Charge]:
        if self._changes != self._db.connection.total_changes:
            self._known.clear()
            self._changes = self._db.connection.total_changes
        if asked not in self._known:
            self._known[asked] = read(*asked[:2])
        return list(self._known[asked])


class RememberingLedger(Ledger):
    """A ledger that reads and decodes nothing twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.forget()

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._next: tuple[int, str] | None = None
        self._chain: list[tuple[str, bytes]] | None = None
        self._records: list[Record] | None = None
        self._periods: Periods | None = None
        self._bodies: dict[tuple[str, str], Body] = {}
        self._rows: dict[tuple[str, type[Any]], tuple[Any, ...]] = {}

    def head(self) -> tuple[int, str]:
        """The number of the next record, and the hash that it must carry."""
        if self._next is None:
            self._next = super().head()
        return self._next

    def chain(self) -> list[tuple[str, bytes]]:
        """Every record as it is kept, in order."""
        if self._chain is None:
            self._chain = super().chain()
        return self._chain

    def records(self) -> list[Record]:
        """Every record, in order."""
        if self._records is None:
            self._records = super().records()
        return self._records

    def periods(self) -> Periods:
        """Return the calendar of closed periods; a world declares no periods."""
        if self._periods is None:
            self._periods = super().periods()
        return self._periods

    def append(self, record: Record, bodies: Iterable[Sealable] = ()) -> str:
        """Keep `record` and its parts, and look at the chain anew."""
        self._next = self._chain = self._records = self._periods = None
        return super().append(record, bodies)

    def body(self, close: Close, name: str) -> Body:
        """The part called `name` of `close`."""
        part = next((part for part in close.parts if part.name == name), None)
        key = (name, part.sha256) if part else ("", "")
        if key not in self._bodies:
            self._bodies[key] = _Remembered.of(super().body(close, name), self._rows)
        return self._bodies[key]


class _Remembered(Body):
    """Part whose rows are decoded once."""

    known: dict[tuple[str, type[Any]], tuple[Any, ...]]

    @classmethod
    def of(cls, body: Body, known: dict[tuple[str, type[Any]], tuple[Any, ...]]) -> _Remembered:
        """Return `body` with a cache of decoded rows in `known`."""
        one = cls(*body)
        one.known = known
        return one

    def rows(self, kind: type[T]) -> tuple[T, ...]:
        """The rows, read as values of `kind`."""
        key = self.part.sha256, kind
        if key not in self.known:
            self.known[key] = super().rows(kind)
        return self.known[key]


def _fused(fuse: Fuse) -> type[sqlite3.Connection]:
    """A connection that burns `fuse` before and after each statement."""

    class Fused(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            fuse.burn()
            done = super().execute(*arguments)
            fuse.burn()
            return done

        def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
            fuse.burn()
            return super().executemany(sql, (_burning(fuse, row) for row in rows))

    return Fused


def _burning(fuse: Fuse, row: Any) -> Any:
    fuse.burn()
    return row


def killed(disk: Disk, dice: Random, work: Callable[[], str]) -> str | None:
    """Do `work` with a kill armed; return None when we were killed, else its description."""
    disk.fuse.left = dice.randint(0, 40)
    try:
        done = work()
    except Kill:
        disk.kill()
        return None
    disk.fuse.left = None
    return done
