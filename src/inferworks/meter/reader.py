"""Reads a journal, also from another process and while the gateway writes it.

The file is opened read-only, so that no reader can harm it. `facts` reads within one transaction: what
it returns is the state of one moment, however much is written meanwhile.

Which facts belong to an interval `[start_ns, end_ns)`:

- a usage, when its call was *opened* in it, so adjoining intervals share no call;
- a step, a capacity row or an activity, when it *overlaps* it. Such a fact is returned whole, also by
  the neighbour it reaches into. One of no length belongs where it starts.

Each row that is read is held against its checksum (`tables`), so no figure is drawn from one that the disk
has changed: DamagedError names the row, or what SQLite says of the page, and what to do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote

import msgspec

from inferworks.errors import DamagedError, DataFolderError
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.events import Reported, reported_call_id
from inferworks.meter.facts import Facts
from inferworks.meter.inflight_log import read_inflight_log
from inferworks.meter.record import Quarantined, Retracted, SpoolCursor
from inferworks.meter.tables import (
    ACTIVITY,
    CAPACITY,
    CHECKPOINT,
    CURSOR,
    OPENED,
    QUARANTINE,
    READABLE,
    RETRACTED,
    SCHEMA_VERSION,
    STEP,
    TABLES,
    USAGE,
    Table,
    Value,
)
from inferworks.meter.usage import Checkpoint, Opened, Usage
from inferworks.sqlite import connect, is_damage

R = TypeVar("R")

_OVERLAPS: Final = "start_ns < :end AND (start_ns >= :start OR end_ns > :start)"

_NAMED: Final = "WHERE source = :source AND id = :id"

_SOURCES: Final = """
SELECT DISTINCT source, 0 FROM activity
UNION
SELECT DISTINCT substr(call_id, 1, instr(call_id, '/') - 1), 1 FROM usage WHERE instr(call_id, '/')
"""
"""A call's is percent-encoded in its call id."""

_ENDED: Final = """
SELECT call.value FROM json_each(?) AS call
WHERE EXISTS (SELECT 1 FROM usage WHERE usage.call_id = call.value)
"""

_REPLICAS: Final = """
WITH RECURSIVE name(replica) AS (
  SELECT min(replica) FROM {table}
  UNION ALL
  SELECT (SELECT min(replica) FROM {table} WHERE {table}.replica > name.replica)
  FROM name WHERE name.replica IS NOT NULL
)
SELECT replica FROM name WHERE replica IS NOT NULL
"""
"""The distinct replicas of a table, one index look-up each instead of a scan."""

_OF_REPLICA: Final = f"""
SELECT * FROM {{table}}
WHERE replica = :replica AND {_OVERLAPS} AND start_ns >= coalesce(
  (SELECT max(start_ns) FROM {{table}} WHERE replica = :replica AND start_ns < :start), :start)
ORDER BY start_ns, {{last}}
"""
"""A replica's facts that overlap an interval. Its intervals are disjoint and in order of time, so of
those that began before the interval only the last can reach into it."""


_LATEST = """
SELECT coalesce(max(CASE WHEN begun <= :now THEN min(at, :now) END), 0), coalesce(max(at), 0) FROM (
  SELECT opened_ns AS begun, max(closed_ns, opened_ns + 1) AS at FROM usage
  UNION ALL SELECT start_ns, end_ns FROM capacity UNION ALL SELECT start_ns, end_ns FROM activity)
"""
_FIRST = """
SELECT min(at) FROM (
  SELECT min(opened_ns) AS at FROM usage
  UNION ALL SELECT min(start_ns) FROM capacity UNION ALL SELECT min(start_ns) FROM activity)
"""


class JournalReader:
    """Read-only view of the journal at `path`. Use it in a `with` statement, or close it.

    DataFolderError when there is no journal there, or one of a newer version. DamagedError, from any
    read, when the data read is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._checkpoints: Mapping[CallId, Checkpoint] | None = None
        try:
            # a read-only connection to a journal of a version that can be read
            database = connect(path, "ro", timeout_s=30)
            try:
                check_version(database, path)
            except BaseException:
                database.close()
                raise
            self._database = database
        except (sqlite3.Error, UnicodeError) as error:
            if is_damage(error):
                raise damaged(path, error) from error
            raise DataFolderError(
                f"cannot read the journal {path}: {error}; check the data folder's name"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def usages(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of calls opened in the interval, by (opened_ns, call_id)."""
        where = "WHERE opened_ns >= :start AND opened_ns < :end ORDER BY opened_ns, call_id"
        return self._select(USAGE, where, {"start": start_ns, "end": end_ns})

    def newest_row(self) -> int:
        """The number of the usage that was written last; 0 when there is none."""
        with reading(self._path):
            [row] = self._database.execute("SELECT coalesce(max(rowid), 0) FROM usage").fetchone()
        return int(row)

    def latest_ns(self, now_ns: int) -> tuple[int, int]:
        """Return the end of the last call, interval or activity; 0 without any.

        The first is of those that have begun by `now_ns`, and no later than that; the second of all there
        are.
        """
        with reading(self._path):
            happened, last = self._database.execute(_LATEST, {"now": now_ns}).fetchone()
        return int(happened), int(last)

    def first_ns(self) -> int | None:
        """Return the start of the first call, interval or activity; None without any."""
        with reading(self._path):
            [first] = self._database.execute(_FIRST).fetchone()
        return None if first is None else int(first)

    def arrived(self, after_row: int, most: int) -> Iterator[Usage]:
        """The usages written after that row, in the order of writing: of more than `most`, the last."""
        where = (
            "WHERE rowid IN (SELECT rowid FROM usage WHERE rowid > :after "
            "ORDER BY rowid DESC LIMIT :most) ORDER BY rowid"
        )
        return self._select(USAGE, where, {"after": after_row, "most": most})

    def steps(self, replica: ReplicaId | None, start_ns: int, end_ns: int) -> Iterator[Step]:
        """The steps that overlap the interval, by (replica, start_ns, seq); None: every replica."""
        return self._by_replica(STEP, "seq", replica, start_ns, end_ns)

    def capacity(self, start_ns: int, end_ns: int) -> Iterator[Capacity]:
        """The capacity rows that overlap the interval, by (replica, start_ns, state)."""
        return self._by_replica(CAPACITY, "state", None, start_ns, end_ns)

    def activities(self, start_ns: int, end_ns: int) -> Iterator[Activity]:
        """The activities that overlap the interval, by (source, id)."""
        where = f"WHERE {_OVERLAPS} ORDER BY source, id"
        return self._select(ACTIVITY, where, {"start": start_ns, "end": end_ns})

    def retracted(self, start_ns: int, end_ns: int) -> Iterator[Retracted]:
        """Yield retractions of reports that overlap the interval, by (source, id)."""
        where = f"WHERE {_OVERLAPS} ORDER BY source, id"
        return self._select_new(RETRACTED, where, {"start": start_ns, "end": end_ns})

    def reported(self, source: str) -> Iterator[Reported]:
        """Yield all reports under `source`, activities first; retracted ones, too."""
        yield from self._select(ACTIVITY, "WHERE source = :source ORDER BY id", {"source": source})
        first = reported_call_id(source, "")
        values = {"first": first, "last": f"{first[:-1]}{chr(ord(first[-1]) + 1)}"}
        where = "WHERE call_id >= :first AND call_id < :last ORDER BY call_id"
        yield from self._select(USAGE, where, values)

    def sources(self) -> list[str]:
        """Every source under which anything was reported, in order."""
        with reading(self._path):
            rows = self._database.execute(_SOURCES).fetchall()
        return sorted({unquote(name) if quoted else name for name, quoted in rows})

    def facts(self, start_ns: int, end_ns: int) -> Facts:
        """Everything the books need of an interval, as of one moment."""
        with self._one_moment():
            return Facts(
                usages=tuple(self.usages(start_ns, end_ns)),
                steps=tuple(self.steps(None, start_ns, end_ns)),
                capacity=tuple(self.capacity(start_ns, end_ns)),
                activities=tuple(self.activities(start_ns, end_ns)),
                retracted=tuple(self.retracted(start_ns, end_ns)),
            )

    def opened_unclosed(self) -> Iterator[Opened]:
        """The calls that were opened and have no usage yet, by call_id."""
        with reading(self._path):
            return iter(unclosed(self._database, self._path))

    def checkpoint(self, call_id: CallId) -> Checkpoint | None:
        """The newest checkpoint of a call, as of when this reader was first asked for one."""
        if self._checkpoints is None:
            self._checkpoints = read_inflight_log(self._path).checkpoints
        row = next(self._select(CHECKPOINT, "WHERE call_id = :id", {"id": call_id}), None)
        return self._checkpoints.get(call_id) or row

    def known_activities(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Activity]:
        """The activity at each (source, id) of `names`; absent where there is none."""
        return {
            (known.source, known.id): known
            for source, id_ in names
            for known in self._select(ACTIVITY, _NAMED, {"source": source, "id": id_})
        }

    def known_retracted(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Retracted]:
        """Return the retractions among `names`."""
        return {
            (known.source, known.id): known
            for source, id_ in names
            for known in self._select_new(RETRACTED, _NAMED, {"source": source, "id": id_})
        }

    def known_usages(self, calls: Iterable[CallId]) -> Mapping[CallId, Usage]:
        """The usage of each of `calls`; absent where there is none."""
        return {
            known.call_id: known
            for call_id in calls
            for known in self._select(USAGE, "WHERE call_id = :id", {"id": call_id})
        }

    def cursor(self, file: str) -> SpoolCursor | None:
        """Return the position up to which the spool called `file` was read; None when it never was."""
        return next(self._select(CURSOR, "WHERE file = :file", {"file": file}), None)

    def covered_ns(self, replica: ReplicaId) -> int:
        """Return the end of the time of `replica` covered by its spool, in epoch nanoseconds."""
        newest = "WHERE replica = :replica ORDER BY covered_ns DESC LIMIT 1"
        found = next(self._select(CURSOR, newest, {"replica": replica}), None)
        return 0 if found is None else found.covered_ns

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield quarantined records in arrival order."""
        return self._select(QUARANTINE, "ORDER BY rowid", {})

    def counts(self) -> Mapping[str, int]:
        """The number of rows by table."""
        counts = {table.name: 0 for table in TABLES.values()}
        for table in filter(self._has, TABLES.values()):
            with reading(self._path):
                [rows] = self._database.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            counts[table.name] = int(rows)
        return counts

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Read as of one moment while the block runs, which may be within another such block."""
        if self._database.in_transaction:
            yield
            return
        with reading(self._path):
            self._database.execute("BEGIN")
        try:
            yield
        finally:
            with reading(self._path):
                self._database.execute("ROLLBACK")  # COMMIT fails once a damaged page was met

    def _select(self, table: Table[R], where: str, values: Mapping[str, Value]) -> Iterator[R]:
        """The records of `table` that the SQL in `where` picks; it is ours, never a caller's."""
        query = f"SELECT * FROM {table.name} {where}"
        with reading(self._path):
            return records(self._path, table, self._database.execute(query, values))

    def _select_new(self, table: Table[R], where: str, values: Mapping[str, Value]) -> Iterator[R]:
        """The same of a table that journals of former versions do not have."""
        return self._select(table, where, values) if self._has(table) else iter(())

    def _has(self, table: Table[Any]) -> bool:
        return self._has_table(table.name)

    def _has_table(self, name: str) -> bool:
        query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
        with reading(self._path):
            [count] = self._database.execute(query, (name,)).fetchone()
        return bool(count)

    def _by_replica(
        self, table: Table[R], last: str, replica: ReplicaId | None, start_ns: int, end_ns: int
    ) -> Iterator[R]:
        """The records of a replica, or of each in turn, that overlap the interval."""
        query = _OF_REPLICA.format(table=table.name, last=last)
        names: list[str] = [] if replica is None else [replica]
        if replica is None:
            with reading(self._path):
                found = self._database.execute(_REPLICAS.format(table=table.name))
                names = [name for (name,) in found]
        for name in names:
            values = {"replica": name, "start": start_ns, "end": end_ns}
            with reading(self._path):
                rows = self._database.execute(query, values)
            yield from records(self._path, table, rows)


def records(path: Path, table: Table[R], rows: Iterable[Any]) -> Iterator[R]:
    """The records of `table` that `rows` of the journal at `path` keep."""
    with reading(path):
        yield from map(table.read, rows)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate errors of reading the journal at `path` to one line.

    DamagedError when it is damaged, DataFolderError when it cannot be read.
    """
    try:
        yield
    except DamagedError as error:
        raise damaged(path, error) from error
    except (sqlite3.Error, UnicodeError) as error:
        if is_damage(error):
            raise damaged(path, error) from error
        raise DataFolderError(f"cannot read the journal {path}: {error}; try again") from error


def damaged(path: Path, what: object) -> DamagedError:
    """Return the error for a journal in which `what` was found."""
    return DamagedError(
        f"the journal {path} is damaged: {what}; restore the data folder from a backup "
        "(docs/backup.md)"
    )


def unclosed(database: sqlite3.Connection, path: Path) -> list[Opened]:
    """Return the opened calls without a usage in the journal at `path`, by call_id.

    They are in the in-flight logs beside it; those that an older version left open are rows.
    """
    opened = read_inflight_log(path).opened
    is_view = check_version(database, path) == 3  # with a column more
    rows = database.execute(f"SELECT {', '.join(OPENED.names) if is_view else '*'} FROM opened")
    opened.update((call.call_id, call) for call in map(OPENED.read, rows))
    over = ended(database, list(opened))
    return [opened[call_id] for call_id in sorted(opened.keys() - over)]


def ended(database: sqlite3.Connection, calls: Sequence[CallId]) -> set[CallId]:
    """Return those of `calls` that have a usage."""
    rows = database.execute(_ENDED, (msgspec.json.encode(calls).decode(),))
    return {CallId(call_id) for (call_id,) in rows}


def check_version(database: sqlite3.Connection, path: Path) -> int:
    """The schema version of the journal in `database`.

    DataFolderError when it is no journal, or one that this program cannot read.
    """
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'meta'"
    if database.execute(query).fetchone() == (0,):
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            raise DataFolderError(f"{path} is empty: it is only just being made, or was emptied")
        raise DataFolderError(f"{path} is not a journal; name another data folder")
    found = database.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    version = found and found[0]
    if version not in map(str, READABLE):
        raise DataFolderError(
            f"the journal {path} is of schema version {version}, this program writes "
            f"{SCHEMA_VERSION}; use the version of inferworks that made it, or a new data folder"
        )
    return int(version)
