"""Reading the lake: archived and other rows together, each exactly once.

Problem. While a reader works, rows move from the journal into the lake. A reader of one and then of the
other may see a row in both, or in neither.

Decision. The reader takes a snapshot of the journal first and the manifest second. A row that had left
the journal by then had been committed to the manifest before, so it is found there. A row that has been
committed but was still in the snapshot is in one of the few segments that the snapshot does not know to
be done with; their keys are read, and the snapshot's rows with those keys are left out.

The books' engine needs a `Snapshot`: files that it reads itself, and the rows not yet archived. `facts`
makes of it the same value that a journal alone would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from inferworks.arrow import compute
from inferworks.errors import LakeError
from inferworks.meter.archive.journal import Key, Seals, UnsealedReader
from inferworks.meter.archive.manifest import Manifest, Segment, Sums, read_manifest
from inferworks.meter.archive.schema import (
    LAKE_TABLES,
    Fact,
    LakeTable,
    key_of,
    records_of,
    spans_of,
)
from inferworks.meter.archive.seal import (
    ROW_GROUP_ROWS,
    check_journal,
    check_lake,
    keys_of,
    read_segment,
    read_sums,
    unsettled,
)
from inferworks.meter.archive.verify import Verified, verify
from inferworks.meter.capacity import Activity, Capacity, Step
from inferworks.meter.facts import Facts
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage

F = TypeVar("F", bound=Fact)
T = TypeVar("T")
_NO_FACTS = Facts((), (), (), ())


class Snapshot(msgspec.Struct, frozen=True):
    """Everything recorded of an interval, as of one moment, each row once."""

    segments: Mapping[str, tuple[Segment, ...]]
    """Segments by table that may hold rows of the interval and of its surroundings."""
    sums: Mapping[str, tuple[Sums, ...]]
    """Files of sums named by the manifest, by the name of their segment."""
    unsealed: Facts
    """Rows of the interval that are in none of the segments, and all retractions."""


class LakeReader:
    """Reader of `lake` together with the journal that is archived into it, if there is one yet.

    Any number may read while one archives. LakeError when the lake cannot be read, is damaged where it is
    read, or lacks rows that the journal gave it; DataFolderError when the file at `journal` is no journal.
    """

    def __init__(self, lake: LakeStore, journal: Path | None = None) -> None:
        self._lake = lake
        self._journal = journal

    def files(self, table: str, start_ns: int, end_ns: int) -> list[str]:
        """Return paths or URLs of live segments of `table` that may hold rows of the interval.

        Archived rows only; for the others, and for both as of one moment, see `moment`.
        """
        segments = _meeting(read_manifest(self._lake), start_ns, end_ns)[table]
        return [self.locate(segment) for segment in segments]

    def locate(self, file: Segment | Sums) -> str:
        """The path or URL under which other tools find `file`."""
        return self._lake.locate(file.name)

    def sound(self, sums: Sums) -> bool:
        """Return whether the file of `sums` is as written; if it is not, read the rows instead."""
        try:
            read_sums(self._lake, sums)
        except LakeError:
            return False
        return True

    def moment(self, start_ns: int, end_ns: int) -> Snapshot:
        """The interval `[start_ns, end_ns)`: the files of its sealed rows, and its unsealed rows."""
        with ExitStack() as stack:
            reader = stack.enter_context(self._reader())
            seals = stack.enter_context(reader.moment()) if reader else Seals("", frozenset())
            unsealed = reader.facts(start_ns, end_ns) if reader else _NO_FACTS
            manifest = read_manifest(self._lake)
        check_lake(seals, manifest, self._lake.url)
        between = [
            s for s in unsettled(seals, manifest) if s.start_ns < end_ns and s.end_ns > start_ns
        ]
        segments = _meeting(manifest, start_ns, end_ns)
        sums: dict[str, tuple[Sums, ...]] = {s.name: () for of in segments.values() for s in of}
        for one in manifest.sums:
            if one.of in sums:
                sums[one.of] += (one,)
        keys: dict[str, set[Key]] = {name: set() for name in LAKE_TABLES}
        for segment in between:  # its rows are in the lake already
            keys[segment.table].update(keys_of(self._lake, segment))
        unsealed = Facts(
            usages=_less(unsealed.usages, LAKE_TABLES["usage"], keys),
            steps=_less(unsealed.steps, LAKE_TABLES["step"], keys),
            capacity=_less(unsealed.capacity, LAKE_TABLES["capacity"], keys),
            activities=_less(unsealed.activities, LAKE_TABLES["activity"], keys),
            retracted=unsealed.retracted,
        )
        return Snapshot(segments, sums, unsealed)

    def facts(self, start_ns: int, end_ns: int) -> Facts:
        """Return the facts of the interval `[start_ns, end_ns)`, archived or not, as `JournalReader.facts`.

        Decodes one row group at a time; the result is held whole.
        """
        moment = self.moment(start_ns, end_ns)
        return joined(moment.unsealed, self.sealed(segments_of(moment), start_ns, end_ns))

    def calls(self, start_ns: int, end_ns: int) -> Iterator[Usage]:
        """The usages of the interval, sealed ones first, each once; none is held longer than needed."""
        with ExitStack() as stack:
            reader = stack.enter_context(self._reader())
            seals = stack.enter_context(reader.moment()) if reader else Seals("", frozenset())
            manifest = read_manifest(self._lake)
            check_lake(seals, manifest, self._lake.url)
            for segment in _meeting(manifest, start_ns, end_ns)["usage"]:
                for fact in self._sealed(segment, start_ns, end_ns):
                    yield cast(Usage, fact)
            if reader is None:
                return
            between = [s for s in unsettled(seals, manifest) if s.table == "usage"]
            gone = {key for segment in between for key in keys_of(self._lake, segment)}
            for usage in reader.usages(start_ns, end_ns):
                if not gone or key_of(LAKE_TABLES["usage"], usage) not in gone:
                    yield usage

    def sealed(self, segments: Iterable[Segment], start_ns: int, end_ns: int) -> Facts:
        """Return the facts of the interval in `segments`, whether or not the manifest still names them.

        LakeError when one is missing or differs from what was archived.
        """
        found: dict[str, list[Any]] = {name: [] for name in LAKE_TABLES}
        for segment in segments:
            found[segment.table] += self._sealed(segment, start_ns, end_ns)
        return Facts(
            usages=_ordered(found["usage"], _by_opening),
            steps=_ordered(found["step"], _by_replica),
            capacity=_ordered(found["capacity"], _by_state),
            activities=_ordered(found["activity"], _by_id),
        )

    def check(self, segment: Segment) -> None:
        """Raise LakeError when the file of `segment` is missing or differs from what was archived."""
        read_segment(self._lake, segment)

    def verify(self, *, sums: bool = False) -> Verified:
        """Recompute the manifest's entries, and name those that differ; see `archive.verify`.

        With `sums`, they are computed again, too.
        """
        with self._reader() as reader:
            return verify(self._lake, reader.seals() if reader else None, recomputed=sums)

    def _reader(self) -> AbstractContextManager[UnsealedReader | None]:
        if self._journal is None:
            return nullcontext(None)
        check_journal(self._journal, self._lake)
        if not self._journal.exists():
            return nullcontext(None)
        return UnsealedReader(self._journal)

    def _sealed(self, segment: Segment, start_ns: int, end_ns: int) -> Iterator[Fact]:
        """The facts of the interval in `segment`."""
        table = LAKE_TABLES[segment.table]
        for batch in read_segment(self._lake, segment).iter_batches(ROW_GROUP_ROWS):
            # the mask of rows of `batch` that overlap the interval
            starts, ends = spans_of(table, batch)
            yield from records_of(
                table,
                batch.filter(
                    compute.and_(compute.less(starts, end_ns), compute.greater(ends, start_ns))
                ),
            )


def segments_of(moment: Snapshot) -> tuple[Segment, ...]:
    """The segments of every table of `moment`."""
    return tuple(segment for segments in moment.segments.values() for segment in segments)


def joined(one: Facts, other: Facts) -> Facts:
    """The facts of both, in order."""
    return Facts(
        usages=_ordered((*one.usages, *other.usages), _by_opening),
        steps=_ordered((*one.steps, *other.steps), _by_replica),
        capacity=_ordered((*one.capacity, *other.capacity), _by_state),
        activities=_ordered((*one.activities, *other.activities), _by_id),
        retracted=_ordered((*one.retracted, *other.retracted), _by_id),
    )


def _meeting(manifest: Manifest, start_ns: int, end_ns: int) -> Mapping[str, tuple[Segment, ...]]:
    """The segments that meet the interval, by table."""
    return {
        name: tuple(
            segment
            for segment in manifest.segments
            if segment.table == name and segment.start_ns < end_ns and segment.end_ns > start_ns
        )
        for name in LAKE_TABLES
    }


def _less(facts: tuple[F, ...], table: LakeTable, keys: Mapping[str, set[Key]]) -> tuple[F, ...]:
    gone = keys[table.name]
    return tuple(fact for fact in facts if key_of(table, fact) not in gone) if gone else facts


def _ordered(facts: Iterable[T], key: Any) -> tuple[T, ...]:
    return tuple(sorted(facts, key=key))


def _by_opening(usage: Usage) -> tuple[int, str]:
    return usage.opened_ns, usage.call_id


def _by_replica(step: Step) -> tuple[str, int, int]:
    return step.replica, step.start_ns, step.seq


def _by_state(row: Capacity) -> tuple[str, int, str]:
    return row.replica, row.start_ns, row.state


def _by_id(named: Activity | Retracted) -> tuple[str, str]:
    return named.source, named.id
