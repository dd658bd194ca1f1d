"""The store that ships as a fake: records in memory, with a disk that can be broken."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from inferworks.errors import JournalError, RecordError
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.facts import Facts
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.stores.base import JournalReads
from inferworks.meter.tables import TABLES
from inferworks.meter.usage import Checkpoint, Opened, Usage

R = TypeVar("R", bound=Record)

_Key = tuple[object, ...]
_Tables = dict[type, dict[_Key, Record]]


class MemoryStore:
    """Keeps a journal in memory; the same rules as on disk, and nothing survives the process.

    `writes` counts the transactions. While `broken` is set every write fails, as on a full or dying disk.
    """

    def __init__(self) -> None:
        self.broken = False
        self.writes = 0
        self._tables: _Tables = {type_: {} for type_ in TABLES}
        self._turn = threading.Lock()

    @property
    def is_in_doubt(self) -> bool:
        """False: a write that fails has kept nothing."""
        return False

    @property
    def settled_to(self) -> int:
        """0: memory ships nothing."""
        return 0

    def open(self) -> None:
        """Do nothing: memory needs no preparation."""

    def write(self, records: Sequence[Record]) -> None:
        """Keep `records`, all or none; see `JournalStore.write`."""
        self._keep(records)
        self.writes += 1

    def opened(self, opened: Opened) -> None:
        """Keep that a call was opened; see `JournalStore.opened`."""
        self._keep([opened])

    def reached(self, checkpoint: Checkpoint) -> None:
        """Keep how far an open call has come; see `JournalStore.reached`."""
        self._keep([checkpoint])

    def settle(self) -> bool:
        """Do nothing: nothing here is ever safe."""
        return False

    def resume(self, doubtful: Sequence[Usage]) -> None:
        """Be ready again unless it is broken; see `JournalStore.resume`."""
        self._check()
        with self._turn:
            usages = self._tables[Usage]
            kept = {key: usage for key, usage in usages.items() if usage not in doubtful}
            self._tables = {**self._tables, Usage: kept}

    def reads(self) -> AbstractContextManager[JournalReads]:
        """Return a view of the present records."""
        return nullcontext(MemoryReads(self._tables))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _check(self) -> None:
        if self.broken:
            raise JournalError("the store is broken")

    def _keep(self, records: Sequence[Record]) -> None:
        self._check()
        with self._turn:
            tables = {type_: dict(rows) for type_, rows in self._tables.items()}
            for record in records:  # kept as its table's verb says when the key is taken
                table, rows = TABLES[type(record)], tables[type(record)]
                try:
                    values = table.to_row(record)
                    # a database takes no number over 64 bits, and only text that is Unicode
                    for value in values:
                        if isinstance(value, int):
                            value.to_bytes(8, signed=True)
                        elif isinstance(value, str):
                            value.encode()
                except (OverflowError, UnicodeError) as error:
                    raise RecordError(f"a record was refused: {error}") from error
                row = dict(zip(table.names, values, strict=True))
                key = tuple(row[name] for name in table.key.split(", "))
                if key in rows and table.verb == "INSERT":
                    raise RecordError(f"a record was refused: {table.name} {key} is there already")
                if key not in rows or table.verb == "INSERT OR REPLACE":
                    rows[key] = record
            self._tables = tables


class MemoryReads:
    """Reads the records of a `MemoryStore` as of one moment."""

    def __init__(self, tables: Mapping[type, Mapping[_Key, Record]]) -> None:
        self._tables = tables

    def usages(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of calls opened in the interval, by (opened_ns, call_id)."""
        picked = (u for u in self._all(Usage) if start_ns <= u.opened_ns < end_ns)
        return iter(sorted(picked, key=lambda usage: (usage.opened_ns, usage.call_id)))

    def steps(self, replica: ReplicaId | None, start_ns: int, end_ns: int) -> Iterator[Step]:
        """The steps that overlap the interval, by (replica, start_ns, seq); None: every replica."""
        picked = (
            step
            for step in self._all(Step)
            if replica in (None, step.replica)
            and _overlaps(step.start_ns, step.start_ns + step.duration_ns, start_ns, end_ns)
        )
        return iter(sorted(picked, key=lambda step: (step.replica, step.start_ns, step.seq)))

    def capacity(self, start_ns: int, end_ns: int) -> Iterator[Capacity]:
        """The capacity rows that overlap the interval, by (replica, start_ns, state)."""
        picked = (
            row
            for row in self._all(Capacity)
            if _overlaps(row.start_ns, row.end_ns, start_ns, end_ns)
        )
        return iter(sorted(picked, key=lambda row: (row.replica, row.start_ns, row.state)))

    def activities(self, start_ns: int, end_ns: int) -> Iterator[Activity]:
        """The activities that overlap the interval, by (source, id)."""
        picked = (
            activity
            for activity in self._all(Activity)
            if _overlaps(activity.start_ns, activity.end_ns, start_ns, end_ns)
        )
        return iter(sorted(picked, key=lambda activity: (activity.source, activity.id)))

    def retracted(self, start_ns: int, end_ns: int) -> Iterator[Retracted]:
        """Yield retractions of reports that overlap the interval, by (source, id)."""
        picked = (
            one
            for one in self._all(Retracted)
            if _overlaps(one.start_ns, one.end_ns, start_ns, end_ns)
        )
        return iter(sorted(picked, key=lambda one: (one.source, one.id)))

    def facts(self, start_ns: int, end_ns: int) -> Facts:
        """Everything the books need of an interval."""
        return Facts(
            usages=tuple(self.usages(start_ns, end_ns)),
            steps=tuple(self.steps(None, start_ns, end_ns)),
            capacity=tuple(self.capacity(start_ns, end_ns)),
            activities=tuple(self.activities(start_ns, end_ns)),
            retracted=tuple(self.retracted(start_ns, end_ns)),
        )

    def opened_unclosed(self) -> Iterator[Opened]:
        """The calls that were opened and have no usage yet, by call_id."""
        closed = {usage.call_id for usage in self._all(Usage)}
        picked = (opened for opened in self._all(Opened) if opened.call_id not in closed)
        return iter(sorted(picked, key=lambda opened: opened.call_id))

    def checkpoint(self, call_id: CallId) -> Checkpoint | None:
        """The newest checkpoint of a call."""
        return next((c for c in self._all(Checkpoint) if c.call_id == call_id), None)

    def known_activities(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Activity]:
        """The activity at each (source, id) of `names`; absent where there is none."""
        wanted = set(names)
        return {(a.source, a.id): a for a in self._all(Activity) if (a.source, a.id) in wanted}

    def known_retracted(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Retracted]:
        """Return the retractions among `names`."""
        wanted = set(names)
        return {(r.source, r.id): r for r in self._all(Retracted) if (r.source, r.id) in wanted}

    def known_usages(self, calls: Iterable[CallId]) -> Mapping[CallId, Usage]:
        """The usage of each of `calls`; absent where there is none."""
        wanted = set(calls)
        return {usage.call_id: usage for usage in self._all(Usage) if usage.call_id in wanted}

    def cursor(self, file: str) -> SpoolCursor | None:
        """Return the position up to which the spool called `file` was read; None when it never was."""
        return next((cursor for cursor in self._all(SpoolCursor) if cursor.file == file), None)

    def covered_ns(self, replica: ReplicaId) -> int:
        """Return the end of the time of `replica` covered by its spool, in epoch nanoseconds."""
        cursors = (c for c in self._all(SpoolCursor) if c.replica == replica)
        return max((cursor.covered_ns for cursor in cursors), default=0)

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield quarantined records in arrival order."""
        return self._all(Quarantined)

    def counts(self) -> Mapping[str, int]:
        """The number of rows by table."""
        return {table.name: len(self._tables[type_]) for type_, table in TABLES.items()}

    def _all(self, type_: type[R]) -> Iterator[R]:
        return (record for record in self._tables[type_].values() if isinstance(record, type_))


def _overlaps(start_ns: int, end_ns: int, from_ns: int, until_ns: int) -> bool:
    return start_ns < until_ns and (start_ns >= from_ns or end_ns > from_ns)
