"""The store seam: where the journal keeps its records.

`stub.MemoryStore` is the fake that ships, `sqlite.SqliteStore` the real one. Both pass
`inferworks.testing.stores.check_journal_store`, and so should yours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.facts import Facts
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.usage import Checkpoint, Opened, Usage


class JournalStore(Protocol):
    """Keeps records. The journal's one writer alone writes, settles and resumes; `reads` is for anybody."""

    @property
    def is_in_doubt(self) -> bool:
        """True from the moment a write begins until it is known to be durable, or `resume` has returned."""
        ...

    @property
    def settled_to(self) -> int:
        """Position in the outbox up to which nothing is taken back any more; 0 where nothing is shipped."""
        ...

    def open(self) -> None:
        """Make the store ready; DataFolderError when it cannot be used."""
        ...

    def write(self, records: Sequence[Record]) -> None:
        """Make all of `records` durable, or none of them.

        RecordError: one of them is at fault (a second Usage of a call, a value that cannot be stored);
        nothing was written and the store is sound. JournalError: they are not durable, and whether they
        were written is open until `resume` has returned.
        """
        ...

    def opened(self, opened: Opened) -> None:
        """Record at once that a call was opened: from here on no death of this process hides it.

        Called in the event loop, so it waits for no disk. A failing machine may lose unsettled records.
        RecordError and JournalError as for `write`.
        """
        ...

    def reached(self, checkpoint: Checkpoint) -> None:
        """Keep how far an open call has come, in the same way and with the same errors."""
        ...

    def settle(self) -> bool:
        """Sync what `opened` and `reached` have kept; JournalError when that cannot be done now.

        Called about a second after a call was opened, and again every second for as long as it is True.
        """
        ...

    def resume(self, doubtful: Sequence[Usage]) -> None:
        """Make the store writable again after a JournalError, or raise JournalError again.

        Usages of `doubtful` that were written nevertheless are taken back: their waiters were told that
        they are not durable. On return all durable records still are, and everything can be written.
        """
        ...

    def reads(self) -> AbstractContextManager[JournalReads]:
        """Return a view of the durable records and of the open calls; close it."""
        ...

    def close(self) -> None:
        """Let go of everything; closing twice is harmless."""
        ...


class JournalReads(Protocol):
    """Reads of durable records. Intervals are half-open, `[start_ns, end_ns)`, in nanoseconds UTC."""

    def usages(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of calls opened in the interval, by (opened_ns, call_id)."""
        ...

    def steps(self, replica: ReplicaId | None, start_ns: int, end_ns: int) -> Iterator[Step]:
        """The steps that overlap the interval, by (replica, start_ns, seq); None: every replica."""
        ...

    def capacity(self, start_ns: int, end_ns: int) -> Iterator[Capacity]:
        """The capacity rows that overlap the interval, by (replica, start_ns, state)."""
        ...

    def activities(self, start_ns: int, end_ns: int) -> Iterator[Activity]:
        """Yield the activities that overlap the interval, by (source, id); retracted ones, too."""
        ...

    def retracted(self, start_ns: int, end_ns: int) -> Iterator[Retracted]:
        """Yield retractions of reports that overlap the interval, by (source, id)."""
        ...

    def facts(self, start_ns: int, end_ns: int) -> Facts:
        """All of the above as one consistent value."""
        ...

    def opened_unclosed(self) -> Iterator[Opened]:
        """The calls that were opened and have no usage yet, by call_id."""
        ...

    def checkpoint(self, call_id: CallId) -> Checkpoint | None:
        """The newest checkpoint of a call."""
        ...

    def known_activities(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Activity]:
        """The activity at each (source, id) of `names`; absent where there is none."""
        ...

    def known_retracted(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Retracted]:
        """Return the retractions among `names`."""
        ...

    def known_usages(self, calls: Iterable[CallId]) -> Mapping[CallId, Usage]:
        """The usage of each of `calls`; absent where there is none."""
        ...

    def cursor(self, file: str) -> SpoolCursor | None:
        """Return the position up to which the spool called `file` was read; None when it never was."""
        ...

    def covered_ns(self, replica: ReplicaId) -> int:
        """Return the end of the time of `replica` covered by its spool; 0 when none of it is."""
        ...

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield quarantined records in arrival order."""
        ...

    def counts(self) -> Mapping[str, int]:
        """The number of rows by table."""
        ...
