"""Archiving: old rows move from the journal into the lake, each exactly once.

Problem. A row must be in exactly one segment or still only in the journal, whenever we are killed, and the
journal and the lake share no transaction.

Decision. A row is archived when the manifest names its segment (`archive.manifest`); the journal only
deletes. A pass does, in this order:

1. read the manifest, version v;
2. delete from the journal all rows that v names and that are still there;
3. read the rows that are due, and put each day of a table into a Parquet file named after its content, and
   the sums of its rows (`archive.sums`) beside it;
4. commit them to the manifest as version v + 1, on condition that there is none;
5. read the files back, compare their hashes, and only then delete their rows from the journal.

A pass killed before 4 leaves nothing but files that no manifest names. Killed after 4, the rows are
archived; the next pass begins with 2, and a reader leaves rows of such a segment out of the journal. Two
passes at once: both take the same version in 1 *before* they read rows in 3, so the one that is late in 4
cannot have seen a journal newer than its version; it starts over. A store's error in 4 leaves open whether
the commit succeeded: the next pass looks.

Rejected. Marking rows before they are archived (one more write per row, and a mark to clean up after each
kill); a cursor over time (a late row falls behind it); forgetting by key range (a late row falls into it).

The same rows give the same bytes, and so the same name, with one version of pyarrow.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from inferworks.arrow import compute, pa, pq
from inferworks.errors import LakeError
from inferworks.folder import INSTANCE, LAKE_FOLDER
from inferworks.meter.archive.journal import CHUNK, Key, SealingJournal, Seals
from inferworks.meter.archive.manifest import (
    Manifest,
    Segment,
    Sums,
    add_segments,
    commit_name,
    newest_version,
    read_manifest,
)
from inferworks.meter.archive.schema import (
    DAY_NS,
    LAKE_TABLES,
    Fact,
    LakeTable,
    batch_of,
    spans_of,
)
from inferworks.meter.archive.sums import kinds_of, make_sums
from inferworks.meter.lakes.base import LakeStore

ROW_GROUP_ROWS: Final = 16_384
"""Most rows of a table that a writer or a reader holds at once."""
_BATCH_ROWS: Final = 512
SEGMENT_ROWS: Final = 16 * ROW_GROUP_ROWS
_EPOCH: Final = date(1970, 1, 1)
REMEDY: Final = "make sums anew with: inferworks lake sums --anew"
"""Remedy named in errors about a file of sums."""


class Sealed(msgspec.Struct, frozen=True):
    """Segments that one archiving run committed."""

    segments: tuple[Segment, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows archived."""
        return sum(segment.rows for segment in self.segments)

    @property
    def bytes(self) -> int:
        """Size of the segments' files, in bytes."""
        return sum(segment.bytes for segment in self.segments)


def never() -> bool:
    """Do not stop."""
    return False


def seal(
    journal: SealingJournal,
    lake: LakeStore,
    before_ns: int,
    *,
    least_rows: int = 1,
    segment_rows: int = SEGMENT_ROWS,
    stopped: Callable[[], bool] = never,
) -> Sealed:
    """Archive every row that lies before `before_ns` into `lake`, and return the new segments.

    A day that is not over at `before_ns` waits until `least_rows` of a table are due in it, so that a lake
    has few large files. Ends early, leaving the rest to the next run, once `stopped`. LakeError or
    JournalError when one of the two fails; rows archived until then stay archived.
    """
    committed: list[Segment] = []
    while not stopped():
        manifest = read_manifest(lake)
        settle(journal, lake, manifest, stopped)
        ready = [
            due
            for due in journal.due(before_ns)
            if (due.day + 1) * DAY_NS <= before_ns or due.rows >= least_rows
        ]
        segments: list[Segment] = []
        sums: list[Sums] = []
        for due in ready:
            if stopped():
                break
            table = LAKE_TABLES[due.table]
            facts = journal.facts(table, due.day, before_ns, segment_rows)
            made = make_segment(table, due.day, facts, journal.seals().journal)
            if made is not None:  # written, and not yet in the manifest
                segment, data = made
                lake.put(segment.name, data)
                segments.append(segment)
                sums += put_sums(lake, segment, pq.ParquetFile(pa.BufferReader(data)))
        if not segments:
            break
        if add_segments(lake, manifest, segments, sums):
            committed += segments
            _forget(journal, lake, segments, stopped)
    return Sealed(tuple(committed))


def seal_all(
    journals: Sequence[Path],
    lake: LakeStore,
    before_ns: int,
    *,
    turn: threading.Lock | None = None,
    least_rows: int = 1,
    stopped: Callable[[], bool] = never,
) -> Sealed:
    """Archive the rows of all `journals` of a folder, one after the other, as `seal`.

    The first is the one with the steps, and `turn` its lock; the others' calls hold its steps back.
    """
    committed: list[Segment] = []
    for number, path in enumerate(journals):
        if stopped():
            break
        beside = [] if number else journals[1:]
        with SealingJournal(path, None if number else turn, beside) as journal:
            sealed = seal(journal, lake, before_ns, least_rows=least_rows, stopped=stopped)
        committed += sealed.segments
    return Sealed(tuple(committed))


def settle(
    journal: SealingJournal,
    lake: LakeStore,
    manifest: Manifest,
    stopped: Callable[[], bool] = never,
) -> None:
    """Delete the journal's rows that `manifest` names; LakeError when the lake is not its own."""
    seals = journal.seals()
    check_lake(seals, manifest, lake.url)
    left = unsettled(seals, manifest)
    if left or manifest.head != seals.head:
        # whoever committed may have died before that was durable, and the journal would outlive it
        newest = commit_name(manifest.version)
        lake.create(newest, lake.get(newest))
    if manifest.head != seals.head:
        journal.saw(manifest.head)
    _forget(journal, lake, left, stopped)


def unsettled(seals: Seals, manifest: Manifest) -> list[Segment]:
    """Return the segments of which the journal may still hold rows.

    A segment that replaced others is settled when those were.
    """
    settled = set(seals.segments)
    for one in manifest.replaced:  # in the order in which it came about
        if settled.issuperset(one.names):
            settled.update(one.by)
    return [
        segment
        for segment in manifest.segments
        if segment.journal == seals.journal and segment.name not in settled
    ]


def check_lake(seals: Seals, manifest: Manifest, url: str) -> None:
    """LakeError when the lake is not the one that the journal was sealed into, or an older copy of it."""
    lost = seals.segments - {segment.name for segment in manifest.segments} - manifest.gone
    if lost:
        raise LakeError(
            f"the lake {url} lacks {len(lost)} segments that this journal was sealed into, for example "
            f"{min(lost)}; set lake.url to where they are, or restore the lake from a backup"
        )
    if manifest.version < seals.head.version:
        raise LakeError(
            f"the lake {url} ends with commit {manifest.version}, though this journal has seen its commit "
            f"{seals.head.version}: it was put back from an older copy; restore a newer one"
        )
    if manifest.hashes.get(seals.head.version, seals.head.sha256) != seals.head.sha256:
        raise LakeError(
            f"{commit_name(seals.head.version)}: is not the commit that this journal has seen in the lake "
            f"{url}; restore it from a backup"
        )


def check_journal(journal: Path, lake: LakeStore) -> None:
    """LakeError when `journal` is gone or empty, though `lake` has rows of it: others were in it alone.

    Where the lake is elsewhere, and no gateway has ever run on the folder, the rows are of other nodes.
    """
    folder = journal.parent
    never_was = (
        not journal.exists()
        and not (folder / INSTANCE).exists()
        and lake.url != str(folder / LAKE_FOLDER)
    )
    if (
        not never_was
        and (not journal.exists() or not journal.stat().st_size)
        and newest_version(lake)
    ):
        raise LakeError(
            f"the journal {journal} is gone, though the lake {lake.url} has rows of it: restore the data "
            "folder from a backup (docs/backup.md)"
        )


def read_segment(lake: LakeStore, segment: Segment) -> pq.ParquetFile:
    """Open the file of `segment`; LakeError when it is missing or damaged."""
    return _read(lake, segment, "restore it from a backup")


def read_sums(lake: LakeStore, sums: Sums) -> pq.ParquetFile:
    """Open the file of `sums`; LakeError when it is missing or damaged."""
    return _read(lake, sums, REMEDY)


def _read(lake: LakeStore, file: Segment | Sums, remedy: str) -> pq.ParquetFile:
    data = lake.get(file.name)
    found = hashlib.sha256(data).hexdigest()
    if (found, len(data)) != (file.sha256, file.bytes):
        raise LakeError(
            f"{file.name}: {len(data)} bytes with SHA-256 {found[:12]}... are not the {file.bytes} "
            f"bytes with {file.sha256[:12]}... that were sealed in the lake {lake.url}; {remedy}"
        )
    return pq.ParquetFile(pa.BufferReader(data))


def keys_of(lake: LakeStore, segment: Segment) -> Iterator[Key]:
    """The keys of the rows in `segment`, in their order."""
    columns = list(LAKE_TABLES[segment.table].key)
    for batch in read_segment(lake, segment).iter_batches(ROW_GROUP_ROWS, columns=columns):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def day_text(moment_ns: int) -> str:
    """The UTC day of a moment, `YYYY-MM-DD`."""
    return (_EPOCH + timedelta(days=moment_ns // DAY_NS)).isoformat()


def put_sums(lake: LakeStore, segment: Segment, file: pq.ParquetFile) -> list[Sums]:
    """Write the sums of `segment`, whose rows are in `file`, not yet in the manifest."""
    made = list(make_sums(segment, file))
    for sums, body in made:
        lake.put(sums.name, body)
    return [sums for sums, _ in made]


def sum_up(
    lake: LakeStore,
    *,
    anew: bool = False,
    progress: Callable[[Segment, int, int], None] = lambda *_: None,
    stopped: Callable[[], bool] = never,
) -> list[Sums]:
    """Write the missing sums of segments of `lake`, or all of them `anew`, and return them.

    Commits after each segment, and tries again when another writer was first. `progress` gets the number of
    segments done, and of all, after each. LakeError when a segment cannot be read.
    """
    written: list[Sums] = []
    begun = read_manifest(lake)
    known = {(sums.of, sums.kind) for sums in begun.sums}
    lacking = [
        segment
        for segment in begun.segments
        if anew or not {(segment.name, kind) for kind in kinds_of(segment.table)} <= known
    ]
    for number, segment in enumerate(lacking):
        if stopped():
            break
        progress(segment, number, len(lacking))
        sums = put_sums(lake, segment, read_segment(lake, segment))
        while sums and not add_segments(lake, read_manifest(lake), (), sums):
            pass
        written += sums
    return written


def _forget(
    journal: SealingJournal,
    lake: LakeStore,
    segments: Iterable[Segment],
    stopped: Callable[[], bool],
) -> None:
    """Let the rows of `segments` leave the journal, once each file has been read back."""
    for segment in segments:
        table, keys = LAKE_TABLES[segment.table], keys_of(lake, segment)
        while chunk := list(islice(keys, CHUNK)):
            if stopped():
                return
            journal.forget(table, chunk)
        journal.done_with(segment.name)


class _Group(NamedTuple):
    """Statistics of one row group."""

    rows: int
    start_ns: int
    end_ns: int
    first_key: Key
    last_key: Key


def make_segment(
    table: LakeTable, day: int, facts: Iterator[Fact], journal: str
) -> tuple[Segment, bytes] | None:
    """Return the Parquet file of `facts`, all of `day` (days since 1970), and its entry for the manifest.

    None when there are no facts. Holds one row group of facts, and the compressed file.
    """
    return written_segment(table, day, _groups(table, facts), journal)


def written_segment(
    table: LakeTable, day: int, rows: Iterable[pa.Table], journal: str
) -> tuple[Segment, bytes] | None:
    """The same of `rows`, a row group at a time."""
    sink = pa.BufferOutputStream()
    groups: list[_Group] = []
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for group in rows:
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            starts, ends = spans_of(table, group)
            times = compute.min(starts).as_py(), compute.max(ends).as_py()
            keys = key_at(table, group, 0), key_at(table, group, -1)
            groups.append(_Group(group.num_rows, *times, *keys))
    if not groups:
        return None
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    text = day_text(day * DAY_NS)
    segment = Segment(
        name=segment_name(table.name, text, digest),
        table=table.name,
        day=text,
        rows=sum(group.rows for group in groups),
        bytes=len(data),
        sha256=digest,
        start_ns=min(group.start_ns for group in groups),
        end_ns=max(group.end_ns for group in groups),
        first_key=groups[0].first_key,
        last_key=groups[-1].last_key,
        journal=journal,
    )
    return segment, data


def _groups(table: LakeTable, facts: Iterator[Fact]) -> Iterator[pa.Table]:
    """`facts` as columns, a row group at a time.

    A few at a time become columns, so the objects die young, and no long collection of garbage holds up the
    calls of this process.
    """
    batches: list[pa.RecordBatch] = []
    while some := list(islice(facts, _BATCH_ROWS)):
        batches.append(batch_of(table, some))
        if len(batches) == ROW_GROUP_ROWS // _BATCH_ROWS:
            yield pa.Table.from_batches(batches)
            batches = []
    if batches:
        yield pa.Table.from_batches(batches)


def key_at(table: LakeTable, batch: pa.RecordBatch | pa.Table, place: int) -> Key:
    """The key of the row at `place` of `batch`."""
    return tuple(batch.column(name)[place].as_py() for name in table.key)


def segment_name(table: str, day: str, sha256: str) -> str:
    """The object that keeps the segment of `table` and `day` with that content."""
    return f"{table}/day={day}/{sha256[:32]}.parquet"
