"""A gateway's own file of accounts as the mirror of those that gateways share (`accounts.sharing`).

The file is a cache that answers every question, and that is never ahead of what is shared:

- `sync` takes up what others changed, in one transaction of the file.
- `change` makes a change where no other can: it locks the shared rows, brings the file up to date, lets
  the change be made in the file, and passes on the rows that it wrote. Triggers see them, whichever
  statement it was. The shared rows are committed before the file is. Dying between the two leaves the file
  behind, and the next `sync` brings it up; dying before leaves no change anywhere.

The table `shared` of the file says of what it is the mirror and up to which change. A file that has it is
changed in no other way (`sqlite.SqliteAccounts` refuses), or it would part from the others for good.

What is copied are rows of tables, by the layout of the file itself; what they mean is not known here. So an
upgrade is: lay out a file as the shared rows are of, load them, bring it up to date as any file, and share
all its rows anew, while nobody else can change them.

A database that was put back to an earlier state is noticed by the audit log, whose last row here must be
there as well. Nothing is mended then: which of the two is right, people must say.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, groupby, islice
from typing import Any, Final, NamedTuple

import msgspec

from inferworks.accounts.sharing.base import (
    KEPT_DELETIONS,
    SharedChange,
    SharedHead,
    SharedRow,
    SharedRows,
    SharedState,
)
from inferworks.accounts.stores.sqlite_tables import VERSION
from inferworks.errors import ConfigError, DataFolderError, NewerStoreError, SharedAccountsError
from inferworks.sqlite import Database
from inferworks.units import NS_PER_SECOND

_MARK: Final = """
CREATE TABLE IF NOT EXISTS shared (
    id TEXT NOT NULL, version INTEGER NOT NULL, layout INTEGER NOT NULL, synced_ns INTEGER NOT NULL
) STRICT
"""
"""Accounts of which the file is the mirror; 0 as version: it was given to be shared, or is to be loaded."""
_SINGLE: Final = frozenset({"change", "audit_head"})
"""Tables of one row, which is replaced whatever its columns are."""
_LAYOUT: Final = re.compile(r"CREATE (TABLE|(UNIQUE )?INDEX|TRIGGER) ", re.IGNORECASE)
_PIECE: Final = 2000
"""Rows that are held in memory at once."""
_CACHE_KB: Final = 64_000
"""Pages that are held in memory while a file is loaded: ids and hashes of keys are random."""
_TELL: Final = 100_000
"""Rows after which the log says how far a long load is."""
_NOTED_NS: Final = 60 * NS_PER_SECOND
"""Age at which the note of the last look is written again."""

_log = logging.getLogger("inferworks.accounts")

Value = str | int | float | bytes | None


class Mark(NamedTuple):
    """Statement of a file about what it is the mirror of."""

    id: str
    version: int
    layout: int
    """Version of the tables that its rows came in; the file may have been brought up to date since."""
    synced_ns: int
    """Moment at which it was last known to be as the shared accounts are, to a minute."""


class _Table(NamedTuple):
    """A table of the file that is shared."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Columns that name a row; none where there is one row."""

    @property
    def put(self) -> str:
        """SQL that puts a row in the place of the one with its key."""
        columns = ", ".join(self.columns)
        query = f"INSERT INTO {self.name} ({columns}) VALUES ({', '.join('?' * len(self.columns))})"
        if not self.key:
            return query
        changes = ", ".join(
            f"{name} = excluded.{name}" for name in self.columns if name not in self.key
        )
        return f"{query} ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changes}"

    @property
    def named(self) -> str:
        """SQL that picks the row of a key."""
        return " AND ".join(f"{name} = ?" for name in self.key) or "1"


def mark_of(database: Database) -> Mark | None:
    """Return what the file `database` is the mirror of; None for accounts of its own."""
    if not _has_table(database, "shared"):
        return None
    [found] = database.found(tuple[tuple[str, int, int, int]], "SELECT * FROM shared")
    return Mark(*found)


def unmark(database: Database) -> None:
    """Make the accounts in the file its own."""
    with database.translated():
        database.execute("DROP TABLE shared")


class _Position(NamedTuple):
    """Progress of the file, at one moment."""

    mark: Mark | None
    layout: int
    """Version of its tables; 0 for none."""
    audit: tuple[str, bytes] | None
    """Key and content of the last row of its audit log."""

    def is_of(self, head: SharedHead) -> bool:
        """True if the file can be brought up to `head` by the rows that changed since."""
        return (
            self.mark is not None
            and self.mark.id == head.id
            and self.mark.version > 0
            and self.mark.version >= head.version - KEPT_DELETIONS
            and self.mark.layout == self.layout == head.layout
        )


class Mirror:
    """The file `database` as the mirror of `rows`."""

    def __init__(
        self,
        database: Database,
        rows: SharedRows,
        bring_up_to_date: Callable[[], object] | None = None,
    ) -> None:
        """`bring_up_to_date` gives the file the layout of this program, within a transaction.

        Without it nothing is ever shared that was not shared before, and an older layout stays.
        """
        self._database = database
        self._rows = rows
        self._bring_up_to_date = bring_up_to_date

    def sync(self) -> None:
        """Bring the file up to what is shared, in one round trip where nothing changed.

        SharedAccountsError when that is not possible now, ConfigError when the two do not belong together.
        """
        position = self._position()  # before the head: what is shared only grows
        head = self._rows.head()
        if head is None:
            self._publish()
        elif head.layout < VERSION and self._bring_up_to_date is not None:
            self._check(head, position)
            self._upgrade()
        else:
            self._follow(head, position)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Change the file and what is shared alike, all or nothing.

        SharedAccountsError where that fails, which says whether the change was made nevertheless.
        """
        self.sync()  # what is long is loaded before others have to wait
        with self._rows.change() as change:
            head = change.head
            if head is None or head.layout != VERSION:
                raise SharedAccountsError("the shared accounts have just become others; try again")
            position = self._position()
            self._check(head, position)
            self._take(change, head, position)
            with self._whole(change):
                self._capture()
                yield
                new = msgspec.structs.replace(head, version=head.version + 1)
                changed = self._captured(new.version)
                if (first := next(changed, None)) is not None:
                    change.put(new, chain((first,), changed))
                    self._note(new)
                self._stop_capturing()

    def _follow(self, head: SharedHead, position: _Position) -> None:
        """Bring the file from `position` up to `head` or further."""
        self._check(head, position)
        mark = position.mark
        if not position.is_of(head):
            if position.layout > head.layout:
                raise SharedAccountsError(
                    f"the shared accounts are of version {head.layout}; bring them up to date with: "
                    "inferworks up"
                )
            with self._rows.state() as state:
                self._load(state)
        elif mark is not None and mark.version < head.version:
            with self._rows.state() as state:
                if state.head is not None and position.is_of(state.head):
                    self._take(state, state.head, position)
        elif mark is not None and (now_ns := time.time_ns()) - mark.synced_ns > _NOTED_NS:
            with self._database.translated():
                self._database.execute("UPDATE shared SET synced_ns = ?", (now_ns,))

    def _check(self, head: SharedHead, position: _Position) -> None:
        """Raise where the file is no mirror of `head`, and cannot become one."""
        if head.layout > VERSION:
            raise NewerStoreError(
                f"the shared accounts are of version {head.layout}, this program reads version {VERSION}; "
                "use the version of inferworks that shares them"
            )
        mark = position.mark
        path = self._database.path
        if mark is not None and mark.id != head.id and mark.version:
            raise ConfigError(
                f"{path} is the mirror of other accounts than the database of store.url has: name the "
                "right database, or move the file aside to use those of this one"
            )
        if (mark is None or mark.id != head.id) and position.layout and self._has_accounts():
            raise ConfigError(
                f"{path} has accounts of its own, and the database of store.url has others: move the file "
                "aside to use those of the database, or name another database"
            )
        if mark is not None and mark.id == head.id and head.version < mark.version:
            raise self._put_back()

    def _put_back(self) -> SharedAccountsError:
        return SharedAccountsError(
            f"the database of store.url was put back to an earlier state than {self._database.path} has "
            "seen: keys may be valid again that were revoked since; restore a later state, or move the "
            "file aside on every node to go on with that of the database"
        )

    def _take(self, state: SharedState, head: SharedHead, position: _Position) -> None:
        """Take up the changes up to `head`, in one transaction."""
        assert position.mark is not None
        if position.mark.version == head.version:
            return
        if position.audit is not None:
            key, body = position.audit
            if state.body("audit", key) != body:
                raise self._put_back()
        rows = state.rows(position.mark.version)
        first = list(islice(rows, _PIECE))  # before other processes have to wait
        with self._database.translated(), self._database.transaction():
            mark = mark_of(self._database)
            if mark is None or mark.version >= head.version:  # another process was sooner
                return
            self._put(row for row in chain(first, rows) if row.version > mark.version)
            self._note(head)

    def _load(self, state: SharedState) -> None:
        """Lay out the file anew and load all rows of `state`."""
        head = state.head
        if head is None or head.layout > VERSION:
            raise SharedAccountsError("the shared accounts have just become others; try again")
        _log.info("loading the shared accounts into %s", self._database.path)
        with self._database.translated():
            self._database.execute("PRAGMA journal_mode = WAL")
        with self._unrelated(), self._database.transaction():
            mark = mark_of(self._database)
            is_done = mark is not None and mark.id == head.id and mark.version >= head.version
            if not is_done:  # by another process
                self._lay_out(head)
                self._put(state.rows(0))
                self._note(head)

    def _publish(self) -> None:
        """Share the accounts of the file, where nothing is shared yet.

        The file says so first, with version 0: if this ends in the middle, it may or may not be shared.
        """
        mark = mark_of(self._database)
        if mark is not None and mark.version:
            raise ConfigError(
                f"{self._database.path} is the mirror of shared accounts, and the database of store.url "
                "has none: name the right database; if theirs is lost, make these the folder's own with: "
                "inferworks accounts leave, and they are shared anew"
            )
        if self._bring_up_to_date is None:
            raise SharedAccountsError(
                "the database of store.url has no accounts yet; they get there with: inferworks up"
            )
        with self._rows.change() as change:
            if change.head is None:
                self._publish_into(change)
                return
        self.sync()  # another gateway was sooner

    def _publish_into(self, change: SharedChange) -> None:
        mark = mark_of(self._database)
        head = SharedHead(mark.id if mark else str(uuid.uuid4()), 0, VERSION, self._statements())
        with self._database.translated(), self._database.transaction():
            self._note(head)
        with self._whole(change):
            self._share_all(change, head)
        _log.info("the accounts of %s are shared now", self._database.path)

    def _upgrade(self) -> None:
        """Give the shared rows the layout of this program, while nobody can change them."""
        assert self._bring_up_to_date is not None
        with self._rows.change() as change, self._unrelated():
            head = change.head
            if head is None or head.layout >= VERSION:  # another gateway was sooner
                return
            _log.info("bringing the shared accounts from version %d to %d", head.layout, VERSION)
            with self._whole(change):
                self._lay_out(head)
                self._put(change.rows(0))
                self._bring_up_to_date()
                self._share_all(change, head)

    def _share_all(self, change: SharedChange, head: SharedHead) -> None:
        """Share all rows of the file as the change after `head`."""
        new = SharedHead(head.id, head.version + 1, VERSION, self._statements())
        change.put_all(new, self._all_rows(new.version))
        self._note(new)

    @contextmanager
    def _whole(self, change: SharedChange) -> Iterator[None]:
        """A transaction of the file that ends with `change`: after it, if it is committed."""
        with self._database.translated():
            self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            if change.has_rows:
                change.commit()
            try:
                with self._database.translated():
                    self._database.execute("COMMIT")
            except DataFolderError as error:
                raise SharedAccountsError(
                    "the change is made for all gateways, only this folder does not have it yet: "
                    f"{error}"
                ) from error
        finally:
            if self._database.connection.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def _unrelated(self) -> Iterator[None]:
        """Let tables be dropped and filled in any order within the block, with room in memory for it."""
        with self._database.translated():
            [(cache,)] = self._database.found(tuple[tuple[int]], "PRAGMA cache_size")
            self._database.execute("PRAGMA foreign_keys = OFF")
            self._database.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            try:
                yield
            finally:
                self._database.execute("PRAGMA foreign_keys = ON")
                self._database.execute(f"PRAGMA cache_size = {cache}")

    def _position(self) -> _Position:
        """Return how far the file is."""
        with self._database.translated():
            self._database.execute("BEGIN")
            try:
                layout = self._database.version()
                audit = None
                if layout and self._has_table("audit"):
                    table = self._table("audit")
                    last = "SELECT max(number) FROM audit"
                    rows = self._rows_of(table, f"number = ({last})")
                    audit = next(((key, body) for key, body in rows), None)
                return _Position(mark_of(self._database), layout, audit)
            finally:
                self._database.execute("COMMIT")

    def _has_accounts(self) -> bool:
        """True when anything was ever changed in the file."""
        with self._database.translated():
            [(count,)] = self._database.found(tuple[tuple[int]], "SELECT count FROM change")
        return count > 0

    def _has_table(self, name: str) -> bool:
        return _has_table(self._database, name)

    def _note(self, head: SharedHead) -> None:
        """Write down that the file is the mirror of `head`."""
        self._database.execute(_MARK)
        self._database.execute("DELETE FROM shared")
        values = (head.id, head.version, head.layout, time.time_ns())
        self._database.execute("INSERT INTO shared VALUES (?, ?, ?, ?)", values)

    def _lay_out(self, head: SharedHead) -> None:
        """Put the empty tables of `head` in the place of what there is."""
        query = (
            "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'table') "
            "ORDER BY type DESC"
        )
        for kind, name in self._database.found(list[tuple[str, str]], query):
            self._database.execute(f"DROP {kind} {name}")
        for statement in head.statements:
            if not _LAYOUT.match(statement):
                raise SharedAccountsError("the shared accounts name a layout that is none")
            self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version = {int(head.layout)}")

    def _statements(self) -> tuple[str, ...]:
        """Return the SQL of the tables that are shared: tables before what belongs to them."""
        query = (
            "SELECT sql FROM sqlite_master WHERE sql <> '' AND name <> 'shared' "
            "ORDER BY type = 'table' DESC, rowid"
        )
        return tuple(sql for (sql,) in self._database.found(list[tuple[str]], query))

    def _tables(self) -> dict[str, _Table]:
        """Return the tables that are shared, by name, those that others refer to first."""
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'shared' ORDER BY rowid"
        names = self._database.found(list[tuple[str]], query)
        return {name: self._table(name) for (name,) in names}

    def _table(self, name: str) -> _Table:
        columns = list(self._database.execute(f"PRAGMA table_info({name})"))
        key = sorted((place, column) for _, column, _, _, _, place in columns if place)
        return _Table(
            name,
            tuple(column for _, column, *_ in columns),
            () if name in _SINGLE else tuple(column for _, column in key),
        )

    def _put(self, rows: Iterable[SharedRow]) -> None:
        """Write rows into the tables that they are of."""
        self._database.execute("PRAGMA defer_foreign_keys = ON")  # they come in no order
        tables = self._tables()
        left, count = iter(rows), 0
        while piece := list(islice(left, _PIECE)):
            for name, group in groupby(piece, key=lambda row: row.table):
                if name not in tables:
                    raise SharedAccountsError(f"the shared accounts have an unknown table {name!a}")
                self._put_into(tables[name], list(group))
            count += len(piece)
            if count // _TELL > (count - len(piece)) // _TELL:
                _log.info("%d rows of the shared accounts are loaded", count)

    def _put_into(self, table: _Table, rows: list[SharedRow]) -> None:
        deleted = [_key(row.key) for row in rows if row.body is None or not table.key]
        if deleted:
            self._database.executemany(f"DELETE FROM {table.name} WHERE {table.named}", deleted)
        self._database.executemany(
            table.put, (_unpack(row.body) for row in rows if row.body is not None)
        )

    def _rows_of(
        self, table: _Table, where: str = "1", values: tuple[Value, ...] = ()
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the keys and contents of rows, by key."""
        columns = ", ".join(table.columns)
        order = f" ORDER BY {', '.join(table.key)}" if table.key else ""
        key = f"json_array({', '.join(table.key)})"
        query = f"SELECT {key}, {columns} FROM {table.name} WHERE {where}{order}"
        for name, *row in self._database.execute(query, values):
            yield name, _pack(row)

    def _all_rows(self, version: int) -> Iterator[SharedRow]:
        """Yield all rows of the file, as written by the change `version`."""
        for name, table in self._tables().items():
            for key, body in self._rows_of(table):
                yield SharedRow(name, key, body, version)

    def _capture(self) -> None:
        """Take down the keys of the rows that are written from now on."""
        self._database.execute("CREATE TEMP TABLE captured (name TEXT, key TEXT)")
        for name, table in self._tables().items():
            for event, whose in (
                ("INSERT", ("new",)),
                ("UPDATE", ("old", "new")),
                ("DELETE", ("old",)),
            ):
                inserts = " ".join(
                    f"INSERT INTO captured VALUES ('{name}', "
                    f"json_array({', '.join(f'{one}.{column}' for column in table.key)}));"
                    for one in whose
                )
                self._database.execute(
                    f"CREATE TEMP TRIGGER captured_{name}_{event} AFTER {event} ON main.{name} "
                    f"BEGIN {inserts} END"
                )

    def _stop_capturing(self) -> None:
        query = "SELECT name FROM sqlite_temp_master WHERE type = 'trigger'"
        for (name,) in self._database.found(list[tuple[str]], query):
            self._database.execute(f"DROP TRIGGER temp.{name}")
        self._database.execute("DROP TABLE temp.captured")

    def _captured(self, version: int) -> Iterator[SharedRow]:
        """Yield the rows that were written, as they are now, as written by the change `version`."""
        tables = self._tables()
        found = self._database.execute("SELECT DISTINCT name, key FROM captured").fetchall()
        for name, key in found:
            table = tables[name]
            rows = self._rows_of(table, table.named, _key(key))
            body = next((body for _, body in rows), None)
            yield SharedRow(name, key, body, version)


def _has_table(database: Database, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    [(count,)] = database.found(tuple[tuple[int]], query, name)
    return count > 0


def _key(text: str) -> tuple[Value, ...]:
    return tuple(msgspec.json.decode(text, type=list[str | int]))


def _pack(row: list[Value]) -> bytes:
    return msgspec.msgpack.encode(row)


def _unpack(body: bytes) -> list[Value]:
    return msgspec.msgpack.decode(body, type=list[Any])
