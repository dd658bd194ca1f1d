"""Damage to a lake is noticed, whatever it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from tests.support.lake_world import DAY_1_NS, FOREVER, facts_of_days, write

from inferworks.errors import LakeError
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.manifest import add_segments, read_commit, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.seal import seal, sum_up
from inferworks.meter.archive.sums import kinds_of
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.scrub import scrub_lake
from inferworks.testing.facts import make_usage

FIRST, SECOND = "manifest/00000001.json", "manifest/00000002.json"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that is sealed into `lake` in two commits, the first with segments of each table."""
    path = tmp_path / "journal.db"
    write(path, facts_of_days(1, rows=2, days=1))
    return path


@pytest.fixture
def lake(journal: Path) -> MemoryLake:
    """The lake of `journal`."""
    lake = MemoryLake()
    seal_all(journal, lake)
    write(journal, [make_usage(call_id="late", opened_ns=DAY_1_NS)])
    seal_all(journal, lake)
    assert sorted(name for name in lake.objects if name.startswith("manifest/")) == [FIRST, SECOND]
    return lake


def seal_all(journal: Path, lake: MemoryLake) -> None:
    """Seal whatever there is."""
    with SealingJournal(journal) as sealing:
        seal(sealing, lake, FOREVER[1])


def wrong(lake: MemoryLake, journal: Path | None = None) -> set[str]:
    """The objects with which `lake verify` finds something wrong."""
    reader = LakeReader(lake, *([journal] if journal else ()))
    return {finding.name for finding in reader.verify().findings}


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_every_flipped_byte_of_the_manifest_is_noticed(name: str, lake: MemoryLake) -> None:
    """Verifying names the commit, and no reader takes it for what was written."""
    data = lake.objects[name]
    assert not wrong(lake)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        lake.objects[name] = bytes(damaged)
        with pytest.raises(LakeError, match=rf"^{name}: "):
            read_manifest(lake)
    lake.objects[name] = bytes(damaged)
    assert name in wrong(lake)


@pytest.mark.slow
def test_every_flipped_byte_of_a_segment_is_noticed(lake: MemoryLake) -> None:
    """A file of rows with any byte changed is named."""
    name = read_manifest(lake).segments[-1].name
    data = lake.objects[name]
    for place in range(0, len(data), len(data) // 50):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        lake.objects[name] = bytes(damaged)
        assert wrong(lake) == {name}, f"byte {place}"


def test_a_lake_that_is_gone_is_noticed(lake: MemoryLake, journal: Path) -> None:
    """An empty folder is a whole lake in itself; the journal knows better."""
    lake.objects.clear()
    assert not wrong(lake)
    assert wrong(lake, journal) == {SECOND}
    with pytest.raises(LakeError, match="lacks"):
        LakeReader(lake, journal).facts(*FOREVER)


@pytest.mark.parametrize("lost", [(FIRST,), (SECOND,), (FIRST, SECOND)], ids=str)
def test_a_lost_commit_is_noticed(lost: tuple[str, ...], lake: MemoryLake, journal: Path) -> None:
    """The first, the newest or all of them."""
    for name in lost:
        del lake.objects[name]
    assert wrong(lake, journal) & {*lost, SECOND}
    with pytest.raises(LakeError):
        LakeReader(lake, journal).facts(*FOREVER)


def test_an_older_copy_is_noticed_before_any_row_has_left(lake: MemoryLake, journal: Path) -> None:
    """An older copy is noticed even with all of the journal's segments: others may have sealed since."""
    other = journal.with_name("other.db")
    write(other, [make_usage(call_id="other", opened_ns=DAY_1_NS)])
    seal_all(other, lake)
    seal_all(journal, lake)
    del lake.objects["manifest/00000003.json"]
    assert wrong(lake, journal) == {"manifest/00000003.json"}
    with pytest.raises(LakeError, match=r"ends with commit 2.*has seen its commit 3.*older copy"):
        LakeReader(lake, journal).facts(*FOREVER)


def test_a_commit_of_another_history_is_noticed(lake: MemoryLake, journal: Path) -> None:
    """The newest commit rewritten with a right checksum is not the one that the journal has seen."""
    body = msgspec.json.encode(msgspec.structs.replace(read_commit(lake, 2)[0], segments=()))
    checksum = hashlib.sha256(body).hexdigest()
    lake.objects[SECOND] = body[:-1] + f',"sha256":"{checksum}"}}'.encode()
    assert SECOND in wrong(lake, journal)
    with pytest.raises(LakeError, match=r"lacks|has seen"):
        LakeReader(lake, journal).facts(*FOREVER)


def of_before_with(lake: MemoryLake) -> dict[str, Any]:
    """The first commit of `lake` without checksums and sums, as former versions wrote it."""
    segments = [msgspec.to_builtins(segment) for segment in read_manifest(lake).segments]
    return {"format": 1, "version": 1, "complete": False, "segments": segments}


def of_before(lake: MemoryLake) -> dict[str, Any]:
    """Make one commit without checksums of all that `lake` has, as former versions wrote them."""
    segments = [msgspec.to_builtins(segment) for segment in read_manifest(lake).segments]
    del lake.objects[SECOND]
    return {"format": 1, "version": 1, "complete": False, "segments": segments}


def test_a_lake_of_before_is_read_and_vouched_for(lake: MemoryLake, journal: Path) -> None:
    """Commits without checksums count; the next one names their hash, and then no byte changes unseen."""
    journal = journal.with_name("new.db")
    former = msgspec.json.encode(of_before(lake))
    lake.objects[FIRST] = former
    known = LakeReader(lake).verify()
    assert (known.findings, known.commits, known.unchecked) == ((), 1, 1)
    write(journal, [make_usage(call_id="new", opened_ns=DAY_1_NS)])
    seal_all(journal, lake)
    known = LakeReader(lake, journal).verify()
    assert (known.findings, known.commits, known.unchecked) == ((), 2, 1)
    for place in range(len(former)):
        damaged = bytearray(former)
        damaged[place] ^= 1 << place % 8
        lake.objects[FIRST] = bytes(damaged)
        with pytest.raises(LakeError, match=rf"^{FIRST}: "):
            read_manifest(lake)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("table", "step"),
        ("day", "1995-01-01"),
        ("rows", 7),
        ("bytes", 7),
        ("sha256", "0" * 64),
        ("start_ns", 1995),
        ("end_ns", 2**62),
        ("first_key", ["x"]),
        ("last_key", ["x"]),
        ("journal", "x"),
        ("name", "usage/day=1995-01-01/x.parquet"),
    ],
)
def test_a_wrong_word_of_before_is_noticed(
    field: str, value: object, lake: MemoryLake, journal: Path
) -> None:
    """Without checksums, what a commit says of a segment is still computed again."""
    commit = of_before(lake)
    usage = next(segment for segment in commit["segments"] if segment["table"] == "usage")
    usage[field] = value
    lake.objects[FIRST] = msgspec.json.encode(commit)
    found = {finding.name for finding in LakeReader(lake, journal).verify().findings}
    assert usage["name"] in found


def sums_in(lake: MemoryLake) -> list[str]:
    """The files of sums."""
    return sorted(name for name in lake.objects if name.startswith("sums/"))


def test_sums_are_held_against_their_rows(lake: MemoryLake, journal: Path) -> None:
    """A file of sums that is gone, damaged or lies is named; making them anew mends all three."""
    reader = LakeReader(lake, journal)
    gone, damaged, *_ = sums_in(lake)
    del lake.objects[gone]
    lake.objects[damaged] = lake.objects[damaged][::-1]
    assert wrong(lake, journal) == {gone, damaged}
    assert [not piece.findings for piece in scrub_lake(lake, journal)].count(False) == 1
    facts = reader.facts(*FOREVER)
    sum_up(lake, anew=True)
    assert not reader.verify(sums=True).findings
    manifest = read_manifest(lake)
    honest = next(one for one in manifest.sums if one.kind == "calls")
    rows = pq.read_table(pa.BufferReader(lake.objects[honest.name]))
    place = rows.schema.get_field_index("calls")
    sink = pa.BufferOutputStream()
    pq.write_table(rows.set_column(place, "calls", pa.array([77])), sink)
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    liar = replace(honest, name="sums/liar", bytes=len(data), sha256=digest)
    lake.put(liar.name, data)
    assert add_segments(lake, manifest, (), [liar])
    assert not wrong(lake, journal), "it is what was written"
    assert [finding.name for finding in reader.verify(sums=True).findings] == [liar.name]
    sum_up(lake, anew=True)
    assert not reader.verify(sums=True).findings
    assert reader.facts(*FOREVER) == facts


def test_a_lake_of_before_gets_sums(lake: MemoryLake, journal: Path) -> None:
    """Segments sealed without sums are summed by the command, once."""
    lake.objects = {n: data for n, data in lake.objects.items() if not n.startswith("sums/")}
    del lake.objects[SECOND]
    lake.objects[FIRST] = msgspec.json.encode(of_before_with(lake))
    assert not read_manifest(lake).sums
    written = sum_up(lake)
    assert {(one.of, one.kind) for one in written} == {
        (segment.name, kind)
        for segment in read_manifest(lake).segments
        for kind in kinds_of(segment.table)
    }
    assert sum_up(lake) == []
    assert not LakeReader(lake).verify(sums=True).findings


def test_a_summary_says_what_was_said_before(lake: MemoryLake) -> None:
    """The commit that repeats all segments is held against those that it repeats."""
    [*_, late] = read_manifest(lake).segments
    while (manifest := read_manifest(lake)).version < 31:
        assert add_segments(lake, manifest, ())
    assert not wrong(lake)
    others = [msgspec.structs.replace(late, start_ns=0), *manifest.segments[1:]]
    assert add_segments(lake, msgspec.structs.replace(manifest, segments=tuple(others)), ())
    assert "manifest/00000032.json" in wrong(lake)
