"""One lake of several nodes, read by those that archive into it and by a machine with no journal."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.lake_world import DAY_1_NS, FOREVER, facts_of_days, write

from inferworks.meter.archive.journal import SealingJournal, UnsealedReader
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import DAY_NS
from inferworks.meter.archive.seal import seal
from inferworks.meter.facts import in_force, joined
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Record, Retracted
from inferworks.testing.facts import make_activity, make_capacity

LATER_NS = DAY_1_NS + 10 * DAY_NS
REPORT = make_activity(id_="wrong", start_ns=DAY_1_NS, end_ns=DAY_1_NS + 5)
RETRACTION = Retracted(REPORT.source, REPORT.id, DAY_1_NS, DAY_1_NS + 5, LATER_NS, "ops", "wrong")


def node(folder: Path, *records: Record) -> Path:
    """The journal of a node, with these records."""
    folder.mkdir()
    write(folder / "journal.db", records)
    return folder / "journal.db"


def archived(journal: Path, lake: LakeStore) -> int:
    """Archive all of a journal; return how many rows."""
    with SealingJournal(journal) as sealing:
        return seal(sealing, lake, LATER_NS).rows


@pytest.fixture(params=["folder", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> LakeStore:
    """A lake that is beside no journal."""
    return LocalLake(tmp_path / "common") if request.param == "folder" else MemoryLake()


def test_every_machine_has_all_nodes(tmp_path: Path, lake: LakeStore) -> None:
    """Each node, and a machine without a journal, reads what both have archived, once."""
    ours, theirs = facts_of_days(1, 20), facts_of_days(2, 20)
    one, other = node(tmp_path / "one", *ours), node(tmp_path / "other", *theirs)
    with JournalReader(one) as first, JournalReader(other) as second:
        whole = joined(first.facts(*FOREVER), second.facts(*FOREVER))
        of_one = first.facts(*FOREVER)
    assert archived(one, lake) == len(ours)
    assert LakeReader(lake, other).facts(*FOREVER) == whole, "its own are not archived yet"
    assert archived(other, lake) == len(theirs)
    nowhere = tmp_path / "books" / "journal.db"
    for journals in ([one], [other], [nowhere], []):
        reader = LakeReader(lake, *journals)
        assert reader.facts(*FOREVER) == whole
        assert len(list(reader.calls(*FOREVER))) == len(whole.usages)
        assert reader.verify().findings == ()
    assert of_one != whole


def test_a_retraction_counts_on_every_machine(tmp_path: Path, lake: LakeStore) -> None:
    """A retraction stays in the journal that took it, and is in the lake once for all others."""
    one = node(tmp_path / "one", REPORT)
    other = node(tmp_path / "other", make_capacity(start_ns=DAY_1_NS, end_ns=DAY_1_NS + 9))
    archived(one, lake)
    assert LakeReader(lake, other).facts(*FOREVER).activities == (REPORT,)
    write(one, [RETRACTION])
    assert archived(one, lake) == 1
    assert archived(one, lake) == 0
    with UnsealedReader(one) as reader:
        assert tuple(reader.retracted(*FOREVER)) == (RETRACTION,)
        assert reader.unsealed_counts()["retracted"] == 0
    for journals in ([one], [other], []):
        reader_of = LakeReader(lake, *journals)
        facts = reader_of.facts(*FOREVER)
        assert facts.retracted == (RETRACTION,)
        assert in_force(facts).activities == ()
        moment = reader_of.moment(*FOREVER)
        assert moment.unsealed.retracted == (RETRACTION,)
        assert not moment.segments["retracted"], "engines leave out what the facts in memory say"
        assert reader_of.verify().findings == ()
    assert not LakeReader(lake).facts(LATER_NS, LATER_NS + 1).retracted


def test_a_killed_archiving_of_a_retraction_is_settled(tmp_path: Path) -> None:
    """Committed and not yet noted in the journal, it is there once all the same."""
    one, lake = node(tmp_path / "one", REPORT, RETRACTION), MemoryLake()

    class Killed(SealingJournal):
        def forget(self, *_: object) -> None:
            raise KeyboardInterrupt

    with Killed(one) as sealing, pytest.raises(KeyboardInterrupt):
        seal(sealing, lake, LATER_NS)
    assert LakeReader(lake, one).facts(*FOREVER).retracted == (RETRACTION,)
    assert archived(one, lake) == 0
    assert LakeReader(lake, one).facts(*FOREVER).retracted == (RETRACTION,)
