"""Tables of accounts in SQLite: checked rows, and changes with their rows in the audit log."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from inferworks.accounts.audit import EMPTY, AuditEntry, AuditHead
from inferworks.accounts.author import Author
from inferworks.accounts.roles import Scope
from inferworks.accounts.stores.records import Changes
from inferworks.checksum import row_checksum
from inferworks.ids import CustomerId
from inferworks.sqlite import Database, is_damage

VERSION: Final = 11
FLAT_PLANS = 1
"""The version in which a plan was two prices."""
NO_MONITORS = 2
"""The version in which no key could read metrics, or have its content kept."""
NO_SOURCES = 3
"""The version in which every key might report under any source."""
NO_CHECKSUMS = 4
"""The version in which rows had no checksums."""
NO_WITHDRAWN = 5
"""The version in which a plan stayed for ever."""
NO_FACTS = 6
"""The version in which a customer was an id and nothing else."""
NO_ZONES = 7
"""The version in which no customer had a zone of its own: the same tables, and fewer kinds of facts."""
NO_SCOPES = 8
"""The version in which a key might use everything, and every one was read at each change."""
NO_MEMBERS = 9
"""The version in which there were no organisations, projects, members, or audit log."""
NO_LIMITS = 10
"""The version in which nothing was limited but calls at once."""
OLDER = frozenset(range(FLAT_PLANS, VERSION))
READABLE = frozenset({NO_ZONES, NO_SCOPES, NO_MEMBERS, NO_LIMITS, VERSION})
"""The versions that can be read as they are: to customers and prices nothing was added since."""

SCOPES = {
    "scopes": "TEXT NOT NULL DEFAULT '{}'",
    "expires_ns": "INTEGER",
    "changed": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns of a key since version 9: JSON, the moment of its end, and the change that it was changed by."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "customer": ("id", "created_ns"),
    "customer_fact": ("number", "customer", "effective_ns", "body"),
    "price_plan": ("customer", "effective_ns", "terms_sha256", "terms"),
    "withdrawn_plan": ("customer", "effective_ns", "withdrawn_ns", "terms_sha256", "terms"),
    "credit": ("id", "customer", "bought_ns", "body"),
    "key": (
        "id", "secret_sha256", "hint", "name", "customer", "project", "purpose", "allowed",
        "created_ns", "revoked_ns", "reporter", "monitor", "log_content", "sources", "ours",
        "tells_cost", *SCOPES,
    ),
    "source": ("name", "customer", "key_id"),
    "pepper": ("id",),
    "organisation": ("id", "body"),
    "customer_organisation": ("customer", "organisation"),
    "project": ("customer", "id", "body"),
    "member": ("id", "body"),
    "member_token": ("id", "member", "secret_sha256", "body"),
    "kept_answer": ("token", "key", "request_sha256", "status", "body", "created_ns"),
    "audit": AuditEntry._fields,
    "audit_head": ("rows", "sha256"),
    "usage_limit": ("id", "body"),
}  # fmt: skip
"""Columns of each table that this program reads and writes, and of which its checksums are."""
_WIDTHS = {"price_plan": 2, "withdrawn_plan": 3, "project": 2, "kept_answer": 2}
_KEYS = {name: columns[: _WIDTHS.get(name, 1)] for name, columns in COLUMNS.items()}
"""The columns that name a row."""

_SINCE: Final = {
    **dict.fromkeys(("source", "pepper"), 9),
    **dict.fromkeys(
        (
            "organisation",
            "customer_organisation",
            "project",
            "member",
            "member_token",
            "kept_answer",
        ),
        10,
    ),
    **dict.fromkeys(("audit", "audit_head"), 10),
    "usage_limit": 11,
}
"""Versions in which tables arrived; an older file is read as one without such rows."""
OLD_KEY = len(COLUMNS["key"]) - len(SCOPES)
"""Columns of a key before version 9."""


class Tables:
    """The tables of an open file."""

    def __init__(self, database: Database, author: Author) -> None:
        self.author = author
        self._database = database
        self._version = VERSION
        """Version at the last reading: a newer program may have raised it meanwhile."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes at once, all or none; one within another is part of it."""
        if self._database.connection.in_transaction:
            yield
        else:
            with self._database.transaction():
                yield

    def audit(self, after: int = 0, limit: int | None = None) -> list[AuditEntry]:
        """Rows of the audit log that follow the one of number `after`."""
        where = "WHERE number > ? ORDER BY number LIMIT ?"
        rows = self._rows("audit", where, (after, -1 if limit is None else limit))
        return [AuditEntry(*row[:-1]) for row in rows]

    def audit_head(self) -> AuditHead:
        """Return the end of the audit log, as it was written with the last row."""
        return next((AuditHead(*row) for row in self._checked("audit_head")), EMPTY)

    def version(self) -> int:
        """A number that differs after any change, by whichever process."""
        return self._count("SELECT count FROM change")

    def prices_version(self) -> int:
        """A number that differs after any change of a plan, fact, credit or limit, or of who is limited."""
        is_counted = self._version > NO_SCOPES
        return self._count(f"SELECT {'prices' if is_counted else 'count'} FROM change")

    def _count(self, query: str, *values: int) -> int:
        try:
            [(count,)] = self._database.found(tuple[tuple[int]], query, *values)
        except msgspec.ValidationError as error:
            raise self._database.damaged(error) from error
        return count

    @contextmanager
    def _change(self, *, prices: bool = False) -> Iterator[Changes]:
        """One transaction with its rows in the audit log, counted, as one of prices too if it is.

        The row of the count is written first, so that whoever sees a number sees all changes up to it, also
        in a database where several transactions write at once.
        """
        query = "UPDATE change SET count = count + 1, prices = prices + ? RETURNING count"
        with self.transaction():
            head = self.audit_head()
            changes = Changes(
                self.author,
                self._scope,
                head,
                self._count(query, prices),
                self._log,
                time.time_ns(),
            )
            yield changes
            changes.end()
            if changes.head != head:
                self._database.execute("DELETE FROM audit_head")
                self._insert("audit_head", changes.head)

    def _log(self, entry: AuditEntry) -> None:
        self._insert("audit", entry)

    def _scope(self, customer: CustomerId) -> Scope:
        """Return the scope of one customer, with its organisation."""
        raise NotImplementedError

    def _rows(
        self, table: str, where: str = "", values: tuple[object, ...] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of `table` that the SQL in `where` picks, their checksums at the end."""
        try:
            (self._version,) = self._database.execute("PRAGMA user_version").fetchone()
            columns = COLUMNS[table]
            if self._version < _SINCE.get(table, 0):
                return
            if self._version <= NO_SCOPES and table == "key":
                columns = (*columns[:OLD_KEY], "'{}'", "NULL", "0")
            query = f"SELECT {', '.join(columns)}, checksum FROM {table} {where}"
            yield from self._database.execute(query, values)
        except (sqlite3.DatabaseError, UnicodeError) as error:
            if is_damage(error):
                raise self._database.damaged(error) from error
            raise

    def _checked(
        self, table: str, where: str = "", values: tuple[object, ...] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the same rows without their checksums; DamagedError when one is damaged."""
        for row in self._rows(table, where, values):
            self._check(table, row)
            yield row[:-1]

    def _check(self, table: str, row: tuple[Any, ...]) -> None:
        """Raise DamagedError when `row` is damaged. A newer version may check more columns."""
        is_old_key = table == "key" and self._version <= NO_SCOPES
        values = row[:OLD_KEY] if is_old_key else row[:-1]
        if self._version in READABLE and row_checksum(table, values) != row[-1]:
            raise self._database.damaged(
                f"{table} {row[0]!a} is not what was written: its checksum differs"
            )

    def _insert(self, table: str, row: tuple[object, ...]) -> None:
        columns = ", ".join(COLUMNS[table])
        marks = ", ".join("?" * (len(row) + 1))
        self._database.execute(
            f"INSERT INTO {table} ({columns}, checksum) VALUES ({marks})",
            (*row, row_checksum(table, row)),
        )

    def _replace(self, table: str, row: tuple[object, ...]) -> None:
        """Put `row` in the place of the one that its first columns name."""
        key = _KEYS[table]
        values = ", ".join(f"{name} = ?" for name in (*COLUMNS[table], "checksum"))
        where = " AND ".join(f"{name} = ?" for name in key)
        self._database.execute(
            f"UPDATE {table} SET {values} WHERE {where}",
            (*row, row_checksum(table, row), *row[: len(key)]),
        )

    def _sign(self, table: str, where: str = "", values: tuple[object, ...] = ()) -> None:
        """Give the rows of `table` that the SQL in `where` picks the checksums that are theirs now."""
        key = " AND ".join(f"{name} = ?" for name in _KEYS[table])
        width = len(_KEYS[table])
        for row in list(self._rows(table, where, values)):
            self._database.execute(
                f"UPDATE {table} SET checksum = ? WHERE {key}",
                (row_checksum(table, row[:-1]), *row[:width]),
            )
