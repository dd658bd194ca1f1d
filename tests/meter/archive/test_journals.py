"""Several journals of one folder are read and archived as one: each row once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.lake_world import DAY_1_NS, FOREVER, facts_of_days, write

from inferworks.errors import LakeError
from inferworks.folder import DataFolder
from inferworks.meter.archive.compact import compact
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.seal import seal_all
from inferworks.meter.facts import Facts, joined
from inferworks.meter.inflight_log import InflightLog
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Usage
from inferworks.testing.facts import make_opened, make_step, make_usage

pytestmark = pytest.mark.slow


def folder_with(tmp_path: Path, workers: int) -> tuple[DataFolder, list[Usage]]:
    """A folder with steps in the first journal, and calls in those of the workers, interleaved."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    write(folder.journal, [fact for fact in facts_of_days(1, rows=6) if not own_call(fact)])
    usages = [make_usage(call_id=f"call_{n:02}", opened_ns=DAY_1_NS + n) for n in range(20)]
    for number in range(workers):
        write(folder.worker_journal(number + 1), usages[number::workers])
    return folder, usages


def own_call(fact: object) -> bool:
    """Return whether `fact` is the record of a call that was made here."""
    return isinstance(fact, Usage) and "/" not in fact.call_id


def facts_of(folder: DataFolder, lake: MemoryLake) -> Facts:
    """All facts of `folder`, as the books read them."""
    return LakeReader(lake, *folder.journals()).facts(*FOREVER)


def test_journals_are_those_of_workers_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """An empty file is a journal being made, and files of other names are none."""
    folder = DataFolder(tmp_path)
    for number in (10, 9, 2):
        folder.worker_journal(number).write_bytes(b"x")
    for name in ("journal-1.db", "journal-0.db", "journal-x.db", "journal-2.db-wal"):
        (tmp_path / name).touch()
    names = ["journal.db", "journal-2.db", "journal-9.db", "journal-10.db"]
    assert [path.name for path in folder.journals()] == names
    assert [path.name for path in folder.written_journals()] == names[1:]
    assert folder.is_ours(folder.worker_journal(3))


def test_every_call_of_every_journal_is_read_once_and_in_order(tmp_path: Path) -> None:
    """Sealed or not, and with all else that a single journal would give."""
    folder, usages = folder_with(tmp_path, 3)
    lake = MemoryLake()
    with JournalsReader(folder.journals()) as reader:
        assert [u for u in reader.usages(*FOREVER) if own_call(u)] == usages
        assert reader.counts()["usage"] == len(list(reader.usages(*FOREVER)))
        assert reader.latest_ns(FOREVER[1])[0] >= usages[-1].closed_ns
        assert reader.first_ns() == usages[0].opened_ns
        before = reader.facts(*FOREVER)
    assert list(before.usages) == sorted(before.usages, key=lambda u: (u.opened_ns, u.call_id))
    assert facts_of(folder, lake) == before
    seal_all(folder.written_journals(), lake, DAY_1_NS + 10)
    assert facts_of(folder, lake) == before
    sealed = seal_all(folder.written_journals(), lake, FOREVER[1])
    assert len({segment.journal for segment in sealed.segments}) == 4
    assert facts_of(folder, lake) == before
    calls = list(LakeReader(lake, *folder.journals()).calls(*FOREVER))
    assert sorted(calls, key=lambda u: (u.opened_ns, u.call_id)) == list(before.usages)
    with JournalsReader(folder.journals()) as reader:
        assert reader.unsealed_counts() == dict.fromkeys(
            ("usage", "step", "capacity", "activity", "retracted"), 0
        )


def test_a_journal_less_would_be_noticed_and_a_wrong_lake_is(tmp_path: Path) -> None:
    """Each journal holds the lake to what it has seen of it."""
    folder, _ = folder_with(tmp_path, 2)
    lake = MemoryLake()
    seal_all(folder.written_journals(), lake, FOREVER[1])
    assert not LakeReader(lake, *folder.journals()).verify(sums=True).findings
    with pytest.raises(LakeError, match="lacks"):
        LakeReader(MemoryLake(), folder.worker_journal(2)).facts(*FOREVER)


def test_compaction_keeps_the_files_of_journals_apart(tmp_path: Path) -> None:
    """A file has rows of one journal, and every row stays where it can be found once."""
    folder, _ = folder_with(tmp_path, 2)
    lake = MemoryLake()
    for before_ns in (DAY_1_NS + 7, DAY_1_NS + 13, FOREVER[1]):
        seal_all(folder.written_journals(), lake, before_ns)
    before = facts_of(folder, lake)
    with JournalsReader(folder.journals()) as reader:
        journals = reader.seals()
    with pytest.raises(LakeError, match="other journals"):
        compact(lake, journals[:1], (), 1)
    done = compact(lake, journals, (), 1)
    assert {segment.journal for segment in done.after} == {seals.journal for seals in journals[1:]}
    assert facts_of(folder, lake) == before
    reader_of_all = LakeReader(lake, *folder.journals())
    assert not reader_of_all.verify(sums=True).findings
    assert len([s for s in read_manifest(lake).segments if s.table == "usage"]) >= 2


def test_steps_stay_while_a_call_of_any_journal_is_open(tmp_path: Path) -> None:
    """Recovery of a worker's call looks for its steps in the first journal."""
    folder = DataFolder(tmp_path)
    write(folder.journal, [make_step(start_ns=DAY_1_NS + 5, duration_ns=5)])
    write(folder.worker_journal(1), [make_usage(call_id="call_0", opened_ns=DAY_1_NS)])
    openings = InflightLog(folder.worker_journal(1))
    openings.open()
    openings.append(make_opened(call_id="call_1", opened_ns=DAY_1_NS + 1))
    try:
        with JournalsReader(folder.journals()) as reader:
            assert [opened.call_id for opened in reader.opened_unclosed()] == ["call_1"]
        sealed = seal_all(folder.written_journals(), MemoryLake(), FOREVER[1])
        assert [segment.table for segment in sealed.segments] == ["usage"]
        with SealingJournal(folder.journal) as alone:
            assert [due.table for due in alone.due(FOREVER[1])] == ["step"]
    finally:
        openings.close()


def test_what_is_in_quarantine_anywhere_is_shown(tmp_path: Path) -> None:
    """A worker's damaged line holds up a close as one of the first journal does."""
    folder = DataFolder(tmp_path)
    write(folder.journal, [Quarantined("a", "1", "odd", "{}", None)])
    write(folder.worker_journal(1), [Quarantined("b", "2", "odd", "{}", None)])
    with JournalsReader(folder.written_journals()) as reader:
        assert [one.source for one in reader.quarantined()] == ["a", "b"]


def test_facts_of_none_are_none() -> None:
    """A folder without a journal has no facts, counts nothing and has never used anything."""
    with JournalsReader([]) as reader:
        assert reader.facts(*FOREVER) == joined() == Facts((), (), (), ())
        assert (reader.counts(), reader.seals(), reader.latest_ns(1)) == ({}, [], (0, 0))
        assert reader.first_ns() is None
