"""Small segments of a day become one; nobody loses a row, and what a close names stays."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.command_line import document, run
from tests.support.lake_world import (
    FOREVER,
    Doom,
    DoomedFiles,
    DoomedJournal,
    Killed,
    check_each_row_once,
    facts_of_days,
    moments_of,
    write,
)

from inferworks.errors import DataFolderError, LakeError
from inferworks.folder import DataFolder
from inferworks.meter.archive.compact import Compacted, compact, prune
from inferworks.meter.archive.journal import SealingJournal, Seals
from inferworks.meter.archive.manifest import Manifest, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import Fact
from inferworks.meter.archive.seal import Sealed, seal
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.lakes.stub import MemoryLake


def sealed(path: Path, lake: LakeStore, rows: int = 3) -> Sealed:
    """Seal the journal at `path` into segments of a few rows."""
    with SealingJournal(path) as journal:
        return seal(journal, lake, FOREVER[1], segment_rows=rows)


def seals_of(path: Path) -> Seals:
    """Seals that the journal at `path` knows of its lake."""
    with SealingJournal(path) as journal:
        return journal.seals()


def compacted(path: Path, lake: LakeStore, **options: int) -> Compacted:
    """Compact the lake of the journal at `path`."""
    return compact(lake, [seals_of(path)], (), 10, **options)


def names(manifest: Manifest) -> set[str]:
    """The segments that count."""
    return {segment.name for segment in manifest.segments}


@pytest.mark.slow
def test_small_segments_of_a_day_become_one(tmp_path: Path) -> None:
    """With the same rows and sums of its own; the old files stay until they are pruned, no longer."""
    path, lake, facts = tmp_path / "journal.db", MemoryLake(), facts_of_days(1, rows=20)
    write(path, facts)
    before = names(read_manifest(lake)) | {s.name for s in sealed(path, lake).segments}
    reader = LakeReader(lake, path)
    found = reader.facts(*FOREVER)
    assert len(compacted(path, lake).after) == 8
    manifest = read_manifest(lake)
    assert len(manifest.segments) == 8
    assert {(one.of, one.kind) for one in manifest.sums} == {
        (segment.name, kind)
        for segment in manifest.segments
        for kind in {"usage": ("calls", "attempts"), "capacity": ("intervals",)}.get(
            segment.table, ()
        )
    }
    assert reader.facts(*FOREVER) == found
    check_each_row_once(lake, path, facts)
    assert before <= set(lake.objects)
    verified = reader.verify(sums=True)
    assert (verified.findings, verified.unnamed) == ((), ())
    assert compacted(path, lake) == Compacted()
    assert prune(lake, (), 10) == [], "they were replaced just now"
    kept = min(before)
    removed = prune(lake, {kept}, 11)
    assert before & set(lake.objects) == {kept}
    assert len(removed) > len(before) - 1, "sums go too"
    assert not reader.verify(sums=True).findings
    late = facts_of_days(2, rows=4)
    write(path, late)
    sealed(path, lake)
    compacted(path, lake)
    check_each_row_once(lake, path, [*facts, *late])
    assert sealed(path, lake) == Sealed()


def test_what_must_stay_is_left(tmp_path: Path) -> None:
    """Segments that a close names, those of another journal, large ones, and those not done with."""
    path, lake, facts = tmp_path / "journal.db", MemoryLake(), facts_of_days(3, rows=12, days=1)
    write(path, facts)
    segments = sealed(path, lake).segments
    kept = {segment.name for segment in segments if segment.table != "usage"}
    seals = seals_of(path)
    nothing = Seals(seals.journal, frozenset())
    assert compact(lake, [nothing], (), 1) == Compacted(), "the journal may still hold their rows"
    with pytest.raises(LakeError, match="1 other journals"):
        compact(lake, [Seals("another", frozenset())], (), 1)
    assert compact(lake, [seals], (), 1, largest_rows=5) == Compacted(), "of 3 rows each"
    done = compact(lake, [seals], kept, 1, largest_rows=6)
    assert {segment.table for segment in done.after} == {"usage"}
    assert [segment.rows for segment in done.after] == [6, 6]
    assert kept <= names(read_manifest(lake))
    check_each_row_once(lake, path, facts)


@pytest.mark.slow
def test_a_reader_of_before_and_a_journal_of_before_find_each_row_once(tmp_path: Path) -> None:
    """A reader with the old manifest reads the old files; a journal from a backup knows no new ones."""
    path, lake, facts = tmp_path / "journal.db", MemoryLake(), facts_of_days(4, rows=10)
    write(path, facts)
    shutil.copy(path, tmp_path / "backup.db")  # nobody has it open, so it is whole
    sealed(path, lake)
    moment = LakeReader(lake, path).moment(*FOREVER)
    compacted(path, lake)
    old = LakeReader(lake, path).sealed(
        [segment for some in moment.segments.values() for segment in some], *FOREVER
    )
    assert len(old.usages) == 10
    for journal in (path, tmp_path / "backup.db"):
        check_each_row_once(lake, journal, facts)
    sealed(tmp_path / "backup.db", lake)
    check_each_row_once(lake, tmp_path / "backup.db", facts)


class Crowd(MemoryLake):
    """A lake in which somebody else commits just before us, a few times."""

    meanwhile: Callable[[], None]
    others = 0

    def create(self, name: str, data: bytes) -> bool:
        """Let the others go first."""
        if self.others:
            self.others -= 1
            self.meanwhile()
        return super().create(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("other", ["seals", "compacts"])
def test_somebody_else_commits_meanwhile(other: str, tmp_path: Path) -> None:
    """A concurrent sealer is no hindrance; one that compacts the same files has done it already."""
    path, lake, facts = tmp_path / "journal.db", Crowd(), facts_of_days(5, rows=10, days=1)
    write(path, facts)
    sealed(path, lake)
    late = facts_of_days(6, rows=5)

    def meanwhile() -> None:
        others, lake.others = lake.others, 0
        if other == "seals":
            write(path, late)
            sealed(path, lake)
        else:
            compacted(path, lake)
        lake.others = others

    lake.meanwhile, lake.others = meanwhile, 1
    done = compacted(path, lake)
    assert len(done.after) == (4 if other == "seals" else 0)
    check_each_row_once(lake, path, [*facts, *late] if other == "seals" else facts)
    assert not LakeReader(lake, path).verify(sums=True).findings


@pytest.mark.slow
def test_a_kill_at_any_operation_is_harmless(tmp_path: Path) -> None:
    """Compacting, sealing and pruning in turn, killed between any two kinds of operations or in a write."""
    facts, late = facts_of_days(7, rows=2, days=1), facts_of_days(8, rows=1, days=1)
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole / "journal.db", facts)
    sealed(whole / "journal.db", LocalLake(whole / "lake"), 2)
    write(whole / "journal.db", late)
    operations = _killed_after(Doom(), tmp_path / "alive", whole, [*facts, *late])
    assert len(operations) > 40
    for number in moments_of(operations):
        done = _killed_after(Doom(number), tmp_path / str(number), whole, [*facts, *late])
        assert done == operations[:number]


def _killed_after(doom: Doom, folder: Path, whole: Path, facts: Sequence[Fact]) -> list[str]:
    """Compact, seal and prune until `doom` comes; return the operations that happened."""
    shutil.copytree(whole, folder)
    path = folder / "journal.db"
    doomed, lake = LocalLake(folder / "lake", DoomedFiles(doom)), LocalLake(folder / "lake")
    try:
        compact(doomed, [seals_of(path)], (), 1)
        with DoomedJournal(path, doom) as journal:
            seal(journal, doomed, FOREVER[1], segment_rows=5)
        prune(doomed, (), 2)
    except Killed:
        check_each_row_once(lake, path, facts)
    compact(lake, [seals_of(path)], (), 1)
    sealed(path, lake, 5)
    prune(lake, (), 2)
    check_each_row_once(lake, path, facts)
    assert not LakeReader(lake, path).verify(sums=True).findings
    shutil.rmtree(folder)
    return doom.done


@pytest.mark.slow
def test_a_long_row_of_commits_is_read_from_its_newest_summary(tmp_path: Path) -> None:
    """The newest summary is enough also when segments were replaced before it and after."""
    path, lake, dice = tmp_path / "journal.db", MemoryLake(), random.Random(9)
    facts: list[Fact] = []
    for seed in range(45):
        new = facts_of_days(seed, rows=2, days=1)
        write(path, new)
        facts += new
        sealed(path, lake)
        if dice.random() < 0.2:
            compacted(path, lake)
    check_each_row_once(lake, path, facts)
    assert read_manifest(lake).version > 64
    assert not LakeReader(lake, path).verify(sums=True).findings


BILL = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ServiceCategory,"
    "ResourceId\n9.00,USD,2024-10-04T00:00:00Z,2024-10-06T00:00:00Z,A Cloud,Networking,\n"
)


@pytest.mark.slow
def test_a_closed_period_verifies_whatever_is_compacted(tmp_path: Path) -> None:
    """The files that it names stay, others of the same days are put together; nothing is late for it."""
    data = tmp_path / "data"
    DataFolder(data).create()
    (tmp_path / "bill.csv").write_text(BILL)
    run("books", "import", tmp_path / "bill.csv", "--data", data)
    facts = facts_of_days(1, rows=6)
    for some in (facts[: len(facts) // 2], facts[len(facts) // 2 :]):
        write(data / "journal.db", some)
        run("lake", "seal", "--data", data, "--all")
    assert "TABLE" in run("lake", "compact", "--data", data, "--dry-run").stdout
    told = document("lake", "compact", "--data", data)
    assert told["files_before"] == 2 * told["files_after"] > 0
    run("books", "close", "2024-10", "--data", data)
    closed = run("books", "statement", "--period", "2024-10", "--data", data).stdout
    named = names(read_manifest(LocalLake(data / "lake")))
    for seed in (2, 3):
        write(data / "journal.db", facts_of_days(seed, rows=4))
        run("lake", "seal", "--data", data, "--all")
    late = run("books", "statement", "--period", "2024-10", "--data", data).stdout
    assert late != closed, "what came late is shown beside"
    run("lake", "compact", "--data", data)
    manifest = read_manifest(LocalLake(data / "lake"))
    assert named <= names(manifest)
    assert len(manifest.segments) == 2 * len(named)
    assert "files were removed" in run("lake", "prune", "--older-than", "0", "--data", data).stdout
    assert run("books", "statement", "--period", "2024-10", "--data", data).stdout == late
    run("books", "verify", "--data", data)
    run("lake", "verify", "--sums", "--data", data)


def test_nobody_closes_while_files_are_replaced(tmp_path: Path) -> None:
    """A close names files; many may name at once, and one may replace when nobody does."""
    folder = DataFolder(tmp_path)

    def refused(*, changing: bool) -> None:
        with pytest.raises(DataFolderError, match="try again"):
            folder.keep_lake(changing=changing).__enter__()

    with folder.keep_lake(changing=False), folder.keep_lake(changing=False):
        refused(changing=True)
    with folder.keep_lake(changing=True):
        refused(changing=False)
    with folder.keep_lake(changing=True):
        refused(changing=True)
