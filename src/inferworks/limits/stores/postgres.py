"""Limits in PostgreSQL: for any number of gateways on any number of nodes.

A transaction takes the rows of its budgets with `SELECT ... FOR UPDATE`, in the order of their ids, so
two that want the same ones wait for each other and never in a circle. A row that does not exist yet
cannot be locked: it is inserted empty first. Time is the database's (`clock_timestamp()`).

`synchronous_commit` is on for every transaction, whatever the server's default says: a draw that is
confirmed is on the disk. A standby that takes over must be synchronous, or draws of its last moments are
granted twice.

A gateway that is paused in the middle of a transaction holds its locks: the server ends such a session
after five seconds, and its transaction has changed nothing. A server that is silent, because it hangs or
cannot be reached, is given up after six (`inferworks.postgres`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from psycopg.rows import dict_row

from inferworks.errors import LimitsError, NewerStoreError
from inferworks.limits.ledger import Budget, Gateway, Rate, Slice
from inferworks.limits.warnings import LimitWarning
from inferworks.postgres import Connection, connect, lay_out, one_line

T = TypeVar("T")

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE inferworks.account (id text PRIMARY KEY, refill_ns bigint NOT NULL, cap numeric NOT NULL,
  revision bigint NOT NULL, returns bool NOT NULL, held numeric NOT NULL, settled numeric NOT NULL,
  recall bigint NOT NULL, recalled_ns bigint NOT NULL, level numeric NOT NULL, level_ns bigint NOT NULL);
CREATE TABLE inferworks.slice (id text PRIMARY KEY, budget text NOT NULL, place text NOT NULL,
  run text NOT NULL, granted numeric NOT NULL, drawn_ns bigint NOT NULL, spent numeric NOT NULL,
  state text NOT NULL, recalled bigint NOT NULL);
CREATE INDEX slice_in_budget ON inferworks.slice (budget) WHERE state <> 'closed';
CREATE INDEX slice_of_run ON inferworks.slice (run) WHERE state <> 'closed';
CREATE TABLE inferworks.gateway (run text PRIMARY KEY, place text NOT NULL, boot text NOT NULL,
  seen_ns bigint NOT NULL)
"""
"""Tables of the first version."""
_WARNINGS: Final = """
CREATE TABLE inferworks.warning (id text PRIMARY KEY, account text NOT NULL, body text NOT NULL,
  raised_ns bigint NOT NULL, due_ns bigint NOT NULL, tries int NOT NULL, sent_ns bigint NOT NULL);
CREATE INDEX warning_due ON inferworks.warning (due_ns) WHERE due_ns > 0;
CREATE INDEX warning_raised ON inferworks.warning (raised_ns);
CREATE INDEX warning_of_account ON inferworks.warning (account);
ALTER TABLE inferworks.slice ADD COLUMN closed_ns bigint NOT NULL DEFAULT 0;
CREATE INDEX slice_closed_of_run ON inferworks.slice (run, closed_ns) WHERE state = 'closed';
CREATE INDEX slice_closed ON inferworks.slice (closed_ns) WHERE state = 'closed';
CREATE INDEX slice_of_budget ON inferworks.slice (budget)
"""
_NEW: Final = -1
"""Revision of a row that was inserted only to be locked: there was none before."""
_TRIES: Final = 5
_TIMEOUT_S: Final = 5


class PostgresLimits:
    """Store of limits in the database at `url`. It connects when used, and anew after a failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    def transact(self, work: Callable[[_PostgresRows], T]) -> T:
        """Run `work` in one transaction, again where another was in its way."""
        for left in reversed(range(_TRIES)):
            try:
                connection = self._connected()
                with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
                    return work(_PostgresRows(cursor))
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected) as error:
                if not left:
                    raise LimitsError(
                        f"cannot use the store of limits: {one_line(error)}"
                    ) from error
            except NewerStoreError as error:
                raise LimitsError(str(error)) from error
            except psycopg.Error as error:
                self.close()
                raise LimitsError(f"cannot use the store of limits: {one_line(error)}") from error
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = connect(self._url, statement_s=_TIMEOUT_S, idle_s=_TIMEOUT_S)
            try:
                lay_out(connection, "limits", _VERSION, _SCHEMA.split(";"), [_WARNINGS.split(";")])
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class _PostgresRows:
    """Rows within a transaction."""

    def __init__(self, cursor: psycopg.Cursor[dict[str, Any]]) -> None:
        self._cursor = cursor
        self._now_ns: int | None = None

    def now_ns(self) -> int:
        if self._now_ns is None:
            query = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint AS now_ns"
            [row] = self._cursor.execute(query)
            self._now_ns = row["now_ns"]
        return self._now_ns

    def accounts(self, ids: Iterable[str]) -> Mapping[str, Budget | Rate]:
        asked = sorted(set(ids))
        if not asked:
            return {}
        self._cursor.execute(
            "INSERT INTO inferworks.account SELECT id, 0, 0, %s, false, 0, 0, 0, 0, 0, 0 "
            "FROM unnest(%s::text[]) AS id ORDER BY id ON CONFLICT DO NOTHING",
            (_NEW, asked),
        )
        query = "SELECT * FROM inferworks.account WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
        rows = self._cursor.execute(query, (asked,)).fetchall()
        return {row["id"]: _account(row) for row in rows if row["revision"] != _NEW}

    def slices(self, ids: Iterable[str]) -> Mapping[str, Slice]:
        return {one.id: one for one in self._slices("id = ANY(%s)", list(ids))}

    def slices_in(self, budget: str) -> Sequence[Slice]:
        return self._slices("budget = %s AND state <> 'closed'", budget)

    def slices_of(self, run: str) -> Sequence[Slice]:
        return self._slices("run = %s AND state <> 'closed'", run)

    def recalled(self, run: str) -> Mapping[str, int]:
        query = (
            "SELECT account.id, max(account.recall) AS recall FROM inferworks.slice "
            "JOIN inferworks.account ON account.id = slice.budget "
            "WHERE slice.state <> 'closed' AND slice.run = %s AND slice.recalled < account.recall "
            "GROUP BY 1"
        )
        return {row["id"]: row["recall"] for row in self._cursor.execute(query, (run,))}

    def gateways(self) -> Sequence[Gateway]:
        rows = self._cursor.execute("SELECT * FROM inferworks.gateway ORDER BY run").fetchall()
        return [msgspec.convert(row, Gateway) for row in rows]

    def put(self, row: Budget | Rate | Slice | Gateway) -> None:
        values = msgspec.structs.asdict(row)
        if isinstance(row, Budget | Rate):
            table, key = "account", "id"
        elif isinstance(row, Slice):
            table, key = "slice", "id"
        else:
            table, key = "gateway", "run"
        if table == "account":  # it is there, since it was locked
            changes = ", ".join(f"{name} = %({name})s" for name in values if name != "id")
            self._cursor.execute(
                f"UPDATE inferworks.account SET {changes} WHERE id = %(id)s", values
            )
            return
        self._put(table, key, values)

    def warnings(self, ids: Iterable[str]) -> Mapping[str, LimitWarning]:
        return {one.id: one for one in self._warnings("WHERE id = ANY(%s)", list(ids))}

    def due_warnings(self, most: int) -> Sequence[LimitWarning]:
        where = (
            "WHERE due_ns > 0 AND due_ns <= %s ORDER BY due_ns, id LIMIT %s FOR UPDATE SKIP LOCKED"
        )
        return self._warnings(where, self.now_ns(), most)

    def newest_warnings(self, most: int) -> Sequence[LimitWarning]:
        return self._warnings("ORDER BY raised_ns DESC, id LIMIT %s", most)

    def put_warning(self, warning: LimitWarning) -> None:
        self._put("warning", "id", msgspec.structs.asdict(warning))

    def budget_ids(self, after: str, most: int) -> Sequence[str]:
        query = (
            "SELECT id FROM inferworks.account WHERE refill_ns = 0 AND id > %s ORDER BY id LIMIT %s"
        )
        return [row["id"] for row in self._cursor.execute(query, (after, most))]

    def remove_account(self, account_id: str) -> None:
        for table, column in (("account", "id"), ("slice", "budget"), ("warning", "account")):
            query = f"DELETE FROM inferworks.{table} WHERE {column} = %s"
            self._cursor.execute(query, (account_id,))

    def remove_closed(self, run: str | None, before_ns: int, most: int) -> None:
        whose, values = ("run = %s AND", (run,)) if run is not None else ("", ())
        self._cursor.execute(
            "DELETE FROM inferworks.slice WHERE id IN (SELECT id FROM inferworks.slice "
            f"WHERE state = 'closed' AND {whose} closed_ns < %s LIMIT %s FOR UPDATE SKIP LOCKED)",
            (*values, before_ns, most),
        )

    def _warnings(self, where: str, *values: object) -> list[LimitWarning]:
        rows = self._cursor.execute(f"SELECT * FROM inferworks.warning {where}", values).fetchall()
        return [msgspec.convert(row, LimitWarning) for row in rows]

    def _put(self, table: str, key: str, values: Mapping[str, Any]) -> None:
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != key)
        self._cursor.execute(
            f"INSERT INTO inferworks.{table} ({names}) VALUES ({marks}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {changes}",
            values,
        )

    def remove(self, gateway: Gateway) -> None:
        self._cursor.execute("DELETE FROM inferworks.gateway WHERE run = %s", (gateway.run,))

    def _slices(self, where: str, value: object) -> list[Slice]:
        query = f"SELECT * FROM inferworks.slice WHERE {where} ORDER BY id"
        rows = self._cursor.execute(query, (value,)).fetchall()
        return [msgspec.convert(_whole(row, "granted", "spent"), Slice) for row in rows]


def _account(row: dict[str, Any]) -> Budget | Rate:
    _whole(row, "cap", "held", "settled", "level")
    return msgspec.convert(row, Rate) if row["refill_ns"] else msgspec.convert(row, Budget)


def _whole(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """`row` with whole numbers for these columns."""
    for name in names:
        row[name] = int(row[name])
    return row
