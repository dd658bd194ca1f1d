"""Reading the lake: archived and other rows together, each exactly once.

Problem. While a reader works, rows move from the journal into the lake. A reader of one and then of the
other may see a row in both, or in neither.

Decision. The reader takes a snapshot of the journal first and the manifest second. A row that had left
the journal by then had been committed to the manifest before, so it is found there. A row that has been
committed but was still in the snapshot is in one of the few segments that the snapshot does not know to
be done with; their keys are read, and the snapshot's rows with those keys are left out. Of a folder with
several journals (`archive.journals`) each has its own snapshot, and all come before the manifest.

The books' engine needs a `Snapshot`: files that it reads itself, and the rows not yet archived. `facts`
makes of it the same value that a journal alone would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from inferworks.arrow import compute
from inferworks.errors import LakeError
from inferworks.meter.archive.journal import Key, Seals
from inferworks.meter.archive.journals import JournalsReader
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
from inferworks.meter.facts import (
    Facts,
    by_id,
    by_opening,
    by_replica,
    by_state,
    joined,
    ordered,
)
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.record import Retracted
from inferworks.meter.usage import Usage

F = TypeVar("F", bound=Fact)


class Snapshot(msgspec.Struct, frozen=True):
    """Everything recorded of an interval, as of one moment, each row once."""

    segments: Mapping[str, tuple[Segment, ...]]
    """Segments by table that may hold rows of the interval and of its surroundings."""
    sums: Mapping[str, tuple[Sums, ...]]
    """Files of sums named by the manifest, by the name of their segment."""
    unsealed: Facts
    """Rows of the interval that are in none of the segments, and all retractions, archived or not."""


class LakeReader:
    """Reader of `lake` together with the journals that are archived into it, as far as there are any yet.

    Any number may read while one archives. LakeError when the lake cannot be read, is damaged where it is
    read, or lacks rows that a journal gave it; DataFolderError when a file of `journals` is no journal.
    """

    def __init__(self, lake: LakeStore, *journals: Path) -> None:
        self._lake = lake
        self._journals = journals

    def files(self, table: str, start_ns: int, end_ns: int) -> list[str]:
        """Return paths or URLs of live segments of `table` that may hold rows of the interval.

        Archived rows only; for the others, and for both as of one moment, see `moment`.
        """
        segments = meeting(read_manifest(self._lake), start_ns, end_ns)[table]
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
            journals = stack.enter_context(reader.moment())
            unsealed = reader.facts(start_ns, end_ns)
            manifest = read_manifest(self._lake)
        between = [
            segment
            for segment in self._between(journals, manifest)
            if segment.start_ns < end_ns and segment.end_ns > start_ns
        ]
        segments = meeting(manifest, start_ns, end_ns)
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
            retracted=self._retracted(unsealed, segments, start_ns, end_ns),
        )
        return Snapshot({**segments, "retracted": ()}, sums, unsealed)

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
            journals = stack.enter_context(reader.moment())
            manifest = read_manifest(self._lake)
            between = self._between(journals, manifest)
            for segment in meeting(manifest, start_ns, end_ns)["usage"]:
                for fact in self._sealed(segment, start_ns, end_ns):
                    yield cast(Usage, fact)
            gone = {
                key
                for segment in between
                if segment.table == "usage"
                for key in keys_of(self._lake, segment)
            }
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
            usages=ordered(found["usage"], by_opening),
            steps=ordered(found["step"], by_replica),
            capacity=ordered(found["capacity"], by_state),
            activities=ordered(found["activity"], by_id),
            retracted=ordered(found["retracted"], by_id),
        )

    def check(self, segment: Segment) -> None:
        """Raise LakeError when the file of `segment` is missing or differs from what was archived."""
        read_segment(self._lake, segment)

    def verify(self, *, sums: bool = False) -> Verified:
        """Recompute the manifest's entries, and name those that differ; see `archive.verify`.

        With `sums`, they are computed again, too.
        """
        with self._reader() as reader:
            return verify(self._lake, reader.seals(), recomputed=sums)

    def _reader(self) -> JournalsReader:
        for journal in self._journals[:1]:  # the others may belong to workers that never started
            check_journal(journal, self._lake)
        return JournalsReader([path for path in self._journals if path.exists()])

    def _between(self, journals: Sequence[Seals], manifest: Manifest) -> list[Segment]:
        """Return the segments whose rows may be in a snapshot of `journals`; LakeError for a wrong lake."""
        for seals in journals:
            check_lake(seals, manifest, self._lake.url)
        return [segment for seals in journals for segment in unsettled(seals, manifest)]

    def _retracted(
        self,
        unsealed: Facts,
        segments: Mapping[str, tuple[Segment, ...]],
        start_ns: int,
        end_ns: int,
    ) -> tuple[Retracted, ...]:
        """Return the retractions of the interval: of our journals, which keep theirs, and of others."""
        sealed = self.sealed(segments["retracted"], start_ns, end_ns).retracted
        return ordered({by_id(one): one for one in (*sealed, *unsealed.retracted)}.values(), by_id)

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


def meeting(manifest: Manifest, start_ns: int, end_ns: int) -> Mapping[str, tuple[Segment, ...]]:
    """Return the segments that meet the interval, by table."""
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
