"""Reading several journals as one: those of a data folder, one for each process that serves calls.

Problem. Workers that share a port each write a journal of their own (`journal-1.db`, `journal-2.db`, ...),
since a second writer of one file only queues for its lock. Whoever reads a folder wants all calls of it,
each once and in order, whatever number of workers there is or was.

Decision. A call is in the journal of the process that served it and in no other, so the journals share no
row and their union needs no comparison; rows are merged in the order that a single journal gives them. All
that is not a call's own is in the first journal: steps, capacity, reports and retractions (a reported name
must be known for ever, so it is known in one place). Each journal is read as of one moment of its own: no
record refers to one of another journal.

Rejected. Attached databases and a view over them (ten files at most in SQLite as it is built, and one
moment all the same only per file); moving the rows of workers into the first journal (each would be written
twice).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Self

from inferworks.ids import CustomerId
from inferworks.meter.archive.journal import Seals, UnsealedReader
from inferworks.meter.facts import Facts, by_opening, joined
from inferworks.meter.record import Quarantined, Retracted
from inferworks.meter.usage import Opened, Usage
from inferworks.meter.used import Used


class JournalsReader:
    """Read-only view of the journals at `paths`, which exist; without any it is one of nothing.

    As a reader of the lake sees them: reports that were archived are left out. Errors are those of
    `JournalReader`.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._readers = [stack.enter_context(UnsealedReader(path)) for path in paths]
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def moment(self) -> Iterator[Sequence[Seals]]:
        """Read each as of one moment while the block runs; yield the records of what was archived."""
        with ExitStack() as stack:
            yield [stack.enter_context(reader.moment()) for reader in self._readers]

    def seals(self) -> list[Seals]:
        """Return the record of what was archived from each."""
        return [reader.seals() for reader in self._readers]

    def usages(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of calls opened in the interval, by (opened_ns, call_id)."""
        some = (reader.usages(start_ns, end_ns) for reader in self._readers)
        return heapq.merge(*some, key=by_opening)

    def retracted(self, start_ns: int, end_ns: int) -> tuple[Retracted, ...]:
        """Return the retractions of reports that overlap the interval."""
        return tuple(one for reader in self._readers for one in reader.retracted(start_ns, end_ns))

    def used(
        self,
        customer: CustomerId,
        edges_ns: Sequence[int],
        left_out: Collection[str],
        *,
        by_key: bool,
        most: int,
    ) -> Iterator[Used]:
        """Yield what a customer has used, as `UnsealedReader.used`, `most` of each journal."""
        for reader in self._readers:
            yield from reader.used(customer, edges_ns, left_out, by_key=by_key, most=most)

    def facts(self, start_ns: int, end_ns: int) -> Facts:
        """Everything the books need of an interval, as of one moment of each journal."""
        return joined(*(reader.facts(start_ns, end_ns) for reader in self._readers))

    def latest_ns(self, now_ns: int) -> tuple[int, int]:
        """Return the end of the last call, interval or activity, as `JournalReader.latest_ns`."""
        ends = [reader.latest_ns(now_ns) for reader in self._readers]
        return max((one for one, _ in ends), default=0), max((one for _, one in ends), default=0)

    def first_ns(self) -> int | None:
        """Return the start of the first call, interval or activity; None without any."""
        firsts = (reader.first_ns() for reader in self._readers)
        return min((one for one in firsts if one is not None), default=None)

    def opened_unclosed(self) -> list[Opened]:
        """Return the calls that were opened and have no usage yet, by call_id."""
        found = chain.from_iterable(reader.opened_unclosed() for reader in self._readers)
        return sorted(found, key=lambda opened: opened.call_id)

    def quarantined(self) -> Iterator[Quarantined]:
        """Yield quarantined records, journal by journal, in the order of arrival."""
        return chain.from_iterable(reader.quarantined() for reader in self._readers)

    def counts(self) -> dict[str, int]:
        """Return the number of rows by table."""
        found = Counter[str]()
        for reader in self._readers:
            found.update(reader.counts())  # of Mapping: a count of 0 stays
        return dict(found)

    def unsealed_counts(self) -> dict[str, int]:
        """Return the number of rows that were not archived, by table."""
        found = Counter[str]()
        for reader in self._readers:
            found.update(reader.unsealed_counts())
        return dict(found)
