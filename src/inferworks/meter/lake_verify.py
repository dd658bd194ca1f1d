"""Checking a lake: every segment is read back whole and held against the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as compute

from inferworks.errors import LakeError
from inferworks.meter.lake_manifest import Segment, read_manifest
from inferworks.meter.lake_schema import LAKE_TABLES, is_version_of, spans_of
from inferworks.meter.lake_seal import ROW_GROUP_ROWS, day_text, read_segment
from inferworks.meter.lakes.base import LakeStore


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as the manifest says."""

    name: str
    """The object."""
    what: str


class Verified(msgspec.Struct, frozen=True):
    """What checking a lake has found."""

    segments: int
    rows: int
    bytes: int
    findings: tuple[Finding, ...]
    unnamed: tuple[str, ...]
    """Objects that the manifest does not name: left by a sealing that was killed, and read by nobody."""


def verify(lake: LakeStore) -> Verified:
    """Read every segment of `lake` again; LakeError when the manifest itself cannot be read.

    Compares hashes, columns, row counts and days, and looks for a key that occurs twice. Holds the keys of
    one table and day, and one segment.
    """
    segments = read_manifest(lake).segments
    named = {segment.name for segment in segments}
    present = [name for table in LAKE_TABLES for name in lake.names(table)]
    findings = [finding for group in _by_day(segments) for finding in _check_day(lake, group)]
    return Verified(
        segments=len(segments),
        rows=sum(segment.rows for segment in segments),
        bytes=sum(segment.bytes for segment in segments),
        findings=tuple(findings),
        unnamed=tuple(name for name in present if name not in named),
    )


def _by_day(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """The segments of each table and day."""
    groups: dict[tuple[str, str], list[Segment]] = {}
    for segment in segments:
        groups.setdefault((segment.table, segment.day), []).append(segment)
    return iter(groups.values())


def _check_day(lake: LakeStore, segments: Sequence[Segment]) -> Iterator[Finding]:
    """What is wrong with the segments of one table and day, each and together."""
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
    keys, days = [], set()
    for batch in file.iter_batches(ROW_GROUP_ROWS):
        keys.append(batch.select(table.key))
        starts, _ = spans_of(table, batch)
        days |= {day_text(compute.min(starts).as_py()), day_text(compute.max(starts).as_py())}
    rows = sum(map(len, keys))
    if rows != segment.rows:
        raise LakeError(f"{segment.name}: has {rows} rows, not the {segment.rows} that were sealed")
    if days != {segment.day}:
        raise LakeError(f"{segment.name}: has rows of {', '.join(sorted(days))}")
    return pa.Table.from_batches(keys)
