"""Shared rows of accounts in PostgreSQL, beside the ledger of limits.

A change locks the table of the head against other changes, and against nothing else: looks go on beside it.
Whether a transaction was committed whose answer was lost is asked of the server, which knows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final

import msgspec
import psycopg

from inferworks.accounts.sharing.base import KEPT_DELETIONS, SharedHead, SharedRow
from inferworks.errors import NewerStoreError, SharedAccountsError
from inferworks.postgres import SILENT_S, Connection, connect, lay_out, one_line

_VERSION: Final = 1
_SCHEMA: Final = (
    """
    CREATE TABLE inferworks.accounts_head (id text PRIMARY KEY, version bigint NOT NULL,
      layout int NOT NULL, statements text NOT NULL)
    """,
    """
    CREATE TABLE inferworks.accounts_row (table_name text COLLATE "C", row_key text COLLATE "C",
      body bytea, version bigint NOT NULL, PRIMARY KEY (table_name, row_key))
    """,
    "CREATE INDEX accounts_row_by_version ON inferworks.accounts_row (version)",
    """
    CREATE INDEX deleted_accounts_row ON inferworks.accounts_row (version) WHERE body IS NULL
    """,
)
_HEAD: Final = "SELECT id, version, layout, statements FROM inferworks.accounts_head"
_PIECE: Final = 2000
"""Rows that go over the connection at once."""
_STATEMENT_S: Final = 30
_LOCK_S: Final = 10
_IDLE_S: Final = 30
_UNSURE_S: Final = 5.0
"""Seconds for which it is asked whether a change was committed."""


class PostgresRows:
    """`SharedRows` in the database at `url`. It connects when used, and anew after a failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def head(self) -> SharedHead | None:
        """Return the state. A server that hangs is noticed here, before anything that may take long."""
        with self._translated() as connection, connection.answering(SILENT_S):
            return _head(connection)

    @contextmanager
    def state(self) -> Iterator[_State]:
        """Look at one moment of it."""
        with self._translated() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield _State(connection)
            finally:
                self._roll_back(connection)

    @contextmanager
    def change(self) -> Iterator[_Change]:
        """Begin a change, after those under way."""
        with self._translated() as connection:
            connection.execute("BEGIN")
            try:
                connection.execute(
                    "LOCK TABLE inferworks.accounts_head IN SHARE ROW EXCLUSIVE MODE"
                )
                yield _Change(connection, self)
            finally:
                self._roll_back(connection)

    def close(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def was_committed(self, transaction: str) -> bool | None:
        """Return whether the transaction of this id was committed; None when nobody says."""
        until_s = time.monotonic() + _UNSURE_S
        while time.monotonic() < until_s:
            with suppress(psycopg.Error, NewerStoreError):
                query = "SELECT pg_xact_status(%s::xid8)"
                found = self._connected().execute(query, (transaction,)).fetchone()
                if found is not None and found[0] in ("committed", "aborted"):
                    return bool(found[0] == "committed")
            time.sleep(0.1)
        return None

    @contextmanager
    def _translated(self) -> Iterator[Connection]:
        """The connection, while errors of the database are raised as ours, in one line."""
        try:
            yield self._connected()
        except psycopg.errors.LockNotAvailable as error:
            raise SharedAccountsError(
                "the shared accounts are being changed by others; try again"
            ) from error
        except psycopg.Error as error:
            self.close()
            raise SharedAccountsError(
                f"cannot use the shared accounts (store.url): {one_line(error)}"
            ) from error

    def _connected(self) -> Connection:
        if self._connection is not None and self._connection.closed:
            self._connection = None
        if self._connection is None:
            connection = connect(
                self._url, statement_s=_STATEMENT_S, lock_s=_LOCK_S, idle_s=_IDLE_S
            )
            try:
                lay_out(connection, "accounts", _VERSION, _SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        """End a transaction that was not committed; where that fails, by closing the connection."""
        try:
            if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()


class _State:
    """The rows as a transaction sees them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.head = _head(connection)
        self._connection = connection

    def rows(self, since: int) -> Iterator[SharedRow]:
        """Rows that changes after `since` wrote."""
        with self._connection.cursor("accounts") as cursor:
            cursor.itersize = _PIECE
            # in the order of keys where all are wanted: so they go into an empty file the fastest
            order = "" if since else " ORDER BY table_name, row_key"
            query = f"SELECT * FROM inferworks.accounts_row WHERE version > %s{order}"
            for row in cursor.execute(query.encode(), (since,)):
                yield SharedRow(*row)

    def body(self, table: str, key: str) -> bytes | None:
        """Return the content of one row."""
        query = "SELECT body FROM inferworks.accounts_row WHERE table_name = %s AND row_key = %s"
        found = self._connection.execute(query, (table, key)).fetchone()
        return None if found is None else found[0]


class _Change(_State):
    """A change in the making."""

    def __init__(self, connection: psycopg.Connection[Any], rows: PostgresRows) -> None:
        super().__init__(connection)
        self.has_rows = False
        self._store = rows

    def put(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows` and the new head."""
        query = (
            "INSERT INTO inferworks.accounts_row VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (table_name, row_key) "
            "DO UPDATE SET body = excluded.body, version = excluded.version"
        )
        left = iter(rows)
        with self._connection.cursor() as cursor:
            while piece := list(islice(left, _PIECE)):
                cursor.executemany(query, piece)
            cursor.execute(
                "DELETE FROM inferworks.accounts_row WHERE body IS NULL AND version <= %s",
                (head.version - KEPT_DELETIONS,),
            )
        self._put_head(head)

    def put_all(self, head: SharedHead, rows: Iterable[SharedRow]) -> None:
        """Write `rows` in the place of all that there are, and the new head."""
        left = iter(rows)
        with self._connection.cursor() as cursor:
            cursor.execute("DELETE FROM inferworks.accounts_row")
            while piece := list(islice(left, _PIECE * 10)):
                with cursor.copy("COPY inferworks.accounts_row FROM STDIN") as copy:
                    for row in piece:
                        copy.write_row(row)
        self._put_head(head)

    def commit(self) -> None:
        """Make it so, durably."""
        found = self._connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        assert found is not None
        try:
            self._connection.execute("COMMIT")
        except psycopg.Error as error:
            self._store.close()
            was_committed = self._store.was_committed(found[0])
            if was_committed:
                return
            what = (
                "whether the change was made is not known: look before you repeat it"
                if was_committed is None
                else "the change was not made"
            )
            raise SharedAccountsError(
                f"the shared accounts (store.url) broke off: {one_line(error)}; {what}"
            ) from error

    def _put_head(self, head: SharedHead) -> None:
        self.has_rows = True
        statements = msgspec.json.encode(head.statements).decode()
        values: Sequence[object] = (head.id, head.version, head.layout, statements)
        self._connection.execute("DELETE FROM inferworks.accounts_head")
        query = "INSERT INTO inferworks.accounts_head VALUES (%s, %s, %s, %s)"
        self._connection.execute(query, values)


def _head(connection: psycopg.Connection[Any]) -> SharedHead | None:
    found = connection.execute(_HEAD).fetchone()
    if found is None:
        return None
    name, version, layout, statements = found
    return SharedHead(name, version, layout, msgspec.json.decode(statements, type=tuple[str, ...]))
