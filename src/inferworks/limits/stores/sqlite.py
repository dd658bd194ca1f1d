"""Limits in one SQLite file: for one node with any number of worker processes.

Amounts are stored as decimal digits, since picounits of ten million dollars exceed 63 bits. Draws are rare,
so each transaction waits for the disk (`synchronous=FULL`): a draw that is confirmed is not forgotten.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from inferworks.errors import DataFolderError, LimitsError
from inferworks.limits.ledger import Budget, Gateway, Rate, Slice
from inferworks.limits.warnings import LimitWarning
from inferworks.sqlite import Database, with_remedy

T = TypeVar("T")

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE budget (id TEXT PRIMARY KEY, cap TEXT NOT NULL, revision INTEGER NOT NULL,
  returns INTEGER NOT NULL, held TEXT NOT NULL, settled TEXT NOT NULL,
  recall INTEGER NOT NULL, recalled_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rate (id TEXT PRIMARY KEY, cap TEXT NOT NULL, refill_ns INTEGER NOT NULL,
  revision INTEGER NOT NULL, level TEXT NOT NULL, level_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE slice (id TEXT PRIMARY KEY, budget TEXT NOT NULL, place TEXT NOT NULL, run TEXT NOT NULL,
  granted TEXT NOT NULL, drawn_ns INTEGER NOT NULL, spent TEXT NOT NULL, state TEXT NOT NULL,
  recalled INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX slice_in_budget ON slice (budget) WHERE state <> 'closed';
CREATE INDEX slice_of_run ON slice (run) WHERE state <> 'closed';
CREATE TABLE gateway (run TEXT PRIMARY KEY, place TEXT NOT NULL, boot TEXT NOT NULL,
  seen_ns INTEGER NOT NULL) WITHOUT ROWID
"""
"""Tables of the first version."""
_WARNINGS: Final = """
CREATE TABLE warning (id TEXT PRIMARY KEY, account TEXT NOT NULL, body TEXT NOT NULL,
  raised_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL, tries INTEGER NOT NULL,
  sent_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX warning_due ON warning (due_ns) WHERE due_ns > 0;
CREATE INDEX warning_raised ON warning (raised_ns);
CREATE INDEX warning_of_account ON warning (account);
ALTER TABLE slice ADD COLUMN closed_ns INTEGER NOT NULL DEFAULT 0;
CREATE INDEX slice_closed_of_run ON slice (run, closed_ns) WHERE state = 'closed';
CREATE INDEX slice_closed ON slice (closed_ns) WHERE state = 'closed';
CREATE INDEX slice_of_budget ON slice (budget)
"""
_STEPS: Final = (_SCHEMA, _WARNINGS)
"""Steps from each version to the next."""
_TABLES: Final[Mapping[type[msgspec.Struct], str]] = {
    Budget: "budget",
    Rate: "rate",
    Slice: "slice",
    Gateway: "gateway",
    LimitWarning: "warning",
}
_PUT: Final = {
    kind: f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(kind.__struct_fields__))})"
    for kind, table in _TABLES.items()
}
_DIGITS: Final = frozenset({"cap", "held", "settled", "level", "granted", "spent"})
"""Columns of amounts, which are stored as decimal digits."""


class SqliteLimits:
    """Store of limits in the file at `path`, which is made when it does not exist."""

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        """DataFolderError when the file cannot be used, or a newer version of this program wrote it."""
        self._now_ns = now_ns
        self._database = Database(path, threads=True)
        try:
            with self._database.translated():
                self._lay_out()
        except DataFolderError:
            self._database.close()
            raise

    def transact(self, work: Callable[[_SqliteRows], T]) -> T:
        """Run `work` in one transaction."""
        try:
            with self._database.transaction():
                return work(_SqliteRows(self._database, self._now_ns))
        except (sqlite3.Error, msgspec.ValidationError, ValueError) as error:
            raise LimitsError(f"cannot use {self._database.path}: {with_remedy(error)}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _lay_out(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database.transaction():
            _check_version(self._database)
            for step in _STEPS[self._database.version() :]:
                for statement in step.split(";"):
                    self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")


class _SqliteRows:
    """Rows within a transaction, which holds the file's one write lock."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self.now_ns = now_ns

    def accounts(self, ids: Iterable[str]) -> Mapping[str, Budget | Rate]:
        asked = sorted(set(ids))
        found: dict[str, Budget | Rate] = {}
        for one in asked:
            found |= {row.id: row for row in self._found(Budget, "id = ?", one)}
            found |= {row.id: row for row in self._found(Rate, "id = ?", one)}
        return found

    def slices(self, ids: Iterable[str]) -> Mapping[str, Slice]:
        return {one.id: one for slice_id in ids for one in self._found(Slice, "id = ?", slice_id)}

    def slices_in(self, budget: str) -> Sequence[Slice]:
        return self._found(Slice, "budget = ? AND state <> 'closed' ORDER BY id", budget)

    def slices_of(self, run: str) -> Sequence[Slice]:
        return self._found(Slice, "run = ? AND state <> 'closed' ORDER BY id", run)

    def recalled(self, run: str) -> Mapping[str, int]:
        query = (
            "SELECT budget.id, budget.recall FROM slice JOIN budget ON budget.id = slice.budget "
            "WHERE state <> 'closed' AND run = ? AND recalled < recall"
        )
        return dict(self._database.execute(query, (run,)))

    def budgets(self) -> Sequence[Budget]:
        """All budgets."""
        return self._found(Budget, "1")

    def gateways(self) -> Sequence[Gateway]:
        return self._found(Gateway, "1 ORDER BY run")

    def warnings(self, ids: Iterable[str]) -> Mapping[str, LimitWarning]:
        found = (one for name in ids for one in self._found(LimitWarning, "id = ?", name))
        return {one.id: one for one in found}

    def due_warnings(self, most: int) -> Sequence[LimitWarning]:
        where = "due_ns > 0 AND due_ns <= ? ORDER BY due_ns, id LIMIT ?"
        return self._found(LimitWarning, where, self.now_ns(), most)

    def newest_warnings(self, most: int) -> Sequence[LimitWarning]:
        return self._found(LimitWarning, "1 ORDER BY raised_ns DESC, id LIMIT ?", most)

    def put_warning(self, warning: LimitWarning) -> None:
        self._put(warning)

    def put(self, row: Budget | Rate | Slice | Gateway) -> None:
        self._put(row)

    def budget_ids(self, after: str, most: int) -> Sequence[str]:
        query = "SELECT id FROM budget WHERE id > ? ORDER BY id LIMIT ?"
        return [name for (name,) in self._database.execute(query, (after, most))]

    def remove_account(self, account_id: str) -> None:
        for table, column in (
            ("budget", "id"),
            ("rate", "id"),
            ("slice", "budget"),
            ("warning", "account"),
        ):
            self._database.execute(f"DELETE FROM {table} WHERE {column} = ?", (account_id,))

    def remove_closed(self, run: str | None, before_ns: int, most: int) -> None:
        whose, values = ("run = ? AND", (run,)) if run is not None else ("", ())
        self._database.execute(
            "DELETE FROM slice WHERE id IN (SELECT id FROM slice "
            f"WHERE state = 'closed' AND {whose} closed_ns < ? LIMIT ?)",
            (*values, before_ns, most),
        )

    def _put(self, row: msgspec.Struct) -> None:
        values = [
            str(value) if name in _DIGITS else value
            for name, value in msgspec.structs.asdict(row).items()
        ]
        self._database.execute(_PUT[type(row)], values)

    def remove(self, gateway: Gateway) -> None:
        self._database.execute("DELETE FROM gateway WHERE run = ?", (gateway.run,))

    def _found(self, kind: type[T], where: str, *values: str | int) -> list[T]:
        names = kind.__struct_fields__  # type: ignore[attr-defined]
        query = f"SELECT {', '.join(names)} FROM {_TABLES[kind]} WHERE {where}"  # type: ignore[index]
        return [
            _made(kind, dict(zip(names, row, strict=True)))
            for row in self._database.execute(query, values)
        ]


def check_limits(path: Path, *, thorough: bool) -> tuple[int, list[str]]:
    """Read the file at `path` again: return its number of rows, and a line for each thing that is wrong.

    Each budget must hold what its open slices were granted; `thorough` has SQLite look at every page, too.
    """
    try:
        with closing(Database(path, read_only=True)) as database, database.translated():
            _check_version(database)
            if not database.version():  # made just now, and not laid out yet
                return 0, []
            database.execute("BEGIN")  # all of one moment; columns that every version has
            held = {
                one: int(units) for one, units in database.execute("SELECT id, held FROM budget")
            }
            query = "SELECT budget, granted FROM slice WHERE state = 'open'"
            for budget, granted in database.execute(query):
                held[budget] = held.get(budget, 0) - int(granted)
            [[count]] = database.execute(
                "SELECT (SELECT count(*) FROM budget) + (SELECT count(*) FROM rate) + "
                "(SELECT count(*) FROM slice) + (SELECT count(*) FROM gateway)"
            )
            faults = database.integrity() if thorough else []
    except DataFolderError as error:
        return 0, [str(error)]
    except ValueError as error:  # an amount that is no number
        return 0, [str(database.damaged(error))]
    faults += [
        str(
            database.damaged(
                f"{budget} holds {abs(rest)} {'more' if rest > 0 else 'less'} than its slices"
            )
        )
        for budget, rest in held.items()
        if rest
    ]
    return count, faults


def _check_version(database: Database) -> None:
    """DataFolderError when a newer version of this program wrote the file."""
    version = database.version()
    if version > _VERSION:
        raise DataFolderError(
            f"{database.path}: limits of version {version}, this program reads version "
            f"{_VERSION}; use the version of inferworks that made it"
        )


def _made(kind: type[T], row: dict[str, Any]) -> T:
    """Return the row of type `kind` with the values of its columns."""
    for name in _DIGITS & row.keys():
        row[name] = int(row[name])
    if "returns" in row:
        row["returns"] = bool(row["returns"])
    return msgspec.convert(row, kind)
