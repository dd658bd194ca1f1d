"""The outbox: a node's log of records to ship, written in the transaction that makes them durable.

Problem. Rows of a journal leave it for the archive, some tables have no order of writing, and what is
written must be shipped once, in an order that never changes. A row may not be missed because the process
died between writing it and noting that it is to be shipped.

Decision. What a transaction writes into a journal that ships, it also writes into the table `outbox`, as
one numbered piece (`shipment`); so the log has a record exactly when the journal has it, and archiving
need not wait for the hub. A piece stays until the hub has acknowledged it, and `keep_days` longer, for a
hub that is restored from a backup of before. When the disk is full the transaction fails as a whole: the
journal then refuses calls, and nothing is forgotten.

A journal ships from the moment `begin` was called, which also enters the rows that are in it by then,
until `end`; whether a hub is configured or away does not matter. Records that the journal's writer may
yet take back (`JournalStore.resume`) are not shipped: see `is_in_doubt`.

Rejected. Reading the tables again, in the order of their keys (activities have none that grows, and rows
have to stay until they are shipped); triggers (they know nothing of groups, and compute no digest); a
second file (a second fsync for each group, and two files that disagree after a crash).
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.errors import DamagedError, DataFolderError, JournalError, ShippingError
from inferworks.ids import CallId
from inferworks.meter.reader import check_version, damaged
from inferworks.meter.record import Record
from inferworks.meter.shipping.shipment import (
    MOST_BYTES,
    Kept,
    Position,
    Run,
    Shipment,
    advance,
    beginning,
    check_position,
    pieces_of,
    records_of,
)
from inferworks.meter.tables import (
    ACTIVITY,
    CAPACITY,
    RETRACTED,
    SCHEMA_VERSION,
    STEP,
    USAGE,
    Table,
)
from inferworks.meter.usage import Usage
from inferworks.sqlite import connect, is_damage, transaction

_RUN: Final = "ship_run"
_BEGUN_WITH: Final[Sequence[Table[Any]]] = (USAGE, STEP, CAPACITY, ACTIVITY, RETRACTED)
_AT_ONCE: Final = 512
_LOCK_TIMEOUT_S: Final = 30.0
_MARKS: Final = 50
"""Acknowledgements remembered in the time for which pieces are kept: one is 2 % of it late at most."""


class Status(NamedTuple):
    """State of an outbox."""

    run: Run
    last: int
    """Position of the newest piece."""
    acknowledged: int
    """Position up to which the hub has everything, as far as this side knows."""
    acknowledged_ns: int | None
    """Moment of the newest acknowledgement."""
    pieces: int
    """Pieces on this disk, acknowledged ones included."""
    bytes: int

    @property
    def waiting(self) -> int:
        """Number of pieces that the hub has not acknowledged."""
        return self.last - self.acknowledged


def run_of(database: sqlite3.Connection) -> Run | None:
    """Return the run of the journal in `database`; None when it does not ship."""
    row = database.execute("SELECT value FROM meta WHERE key = ?", (_RUN,)).fetchone()
    return None if row is None else msgspec.json.decode(row[0], type=Run)


def begin(database: sqlite3.Connection, node: str) -> None:
    """Have the journal ship from now on as `node`, with the rows that it has; within a transaction.

    ShippingError when it ships already, as another node.
    """
    run = run_of(database)
    if run is not None:
        if run.node != node:
            raise ShippingError(
                f"this journal ships as the node {run.node!r}, not as {node!r}: set engine.node back, or "
                "begin a new run with: inferworks ship restart"
            )
        return
    _use(database, Run(node, secrets.token_hex(16)))
    for table in _BEGUN_WITH:
        rows = database.execute(f"SELECT * FROM {table.name}")
        while some := rows.fetchmany(_AT_ONCE):
            append(database, [table.read(row) for row in some])


def append(database: sqlite3.Connection, records: Sequence[Record]) -> None:
    """Enter `records` into the outbox of the journal in `database`; within their transaction."""
    pieces = list(pieces_of(records))
    if not pieces:
        return
    position = _newest(database)
    rows: list[tuple[int, bytes, str]] = []
    for piece in pieces:
        position = advance(position, (piece,))
        rows.append((position.at, piece, position.digest))
    database.executemany("INSERT INTO outbox VALUES (?, ?, ?)", rows)


def newest(database: sqlite3.Connection) -> int:
    """Return the position of the newest piece."""
    return _newest(database).at


def take_back(database: sqlite3.Connection, after: int, calls: Collection[CallId]) -> None:
    """Leave the usages of `calls` out of the pieces behind `after`; within a transaction.

    Pieces before the first that has one stay as they are, for they may have been shipped: of a journal with
    several writers, others have written on.
    """
    rows = database.execute(
        "SELECT position, body FROM outbox WHERE position > ? ORDER BY position", (after,)
    )
    pieces = [(position, records_of(body)) for position, body in rows] if calls else []
    doubtful = [
        position
        for position, records in pieces
        if any(type(record) is Usage and record.call_id in calls for record in records)
    ]
    if not doubtful:
        return
    database.execute("DELETE FROM outbox WHERE position >= ?", (doubtful[0],))
    for position, records in pieces:
        if position >= doubtful[0]:
            kept = [r for r in records if not (type(r) is Usage and r.call_id in calls)]
            append(database, kept)


class Outbox:
    """Outbox of the journal at `path`, for shipping. Use it in a `with` statement, from any one thread.

    Beside the journal's own writer it is a connection that writes, in short transactions; both take the
    same `turn`. JournalError when the file cannot be read or written, ShippingError when the journal does
    not ship, DamagedError when it is damaged.
    """

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        self._path = path
        self._turn = turn or threading.Lock()
        self._alone = threading.Lock()
        if not path.exists():
            raise DataFolderError(f"there is no journal {path}; check the data folder's name")
        with self._told():
            self._database = connect(path, "rw", _LOCK_TIMEOUT_S, check_same_thread=False)
        try:
            with self._told():
                version = check_version(self._database, path)
                run = run_of(self._database) if version == SCHEMA_VERSION else None
            if run is None:
                raise ShippingError(
                    f"the journal {path} does not ship; set ship.url and start the gateway"
                )
            self.run = run
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        with self._alone:  # a thread may be left over that its task did not wait for
            self._database.close()

    def question(self) -> Shipment:
        """Return the shipment that asks for the hub's position."""
        start = beginning(self.run)
        return Shipment(SCHEMA_VERSION, self.run, start.at, start.digest, ())

    def check(self, told: Position) -> None:
        """Check that the log goes on from the hub's position; ShippingError when it does not."""
        with self._told():
            kept, digest = self._kept(), self._digest(told.at)
        check_position(kept, told, digest)

    def shipment(
        self, after: Position, until: int, most_bytes: int = MOST_BYTES
    ) -> Shipment | None:
        """Return the pieces behind `after` that fit, none behind position `until`; None without any.

        DamagedError when they are not what was written.
        """
        query = (
            "SELECT position, body, digest FROM outbox WHERE position > ? AND position <= ? "
            "ORDER BY position"
        )
        pieces: list[msgspec.Raw] = []
        size, position = 0, after
        with self._told():
            for at, body, digest in self._database.execute(query, (after.at, until)):
                if pieces and size + len(body) > most_bytes:
                    break
                position = advance(position, (body,))
                if position != Position(at, digest):
                    raise DamagedError(f"outbox {at} is not what was written: its digest differs")
                pieces.append(msgspec.Raw(body))
                size += len(body)
        if not pieces:
            return None
        return Shipment(SCHEMA_VERSION, self.run, after.at, position.digest, tuple(pieces))

    def acknowledge(self, at: int, now_ns: int, keep_ns: int) -> None:
        """Note that the hub has everything up to `at`; remove what it has had for longer than `keep_ns`."""
        with self._turn, self._told(), transaction(self._database):
            self._database.execute("DELETE FROM outbox_acknowledged WHERE position > ?", (at,))
            marks = self._database.execute(
                "SELECT position, at_ns FROM outbox_acknowledged ORDER BY position DESC LIMIT 2"
            ).fetchall()
            is_close = len(marks) == 2 and marks[0][1] - marks[1][1] < keep_ns // _MARKS
            if is_close and marks[0][0] != at:
                # the newest only moves on, until it is far enough from the one before
                self._database.execute(
                    "DELETE FROM outbox_acknowledged WHERE position = ?", marks[0][:1]
                )
            self._database.execute(
                "INSERT OR IGNORE INTO outbox_acknowledged VALUES (?, ?)", (at, now_ns)
            )
            [old] = self._database.execute(
                "SELECT max(position) FROM outbox_acknowledged WHERE at_ns <= ?",
                (now_ns - keep_ns,),
            ).fetchone()
            if old is not None:
                # the piece at `old` stays: its digest says whether the hub has the same
                self._database.execute("DELETE FROM outbox WHERE position < ?", (old,))
                self._database.execute("DELETE FROM outbox_acknowledged WHERE position < ?", (old,))

    def newest(self) -> int:
        """Return the position of the newest piece."""
        with self._told():
            return newest(self._database)

    def status(self) -> Status:
        """Return the state of the outbox."""
        with self._told(), transaction(self._database):
            last = newest(self._database)
            mark = self._database.execute(
                "SELECT position, at_ns FROM outbox_acknowledged ORDER BY position DESC LIMIT 1"
            ).fetchone() or (self.run.begins, None)
            pieces, size = self._database.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox"
            ).fetchone()
        acknowledged, at_ns = mark
        return Status(self.run, last, acknowledged, at_ns, pieces, size)

    def restart(self, node: str) -> Run:
        """Begin a new run as `node`, of all that the hub has not acknowledged."""
        with self._turn, self._told(), transaction(self._database):
            begins = self._database.execute(
                "SELECT coalesce(max(position), ?) FROM outbox_acknowledged", (self.run.begins,)
            ).fetchone()[0]
            run = Run(node, secrets.token_hex(16), begins)
            rows = self._database.execute(
                "SELECT body FROM outbox WHERE position > ? ORDER BY position", (begins,)
            )
            bodies = [body for (body,) in rows]
            self._database.execute("DELETE FROM outbox")
            self._database.execute("DELETE FROM outbox_acknowledged")
            _use(self._database, run)
            for body in bodies:
                append(self._database, records_of(body))
        self.run = run
        return run

    def end(self) -> None:
        """Ship no more: remove the outbox, with what the hub has not got."""
        with self._turn, self._told(), transaction(self._database):
            self._database.execute("DELETE FROM outbox")
            self._database.execute("DELETE FROM outbox_acknowledged")
            self._database.execute("DELETE FROM meta WHERE key = ?", (_RUN,))

    def _kept(self) -> Kept:
        [first] = self._database.execute("SELECT min(position) FROM outbox").fetchone()
        begins = self.run.begins
        is_whole = first is None or first == begins + 1
        return Kept(begins if is_whole else first, newest(self._database))

    def _digest(self, at: int) -> str | None:
        """Return the digest at position `at`, where the piece before or the one behind it is there."""
        if at == self.run.begins:
            return beginning(self.run).digest
        query = "SELECT digest FROM outbox WHERE position = ?"
        row = self._database.execute(query, (at,)).fetchone()
        return None if row is None else str(row[0])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with self._alone:
                yield
        except DamagedError as error:
            raise damaged(self._path, error) from error
        except (sqlite3.Error, UnicodeError, msgspec.DecodeError) as error:
            if is_damage(error):
                raise damaged(self._path, error) from error
            raise JournalError(f"cannot use the journal {self._path}: {error}") from error


def _newest(database: sqlite3.Connection) -> Position:
    query = "SELECT position, digest FROM outbox ORDER BY position DESC LIMIT 1"
    row = database.execute(query).fetchone()
    if row is not None:
        return Position(*row)
    run = run_of(database)
    if run is None:
        raise ShippingError("the journal does not ship any more; start the gateway again")
    return beginning(run)


def _use(database: sqlite3.Connection, run: Run) -> None:
    row = (_RUN, msgspec.json.encode(run).decode())
    database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)
