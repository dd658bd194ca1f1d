"""The hub's side of shipping: records of nodes go into its journal, each exactly once.

One transaction looks at the position of the run, keeps the records of the pieces behind it and moves it;
so a hub that is killed has both or neither, and of two processes that receive the same pieces at once the
second finds them taken. The records are then the hub's own: its books draw on them, and it archives them.

A record under a name that the journal knows already is a repeat when it is the same, as a report that was
sent to two nodes, and is left out. When it differs it is quarantined, as any conflict is: only people can
tell which one is true, and the position moves on, since the node would else stand still for ever.

A hub that ships itself, to one above it, enters what it takes into its own outbox in the same
transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.checksum import row_checksum
from inferworks.errors import JournalError, RecordError, ShippingError
from inferworks.meter.reader import JournalReader, check_version, damaged, reading
from inferworks.meter.record import Quarantined, Record
from inferworks.meter.shipping import outbox
from inferworks.meter.shipping.shipment import (
    Position,
    Shipment,
    Shipped,
    accepted,
    beginning,
    records_of,
)
from inferworks.meter.tables import SCHEMA_VERSION, TABLES, Row, Table
from inferworks.sqlite import connect, is_damage, transaction

_LOCK_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 64
_TABLE: Final = "received_run"
_CONFLICT: Final = "a node shipped this under a name that was used before, for something else"


class Received(msgspec.Struct, frozen=True):
    """A run of a node, as far as a hub has received it."""

    node: str
    run: str
    begins: int
    position: int
    digest: str
    records: int
    """Records in the pieces received, repeats and conflicts included."""
    received_ns: int
    """Moment of the newest shipment that was taken."""


class Taken(NamedTuple):
    """Outcome of a shipment."""

    position: Position
    """Position of the hub afterwards."""
    records: int = 0
    """Records that are new in the journal."""
    repeats: int = 0
    conflicts: int = 0


class Receiver:
    """Receiver of shipments into the journal at `path`.

    Beside the journal's own writer it is a connection that writes; both take the same `turn`. Processes
    that share the journal may each have one.
    """

    def __init__(self, path: Path, turn: threading.Lock | None = None) -> None:
        self._path = path
        self._turn = turn or threading.Lock()
        self._alone = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def receive(self, shipment: Shipment, now_ns: int) -> Taken:
        """Keep what `shipment` adds, durably; return the position up to which its run has been received.

        ShippingError when a newer program sent it; RecordError when a piece cannot be read or stored:
        then nothing of the shipment is kept. JournalError when the journal cannot be written now; whether
        the records were kept is then shown by the next answer.
        """
        if shipment.version > SCHEMA_VERSION:
            raise ShippingError(
                f"the node {shipment.run.node} ships records of version {shipment.version}, this hub "
                f"knows {SCHEMA_VERSION}; upgrade the hub first"
            )
        try:
            records = [record for piece in shipment.pieces for record in records_of(piece)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(f"a piece of the node {shipment.run.node}: {error}") from error
        with self._alone:
            return self._received(shipment, records, now_ns)

    def _received(self, shipment: Shipment, records: Sequence[Shipped], now_ns: int) -> Taken:
        try:
            with self._turn, transaction(self._open()):
                return self._take(self._open(), shipment, records, now_ns)
        except (sqlite3.IntegrityError, OverflowError, UnicodeError) as error:
            raise RecordError(
                f"a record of the node {shipment.run.node} was refused: {error}"
            ) from error
        except sqlite3.Error as error:
            self.close()  # what the connection knows of the disk may be wrong
            if is_damage(error):
                raise damaged(self._path, error) from error
            raise JournalError(f"cannot write {self._path}: {error}") from error

    def _take(
        self,
        database: sqlite3.Connection,
        shipment: Shipment,
        records: Sequence[Shipped],
        now_ns: int,
    ) -> Taken:
        run = shipment.run
        row = database.execute(
            f"SELECT * FROM {_TABLE} WHERE node = ? AND run = ?", (run.node, run.id)
        ).fetchone()
        known = None if row is None else _received(self._path, row)
        kept = None if known is None else Position(known.position, known.digest)
        moved = accepted(kept, shipment)
        if moved is None:
            return Taken(kept or beginning(run))
        fresh, conflicts = _new_ones(database, records)
        outbox_records: list[Record] = [*fresh, *conflicts]
        if outbox_records and outbox.run_of(database) is not None:
            outbox.append(database, outbox_records)
        values = (
            *(run.node, run.id, run.begins, moved.at, moved.digest),
            len(records) + (0 if known is None else known.records),
            now_ns,
        )
        database.execute(
            f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, row_checksum(_TABLE, values)),
        )
        repeats = len(records) - len(fresh) - len(conflicts)
        return Taken(moved, len(fresh), repeats, len(conflicts))

    def _open(self) -> sqlite3.Connection:
        """The connection; in another thread or after an error, a new one."""
        if self._database is None:
            database = connect(self._path, "rw", _LOCK_TIMEOUT_S, check_same_thread=False)
            try:
                if check_version(database, self._path) != SCHEMA_VERSION:
                    raise JournalError(
                        f"{self._path} is of another version; start the gateway on it"
                    )
                database.execute("PRAGMA synchronous = FULL")
                database.execute("PRAGMA fullfsync = ON")
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database


class ReceivedReader(JournalReader):
    """Reader of a hub's journal that also knows what it has received."""

    def received(self) -> list[Received]:
        """Return the runs received, by node."""
        if not self._has_table(_TABLE):
            return []
        with reading(self._path):
            rows = self._database.execute(f"SELECT * FROM {_TABLE} ORDER BY node, received_ns")
            return [_received(self._path, row) for row in rows]


def _received(path: Path, row: Sequence[Any]) -> Received:
    *values, checksum = row
    if row_checksum(_TABLE, values) != checksum:
        raise damaged(path, f"{_TABLE} {values[0]} is not what was written: its checksum differs")
    return Received(*values)


def _new_ones(
    database: sqlite3.Connection, records: Iterable[Shipped]
) -> tuple[list[Shipped], list[Quarantined]]:
    """Insert those of `records` that are new, and quarantine those in conflict; return both."""
    by_type: dict[type[Record], list[Shipped]] = {}
    for record in records:
        by_type.setdefault(type(record), []).append(record)
    fresh: list[Shipped] = []
    conflicts: list[Quarantined] = []
    for type_, some in by_type.items():
        table = TABLES[type_]
        for begin in range(0, len(some), _AT_ONCE):
            chunk = some[begin : begin + _AT_ONCE]
            rows = [table.stored(record) for record in chunk]
            if _insert(database, table, rows):
                fresh += chunk
                continue
            for record, row in zip(chunk, rows, strict=True):
                if _insert(database, table, [row]):
                    fresh.append(record)
                elif (conflict := _conflict(database, table, record, row)) is not None:
                    conflicts.append(conflict)
    if conflicts:
        table = TABLES[Quarantined]
        database.executemany(table.insert(1), [table.stored(conflict) for conflict in conflicts])
    return fresh, conflicts


def _insert(database: sqlite3.Connection, table: Table[Any], rows: Sequence[Row]) -> bool:
    """Insert `rows`, all or none; return False when one has a name that is taken."""
    try:
        database.execute(table.insert(len(rows)), tuple(chain.from_iterable(rows)))
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode not in {
            sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
            sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        }:
            raise
        return False
    return True


def _conflict(
    database: sqlite3.Connection, table: Table[Any], record: Shipped, row: Row
) -> Quarantined | None:
    """Return the conflict of `record` with what has its name; None when that is the same."""
    names = table.key.split(", ")
    key = [row[table.names.index(name)] for name in names]
    where = " AND ".join(f"{name} = ?" for name in names)
    found = table.read(
        database.execute(f"SELECT * FROM {table.name} WHERE {where}", key).fetchone()
    )
    if found == record:
        return None
    return Quarantined(
        source=table.name,
        key=" ".join(map(str, key)),
        reason=_CONFLICT,
        body=msgspec.json.encode(record).decode(),
        existing=msgspec.json.encode(found).decode(),
    )
