"""The journal's side of archiving: due rows, and the record of archived ones.

An archived row leaves the journal, and with a usage the call's `opened` and `checkpoint`. A usage stays
while its call is in an in-flight log: recovery would take it for one that never ended. Reports of others,
activities and calls, stay and are marked as archived (`sealed_activity`, `sealed_usage`), since a used
(source, id) must be known for ever (theorem 3). The call id of a reported call has a slash. Retracted
reports are archived like the rest. The retractions themselves are copied into the lake and stay, too
(`sealed_retracted`): readers of this journal find them here, and those of other machines there.

`sealed_segment` names the segments whose rows have all left. A segment that the manifest names and this
table does not may still have rows here; readers of both leave those out by their keys.

`meta` keeps the number and the hash of the newest commit that this journal has seen of its lake
(`lake_head`), so that a lake that was lost, or put back from an older copy, is noticed.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from inferworks.catalog.units import PARTS, buckets
from inferworks.errors import DamagedError, DataFolderError, JournalError
from inferworks.ids import CustomerId
from inferworks.meter.archive.manifest import Head
from inferworks.meter.archive.schema import DAY_NS, Fact, LakeTable
from inferworks.meter.capacity import Activity
from inferworks.meter.inflight_log import read_inflight_log
from inferworks.meter.reader import (
    JournalReader,
    check_version,
    damaged,
    reading,
    records,
    unclosed,
)
from inferworks.meter.tables import ACTIVITY, CAPACITY, RETRACTED, SEALING, STEP, USAGE, Table
from inferworks.meter.usage import COUNT_COLUMNS, Outcome, Usage
from inferworks.meter.used import USED_UNITS, Used, UsedBy
from inferworks.purpose import Purpose
from inferworks.sqlite import connect, is_damage, transaction

Key: TypeAlias = tuple[str | int, ...]

_LOCK_TIMEOUT_S: Final = 30.0
_RETRACTED_SINCE: Final = 9
"""The version since which a journal records what it has archived of its retractions."""
CHUNK: Final = 512
"""Rows that leave the journal in one transaction: a few milliseconds."""
_TURN_S: Final = 0.002
"""Seconds for which the journal's own writer then has the file to itself."""

_TABLES: Final[Mapping[str, Table[Any]]] = {
    table.name: table for table in (USAGE, STEP, CAPACITY, ACTIVITY, RETRACTED)
}

_USAGE_NOT_SEALED: Final = (
    "NOT EXISTS (SELECT 1 FROM sealed_usage AS sealed WHERE sealed.call_id = usage.call_id)"
)
_ACTIVITY_NOT_SEALED: Final = (
    "NOT EXISTS (SELECT 1 FROM sealed_activity AS sealed "
    "WHERE sealed.source = activity.source AND sealed.id = activity.id)"
)
_RETRACTED_NOT_SEALED: Final = (
    "NOT EXISTS (SELECT 1 FROM sealed_retracted AS sealed "
    "WHERE sealed.source = retracted.source AND sealed.id = retracted.id)"
)
_DUE: Final = {
    "usage": f"opened_ns < :before AND {_USAGE_NOT_SEALED} "
    "AND call_id NOT IN (SELECT value FROM json_each(:held))",
    # Recovery still needs the steps since the oldest call that has not ended.
    "step": "end_ns <= :oldest_open",
    "capacity": "end_ns <= :before",
    "activity": f"end_ns <= :before AND {_ACTIVITY_NOT_SEALED}",
    "retracted": f"end_ns <= :before AND {_RETRACTED_NOT_SEALED}",
}
_KEYS: Final = "SELECT {columns} FROM json_each(:keys)"
_FORGET: Final = {
    "usage": (
        "INSERT OR IGNORE INTO sealed_usage SELECT * FROM ({keys}) WHERE instr(call_id, '/')",
        "DELETE FROM usage WHERE call_id IN ({keys}) AND NOT instr(call_id, '/')",
        "DELETE FROM opened WHERE call_id IN ({keys})",
        "DELETE FROM checkpoint WHERE call_id IN ({keys})",
    ),
    "step": ("DELETE FROM step WHERE (replica, start_ns, seq) IN ({keys})",),
    "capacity": ("DELETE FROM capacity WHERE (replica, start_ns, state) IN ({keys})",),
    "activity": ("INSERT OR IGNORE INTO sealed_activity {keys}",),
    "retracted": ("INSERT OR IGNORE INTO sealed_retracted {keys}",),
}
_COUNT_OF: Final = {
    name: name if name in USAGE.names else f"coalesce(json_extract(other_units, '$.{name}'), 0)"
    for name in COUNT_COLUMNS
}
"""SQL of each count of a row of `usage`."""
_LEAST: Final = ", ".join(
    [
        *(
            f"{_COUNT_OF[whole]} - {' - '.join(_COUNT_OF[part] for part in parts)}"
            for parts, whole in PARTS.items()
        ),
        *_COUNT_OF.values(),
    ]
)
"""The counts of a row and what each whole has beyond its parts: none is below zero."""
_IN_BUCKETS: Final = buckets(
    lambda unit: _COUNT_OF[unit],
    lambda whole, part: f"({whole} - {part})",
    lambda one, other: f"min({one}, {other})",
)
_SUMMED: Final = ", ".join(
    f"sum({_IN_BUCKETS.get(unit) or _COUNT_OF[unit]})" for unit in USED_UNITS
)
_USED: Final = f"""
SELECT span.key, {{project}}, {{key_id}}, model, purpose, outcome,
  count(*), min(min({_LEAST})) >= 0, {_SUMMED}
FROM json_each(:spans) AS span CROSS JOIN usage INDEXED BY usage_by_opening
WHERE opened_ns >= json_extract(span.value, '$[0]') AND opened_ns < json_extract(span.value, '$[1]')
  AND customer = :customer AND call_id NOT IN (SELECT value FROM json_each(:left_out)) AND {{also}}
GROUP BY 1, 2, 3, 4, 5, 6 LIMIT :most
"""
_ORDER: Final = {"usage": "opened_ns, call_id"}
_OVERLAPS: Final = "start_ns < :end AND (start_ns >= :start OR end_ns > :start)"
_HEAD: Final = "lake_head"
_CAN_BE_SEALED: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'sealed_segment'"


class Due(msgspec.Struct, frozen=True, order=True):
    """Rows of one table and day that may be sealed."""

    table: str
    day: int
    """Days since 1970-01-01 UTC."""
    rows: int


class Seals(msgspec.Struct, frozen=True):
    """A journal's record of what was archived from it."""

    journal: str
    """The journal's own id; empty in one that was made before there was a lake."""
    segments: frozenset[str]
    """The segments whose rows have all left it."""
    head: Head = Head(0, "")
    """The newest commit that it has seen of its lake."""


class SealingJournal:
    """The journal at `path`, for archiving. Use it in a `with` statement.

    Beside the journal's own writer it is a second connection that writes, in short transactions; within
    one process, both take the same `turn` (`SqliteStore`). JournalError when the file cannot be read or
    written, DataFolderError when it is no journal, DamagedError when it is damaged.
    """

    def __init__(
        self, path: Path, turn: threading.Lock | None = None, beside: Sequence[Path] = ()
    ) -> None:
        """Open calls of the journals `beside` hold steps back too: recovery looks for them here."""
        self._path = path
        self._turn = turn or threading.Lock()
        self._beside = beside
        if not path.exists():
            raise DataFolderError(f"there is no journal {path}; check the data folder's name")
        with self._told():
            self._database = connect(path, "rw", _LOCK_TIMEOUT_S, check_same_thread=False)
        try:
            with self._told():
                version = check_version(self._database, self._path)
                self._has_retracted = version >= _RETRACTED_SINCE
                self._database.execute("PRAGMA synchronous = FULL")
                if not _seals(
                    self._database
                ).journal:  # older than the lake: no tables of archiving
                    with self._transaction():
                        for statement in SEALING:
                            self._database.execute(statement)
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> SealingJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def seals(self) -> Seals:
        """The journal's id and the segments that it has done with."""
        with self._told():
            return _seals(self._database)

    def due(self, before_ns: int) -> list[Due]:
        """Rows wholly before `before_ns` that are not archived, by table and day."""
        with self._told():
            limits, due = self._limits(before_ns), list[Due]()
            for table in _TABLES:
                if table == "retracted" and not self._has_retracted:
                    continue
                column = "opened_ns" if table == "usage" else "start_ns"
                day = f"({column} - ((({column} % {DAY_NS}) + {DAY_NS}) % {DAY_NS})) / {DAY_NS}"
                query = (
                    f"SELECT {day}, count(*) FROM {table} WHERE {_DUE[table]} GROUP BY 1 ORDER BY 1"
                )
                due += (Due(table, *found) for found in self._database.execute(query, limits))
            return due

    def facts(self, table: LakeTable, day: int, before_ns: int, limit: int) -> Iterator[Fact]:
        """The first `limit` facts due on `day`, in the order of their keys, usages in that of time."""
        order = _ORDER.get(table.name, ", ".join(table.key))
        query = (
            f"SELECT * FROM {table.name} WHERE {_DUE[table.name]} "
            f"AND {table.day_column} >= :start AND {table.day_column} < :end "
            f"ORDER BY {order} LIMIT :limit"
        )
        with self._told():
            values = {
                **self._limits(before_ns),
                "start": day * DAY_NS,
                "end": (day + 1) * DAY_NS,
                "limit": limit,
            }
            rows = self._database.execute(query, values)
            yield from records(self._path, _TABLES[table.name], rows)

    def forget(self, table: LakeTable, keys: Sequence[Key]) -> None:
        """Delete the rows with `keys` in one transaction; missing ones do not matter.

        No call can commit meanwhile, so `keys` should be `CHUNK` at most. The journal's own writer then
        has the file to itself for a moment.
        """
        columns = (f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(table.key))
        chosen = _KEYS.format(columns=", ".join(columns))
        values = {"keys": msgspec.json.encode(keys).decode()}
        with self._told(), self._transaction():
            for statement in _FORGET[table.name]:
                self._database.execute(statement.format(keys=chosen), values)
        time.sleep(_TURN_S)

    def done_with(self, segment: str) -> None:
        """Remember that all rows of `segment` have left."""
        with self._told(), self._transaction():
            self._database.execute("INSERT OR IGNORE INTO sealed_segment VALUES (?)", (segment,))

    def saw(self, head: Head) -> None:
        """Remember the newest commit of the lake."""
        value = f"{head.version} {head.sha256}"
        with self._told(), self._transaction():
            self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_HEAD, value))

    def _limits(self, before_ns: int) -> dict[str, int | str]:
        """Return the parameters of `_DUE`. A call with its usage here enters no in-flight log any more."""
        held = [
            call.call_id
            for call in read_inflight_log(self._path).opened.values()
            if call.opened_ns < before_ns
        ]
        still_open = unclosed(self._database, self._path)
        for path in self._beside:
            with JournalReader(path) as reader:
                still_open += reader.opened_unclosed()
        return {
            "before": before_ns,
            "held": msgspec.json.encode(held).decode(),
            "oldest_open": min([before_ns, *(call.opened_ns for call in still_open)]),
        }

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, transaction(self._database):
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeError) as error:
            if is_damage(error):
                raise damaged(self._path, error) from error
            raise JournalError(f"cannot seal the journal {self._path}: {error}") from error


class UnsealedReader(JournalReader):
    """Reads a journal as the lake's readers see it: reports that were sealed are left out."""

    @contextmanager
    def moment(self) -> Iterator[Seals]:
        """Read as of one moment while the block runs; yield the record of what was archived then."""
        with self._one_moment():
            yield self.seals()

    def seals(self) -> Seals:
        """Return the record of what was archived."""
        with reading(self._path):
            return _seals(self._database)

    def usages(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of calls opened in the interval that were not sealed, by (opened_ns, call_id)."""
        if not self.seals().journal:
            return super().usages(start_ns, end_ns)
        where = (
            "WHERE opened_ns >= :start AND opened_ns < :end "
            f"AND {_USAGE_NOT_SEALED} ORDER BY opened_ns, call_id"
        )
        return self._select(USAGE, where, {"start": start_ns, "end": end_ns})

    def used(
        self,
        customer: CustomerId,
        edges_ns: Sequence[int],
        left_out: Collection[str],
        *,
        by_key: bool,
        most: int,
    ) -> Iterator[Used]:
        """Yield what a customer has used in each interval between two edges, but for calls `left_out`.

        Without `by_key`, over all projects and keys; at most `most` sums. SQLite sums them, which other
        threads do not wait for; checksums of rows are not looked at.
        """
        values = {
            "spans": msgspec.json.encode(list(pairwise(edges_ns))).decode(),
            "customer": customer,
            "left_out": msgspec.json.encode(sorted(left_out)).decode(),
            "most": most,
        }
        query = _USED.format(
            project="project" if by_key else "''",
            key_id="key_id" if by_key else "''",
            also=_USAGE_NOT_SEALED if self.seals().journal else "1",
        )
        with reading(self._path):
            rows = self._database.execute(query, values).fetchall()
        for number, project, key_id, model, purpose, outcome, calls, is_sound, *counts in rows:
            label = UsedBy(number, project, key_id, model, Purpose(purpose), Outcome(outcome))
            yield Used(label, calls, tuple(counts), bool(is_sound))

    def activities(self, start_ns: int, end_ns: int) -> Iterator[Activity]:
        """The activities that overlap the interval and were not sealed, by (source, id)."""
        if not self.seals().journal:
            return super().activities(start_ns, end_ns)
        where = f"WHERE {_OVERLAPS} AND {_ACTIVITY_NOT_SEALED} ORDER BY source, id"
        return self._select(ACTIVITY, where, {"start": start_ns, "end": end_ns})

    def unsealed_counts(self) -> dict[str, int]:
        """The number of rows that were not sealed, by table."""
        counts = {name: self.counts()[name] for name in _TABLES}
        if self.seals().journal:
            marked = ("activity", "usage", "retracted")
            for name in (one for one in marked if self._has_table(f"sealed_{one}")):
                with reading(self._path):
                    query = f"SELECT count(*) FROM sealed_{name}"
                    [sealed] = self._database.execute(query).fetchone()
                counts[name] -= int(sealed)
        return counts


def _seals(database: sqlite3.Connection) -> Seals:
    if database.execute(_CAN_BE_SEALED).fetchone() == (0,):
        return Seals("", frozenset())
    found = dict(database.execute("SELECT key, value FROM meta"))
    version, _, sha256 = found.get(_HEAD, "0 ").partition(" ")
    if "journal_id" not in found or not version.isdecimal():
        raise DamagedError("what the journal knows of its lake cannot be read")
    names = database.execute("SELECT name FROM sealed_segment")
    return Seals(
        found["journal_id"], frozenset(name for (name,) in names), Head(int(version), sha256)
    )
