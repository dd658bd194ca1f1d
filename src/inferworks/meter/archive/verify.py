"""Checking a lake: the manifest's chain, then every segment with its sums, read back and held against it.

A commit's entry for a segment is computed again from the segment: hash, size, rows, day, span, first and
last key. So a wrong entry is noticed in commits without checksums, too. The manifest is compared with the
journal's newest known commit, since a lake that was restored from an older copy is consistent in itself.

A file of sums must be as written, for one segment that exists. On request the sums are computed again from
the segment's rows, which takes about as long as writing them did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from inferworks.arrow import compute, pa
from inferworks.errors import LakeError
from inferworks.meter.archive.journal import Seals
from inferworks.meter.archive.manifest import (
    Commit,
    Manifest,
    Segment,
    check_follows,
    commit_name,
    manifest_of,
    newest_version,
    read_commit,
)
from inferworks.meter.archive.schema import LAKE_TABLES, is_version_of, spans_of
from inferworks.meter.archive.seal import (
    REMEDY,
    ROW_GROUP_ROWS,
    check_lake,
    day_text,
    key_at,
    read_segment,
    read_sums,
    segment_name,
)
from inferworks.meter.archive.sums import KINDS, SUMS_FOLDER, same_sums, segment_of
from inferworks.meter.lakes.base import LakeStore


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as the manifest says."""

    name: str
    """The object."""
    what: str


class Verified(msgspec.Struct, frozen=True):
    """Result of checking a lake."""

    commits: int
    unchecked: int
    """Commits without checksums, of before there were any; the next one vouches for each of them."""
    segments: int
    rows: int
    bytes: int
    sums: int
    """Files of sums."""
    findings: tuple[Finding, ...]
    unnamed: tuple[str, ...]
    """Objects that the manifest never named: left by an archiving that was killed, never read."""


class Commits(NamedTuple):
    """The whole manifest, as far as it can be read."""

    manifest: Manifest
    unchecked: int
    findings: tuple[Finding, ...]


def verify(
    lake: LakeStore, journals: Sequence[Seals] = (), *, recomputed: bool = False
) -> Verified:
    """Read every commit, segment and file of sums of `lake` again; LakeError when it cannot be listed.

    `journals` are their records of the lake. With `recomputed`, sums are computed again from the rows.
    Holds the keys of one table and day, and one segment.
    """
    commits = read_commits(lake, journals)
    segments, sums = commits.manifest.segments, commits.manifest.sums
    named = {segment.name for segment in segments} | {one.name for one in sums}
    named |= commits.manifest.gone | {
        name for one in commits.manifest.replaced for name in one.sums
    }
    present = [name for folder in (*LAKE_TABLES, SUMS_FOLDER) for name in lake.names(folder)]
    findings = [finding for group in by_day(segments) for finding in check_day(lake, group)]
    findings += check_sums(lake, commits.manifest, recomputed=recomputed)
    return Verified(
        commits=commits.manifest.version,
        unchecked=commits.unchecked,
        segments=len(segments),
        rows=sum(segment.rows for segment in segments),
        bytes=sum(segment.bytes for segment in segments) + sum(one.bytes for one in sums),
        sums=len(sums),
        findings=(*commits.findings, *findings),
        unnamed=tuple(name for name in present if name not in named),
    )


def read_commits(lake: LakeStore, journals: Sequence[Seals]) -> Commits:
    """Every commit of `lake`, each held against the one before and the newest against `journals`."""
    told: list[Commit] = []
    hashes: dict[int, str] = {}
    findings: list[Finding] = []
    unchecked, newest = 0, newest_version(lake)
    for version in range(1, newest + 1):
        try:
            commit, hashes[version] = read_commit(lake, version)
        except LakeError as error:
            findings.append(Finding(commit_name(version), str(error)))
            continue
        unchecked += not commit.is_checked
        try:
            check_follows(lake, commit, hashes.get(version - 1, commit.previous))
        except LakeError as error:
            findings.append(Finding(commit_name(version - 1), str(error)))
        before = manifest_of(version, told, {})
        if commit.complete and not findings and not _says_all(before, commit):
            what = f"{commit_name(version)}: does not say of all segments what those before it say"
            findings.append(Finding(commit_name(version), what))
        told.append(commit)
    manifest = manifest_of(newest, told, hashes)
    for seals in journals:  # a journal's own record
        try:
            check_lake(seals, manifest, lake.url)
        except LakeError as error:
            findings.append(Finding(commit_name(seals.head.version), str(error)))
        for segment in manifest.segments:
            if segment.name in seals.segments and segment.journal != seals.journal:
                what = f"{segment.name}: was sealed from this journal, the manifest names another"
                findings.append(Finding(segment.name, what))
    return Commits(manifest, unchecked, tuple(findings))


def _says_all(before: Manifest, last: Commit) -> bool:
    """Return whether the complete commit `last` repeats everything that came before it."""
    alone = manifest_of(last.version, [last], {})
    kept = tuple(segment for segment in before.segments if segment.name not in alone.gone)
    sums = {(one.of, one.kind) for one in before.sums if one.of not in alone.gone}
    return (
        (alone.segments, alone.sums) == (last.segments, last.sums)
        and last.segments[: len(kept)] == kept
        and last.replaced[: len(before.replaced)] == before.replaced
        and sums <= {(one.of, one.kind) for one in last.sums}
    )


def check_sums(lake: LakeStore, manifest: Manifest, *, recomputed: bool) -> Iterator[Finding]:
    """Yield faults in the sums named by `manifest`; compare with their rows if `recomputed`."""
    segments = {segment.name: segment for segment in manifest.segments}
    for sums in manifest.sums:
        try:
            file, segment = read_sums(lake, sums), segments.get(sums.of)
            told = segment_of(file), file.metadata.num_rows
            if segment is None or told != (sums.of, sums.rows):
                raise LakeError(f"{sums.name}: is not of the segment {sums.of}; {REMEDY}")
            if recomputed and sums.kind in KINDS:
                rows = read_segment(lake, segment)
                if not same_sums(segment, rows, sums.kind, file.read()):
                    raise LakeError(
                        f"{sums.name}: is not what the rows of {sums.of} come to; {REMEDY}"
                    )
        except LakeError as error:
            yield Finding(sums.name, str(error))


def by_day(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """The segments of each table and day."""
    groups: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        groups.setdefault((segment.table, segment.day), []).append(segment)
    return iter(groups.values())


def check_day(lake: LakeStore, segments: Sequence[Segment]) -> Iterator[Finding]:
    """Yield faults in the segments of one table and day, each and together."""
    table = LAKE_TABLES[segments[0].table]
    names, keys = [], []
    for segment in segments:
        try:
            keys.append(_checked_keys(lake, segment))
            names.append(segment.name)
        except LakeError as error:
            yield Finding(segment.name, str(error))
    if keys:
        columns = list(table.key)
        counted = pa.concat_tables(keys).group_by(columns).aggregate([([], "count_all")])
        twice = counted.filter(compute.greater(counted["count_all"], 1)).num_rows
        if twice:
            yield Finding(
                names[0], f"{twice} rows occur twice in {len(names)} segments of that day"
            )


def _checked_keys(lake: LakeStore, segment: Segment) -> pa.Table:
    """The keys in `segment`; LakeError when it is not as the manifest says."""
    table = LAKE_TABLES[segment.table]
    file = read_segment(lake, segment)
    if not is_version_of(table, file.schema_arrow):
        raise LakeError(f"{segment.name}: its columns are not those of {segment.table}")
    keys: list[pa.RecordBatch] = []
    starts: list[int] = []
    ends: list[int] = []
    for batch in file.iter_batches(ROW_GROUP_ROWS):
        keys.append(batch.select(table.key))
        start_ns, end_ns = spans_of(table, batch)
        starts += [compute.min(start_ns).as_py(), compute.max(start_ns).as_py()]
        ends.append(compute.max(end_ns).as_py())
    found = msgspec.structs.replace(
        segment,
        name=segment_name(segment.table, day_text(min(starts)), segment.sha256),
        day=day_text(max(starts)),
        rows=sum(map(len, keys)),
        start_ns=min(starts),
        end_ns=max(ends),
        first_key=key_at(table, keys[0], 0),
        last_key=key_at(table, keys[-1], -1),
    )
    for name in segment.__struct_fields__:
        told, is_ = getattr(segment, name), getattr(found, name)
        if told != is_:
            raise LakeError(f"{segment.name}: its {name} is {is_}, the manifest says {told}")
    return pa.Table.from_batches(keys)
