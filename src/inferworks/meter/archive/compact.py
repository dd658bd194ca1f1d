"""Compaction: small segments of a day become few large ones; replaced files are pruned later.

Problem. A platform that archives every hour leaves twenty-four files of each table and day, and as many
footers to read, names to list and sums to add up. Readers and the archiving platform work meanwhile, and
the process may be killed at any moment.

Decision. As in archiving, only segments in the manifest exist (`archive.manifest`). A pass writes a new
segment with the rows of several of one table and day, and its sums; reads it back and compares its keys
with theirs; and replaces them by it in one commit. A pass killed before that commit leaves nothing but
files that no manifest names. Readers of an older manifest go on reading the old files, which stay until
they are pruned, by default a day later.

Left as they are:

- segments of which the journal may still hold rows: it knows them by their names;
- segments that a closed period names. Its seal is about those bytes, and late rows are found by the
  segments' names. So compact before closing, and not meanwhile (`DataFolder.keep_lake`);
- a lake with segments of another journal, whose closed periods are unknown here;
- segments that are large already: rows are sorted in memory.

Rejected. Rewriting a file in place (a reader would find half of it); merging what a close names and keeping
the old files for it (every row twice on the disk, for ever); files of a month (the day is in their names,
and one late row would make a month be read).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from inferworks.arrow import pa
from inferworks.errors import LakeError
from inferworks.meter.archive.journal import Seals
from inferworks.meter.archive.manifest import (
    Manifest,
    Replaced,
    Segment,
    Sums,
    add_segments,
    read_manifest,
)
from inferworks.meter.archive.schema import (
    DAY_NS,
    LAKE_TABLES,
    batch_of,
    records_of,
)
from inferworks.meter.archive.seal import (
    ROW_GROUP_ROWS,
    SEGMENT_ROWS,
    check_lake,
    put_sums,
    read_segment,
    unsettled,
    written_segment,
)
from inferworks.meter.archive.sums import SUMS_FOLDER
from inferworks.meter.lakes.base import LakeStore

LARGEST_ROWS: Final = SEGMENT_ROWS
"""Most rows that one compaction makes: half a gigabyte of calls in memory."""


class Group(NamedTuple):
    """Segments of one table and day that may become one."""

    table: str
    day: str
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        """Number of rows in all segments."""
        return sum(segment.rows for segment in self.segments)


class Compacted(msgspec.Struct, frozen=True):
    """Segments that a compaction replaced, and those it committed."""

    before: tuple[Segment, ...] = ()
    after: tuple[Segment, ...] = ()


def groups_of(
    manifest: Manifest,
    journals: Sequence[Seals],
    kept: Collection[str],
    largest_rows: int = LARGEST_ROWS,
) -> list[Group]:
    """Return the groups that can be compacted, by table, day and journal, without segments `kept` by name.

    A file has rows of one journal, which alone knows when it is done with them.
    """
    open_ = {segment.name for seals in journals for segment in unsettled(seals, manifest)}
    known = {seals.journal for seals in journals}
    found: dict[tuple[str, str, str], list[Segment]] = {}
    for segment in manifest.segments:
        small = segment.rows <= largest_rows // 2
        ours = segment.journal in known and segment.name not in open_
        if small and ours and segment.name not in kept:
            of = segment.table, segment.day, segment.journal
            found.setdefault(of, []).append(segment)
    groups: list[Group] = []
    for (table, day, _), segments in sorted(found.items()):
        runs: list[list[Segment]] = [[]]  # of as many rows as one segment may have
        for segment in sorted(segments, key=attrgetter("start_ns", "name")):
            if runs[-1] and sum(one.rows for one in runs[-1]) + segment.rows > largest_rows:
                runs.append([])
            runs[-1].append(segment)
        groups += (Group(table, day, tuple(run)) for run in runs if len(run) > 1)
    return groups


def compact(
    lake: LakeStore,
    journals: Sequence[Seals],
    kept: Collection[str],
    at_ns: int,
    *,
    largest_rows: int = LARGEST_ROWS,
    progress: Callable[[Group, int, int], None] = lambda *_: None,
) -> Compacted:
    """Compact small segments of a day, except those `kept` by name, and return the commits.

    `journals` are the present records of all of the folder; `progress` gets the number of groups done, and
    of all, after each. LakeError when a segment cannot be read, or the lake cannot be written or is another
    journal's as well; groups committed until then stay.
    """
    before: list[Segment] = []
    after: list[Segment] = []
    manifest = read_manifest(lake)
    for seals in journals:
        check_lake(seals, manifest, lake.url)
    known = {seals.journal for seals in journals}
    others = {segment.journal for segment in manifest.segments} - known
    if others:
        raise LakeError(
            f"the lake {lake.url} has rows of {len(others)} other journals, and what was closed with "
            "those may name any of its files: nothing was put together"
        )
    groups = groups_of(manifest, journals, kept, largest_rows)
    for number, group in enumerate(groups):
        progress(group, number, len(groups))
        segment, sums = _merged(lake, group)
        if _commit(lake, group, segment, sums, at_ns):
            before += group.segments
            after.append(segment)
    return Compacted(tuple(before), tuple(after))


def prunable(manifest: Manifest, kept: Collection[str], before_ns: int) -> list[str]:
    """The objects that were replaced before `before_ns`, and are not `kept` by name."""
    alive = {segment.name for segment in manifest.segments} | {one.name for one in manifest.sums}
    names = (
        name
        for one in manifest.replaced
        if one.at_ns < before_ns
        for name in (*one.names, *one.sums)
    )
    return [name for name in dict.fromkeys(names) if name not in alive and name not in kept]


def prune(
    lake: LakeStore, kept: Collection[str], before_ns: int, *, dry_run: bool = False
) -> list[str]:
    """Remove the `prunable` objects that exist from `lake`; return their names. LakeError on failure."""
    there = {name for folder in (*LAKE_TABLES, SUMS_FOLDER) for name in lake.names(folder)}
    names = [name for name in prunable(read_manifest(lake), kept, before_ns) if name in there]
    for name in names if not dry_run else ():
        lake.remove(name)
    return names


def _merged(lake: LakeStore, group: Group) -> tuple[Segment, list[Sums]]:
    """Put a segment with the rows of `group` and its sums into `lake`, unnamed as yet."""
    table, first = LAKE_TABLES[group.table], group.segments[0]
    order = ("opened_ns", "call_id") if table.name == "usage" else table.key
    tables: list[pa.Table] = []
    for one in group.segments:
        file = read_segment(lake, one)
        if file.schema_arrow.equals(table.schema):
            tables.append(file.read())
            continue
        batches = file.iter_batches(ROW_GROUP_ROWS)  # of a former version
        records = (list(records_of(table, batch)) for batch in batches)
        tables += (pa.Table.from_batches([batch_of(table, facts)]) for facts in records)
    rows = pa.concat_tables(tables).sort_by([(name, "ascending") for name in order])
    groups = (
        rows.slice(begin, ROW_GROUP_ROWS) for begin in range(0, rows.num_rows, ROW_GROUP_ROWS)
    )
    made = written_segment(table, first.start_ns // DAY_NS, groups, first.journal)
    assert made is not None, "a segment has rows"
    segment, data = made
    lake.put(segment.name, data)
    keys = rows.select(table.key)  # which the file must hold, each once
    found = read_segment(lake, segment).read(columns=list(table.key)).select(table.key)
    once = keys.group_by(list(table.key)).aggregate([]).num_rows
    if not found.equals(keys) or once != keys.num_rows:
        raise LakeError(
            f"{segment.name}: does not hold the rows that it was made of, each once; nothing was replaced, "
            "look for what is wrong with: inferworks lake verify"
        )
    return segment, put_sums(lake, segment, read_segment(lake, segment))


def _commit(
    lake: LakeStore, group: Group, segment: Segment, sums: Sequence[Sums], at_ns: int
) -> bool:
    """Replace `group` by `segment` in the manifest; return False when a part of it was replaced before."""
    names = tuple(one.name for one in group.segments)
    while True:
        manifest = read_manifest(lake)
        if not {one.name for one in manifest.segments}.issuperset(names):
            return False
        old_sums = tuple(one.name for one in manifest.sums if one.of in names)
        replaced = Replaced(names, (segment.name,), old_sums, at_ns)
        if add_segments(lake, manifest, [segment], sums, [replaced]):
            return True
