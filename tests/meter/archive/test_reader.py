"""Rows move from the journal into the lake, each exactly once."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.lake_world import (
    DAY_1_NS,
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

from inferworks.clock import SimClock
from inferworks.errors import DataFolderError, LakeError
from inferworks.meter.activity import Received, record_reported
from inferworks.meter.archive.compact import compact, prune
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.manifest import add_segments, read_manifest
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import DAY_NS, Fact
from inferworks.meter.archive.seal import Sealed, seal
from inferworks.meter.events import Reported
from inferworks.meter.journal import Journal
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import Files, LocalLake
from inferworks.meter.lakes.object import object_lake
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.recover import recover
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Outcome, Usage
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_opened,
    make_step,
    make_usage,
)

pytestmark = pytest.mark.slow

DAY_1 = "2024-10-04"


def sealed(path: Path, lake: LakeStore, before_ns: int = FOREVER[1], **options: int) -> Sealed:
    """Seal the journal at `path`."""
    with SealingJournal(path) as journal:
        return seal(journal, lake, before_ns, **options)


@pytest.mark.parametrize(
    "make", [LocalLake, lambda _: MemoryLake(), lambda _: object_lake("memory://")]
)
def test_facts_are_the_same_before_and_after(make: type[LocalLake], tmp_path: Path) -> None:
    """The facts that the books read do not change when rows are sealed; the journal holds them no more."""
    path, lake = tmp_path / "journal.db", make(tmp_path / "lake")
    facts = facts_of_days(seed=1, rows=50, days=3)
    write(path, [*(make_opened(call_id=f"call-1-{n}") for n in range(50)), *facts])
    reader = LakeReader(lake, path)
    intervals = [
        FOREVER,
        *((DAY_1_NS + d * DAY_NS // 2, DAY_1_NS + (d + 2) * DAY_NS // 2) for d in range(6)),
    ]
    with JournalReader(path) as journal:
        before = [journal.facts(*interval) for interval in intervals]
    assert [reader.facts(*interval) for interval in intervals] == before
    result = sealed(path, lake, segment_rows=7)
    assert result.rows == len(facts)
    assert [reader.facts(*interval) for interval in intervals] == before
    check_each_row_once(lake, path, facts)
    with JournalReader(path) as journal:
        counts = journal.counts()
    assert (counts["opened"], counts["step"], counts["capacity"]) == (25, 0, 0)
    assert counts["usage"] == 25, "the calls that others reported stay known"
    assert sealed(path, lake) == Sealed(), "sealing again finds nothing to do"


def test_only_what_lies_before_the_bound_is_sealed(tmp_path: Path) -> None:
    """A row that reaches over the bound stays in the journal."""
    path, lake, bound_ns = tmp_path / "journal.db", MemoryLake(), DAY_1_NS + 1000
    facts: list[Fact] = []
    for name, end_ns in (("before", bound_ns), ("over", bound_ns + 1)):
        facts += [
            make_usage(call_id=name, opened_ns=end_ns - 1),
            make_step(replica=name, start_ns=DAY_1_NS, duration_ns=end_ns - DAY_1_NS),
            make_capacity(replica=name, start_ns=DAY_1_NS, end_ns=end_ns),
            make_activity(id_=name, start_ns=DAY_1_NS, end_ns=end_ns),
        ]
    write(path, facts)
    assert sealed(path, lake, bound_ns).rows == 4
    unsealed = LakeReader(lake, path).moment(*FOREVER).unsealed
    assert [usage.call_id for usage in unsealed.usages] == ["over"]
    assert [row.replica for row in (*unsealed.steps, *unsealed.capacity)] == ["over", "over"]
    assert [activity.id for activity in unsealed.activities] == ["over"]


def test_a_young_day_waits_for_more_rows(tmp_path: Path) -> None:
    """A day that is not over is sealed once it has enough rows, one that is over at once."""
    path, lake = tmp_path / "journal.db", MemoryLake()
    write(path, [make_usage(call_id=f"a{n}", opened_ns=DAY_1_NS + n) for n in range(3)])
    assert sealed(path, lake, DAY_1_NS + DAY_NS - 1, least_rows=4).rows == 0
    assert sealed(path, lake, DAY_1_NS + DAY_NS - 1, least_rows=3).rows == 3
    write(path, [make_usage(call_id="b", opened_ns=DAY_1_NS)])
    assert sealed(path, lake, DAY_1_NS + DAY_NS, least_rows=4).rows == 1


def test_late_rows_go_into_a_new_segment_of_their_day(tmp_path: Path) -> None:
    """Rows that arrive after their day was sealed go into another file of that day."""
    path, lake = tmp_path / "journal.db", MemoryLake()
    first, late = facts_of_days(1, rows=5, days=1), facts_of_days(2, rows=5, days=1)
    write(path, first)
    before = {segment.name for segment in sealed(path, lake).segments}
    write(path, late)
    after = sealed(path, lake).segments
    assert {segment.day for segment in after} == {DAY_1}
    assert not before & {segment.name for segment in after}
    check_each_row_once(lake, path, first + late)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    """A segment's content, and so its name, depends on its rows and not on their arrival."""
    facts = facts_of_days(3, rows=40)
    lakes = []
    for name, order in (("a", facts), ("b", facts[::-1])):
        write(tmp_path / name, order)
        lakes.append(MemoryLake())
        sealed(tmp_path / name, lakes[-1])
    segments = [
        {name: data for name, data in lake.objects.items() if name.endswith(".parquet")}
        for lake in lakes
    ]
    assert len(segments[0]) == 8 + 2 * 3, "a file of each table and day, and three of sums a day"
    assert segments[0] == segments[1]


def test_a_stranger_can_query_it(tmp_path: Path) -> None:
    """DuckDB reads the files by name, with the day as a column."""
    path, lake = tmp_path / "journal.db", LocalLake(tmp_path / "lake")
    write(path, facts_of_days(1, rows=30, days=2))
    sealed(path, lake)
    reader = LakeReader(lake, path)
    assert len(reader.files("usage", *FOREVER)) == 2
    assert len(reader.files("usage", DAY_1_NS + DAY_NS, FOREVER[1])) == 1
    query = (
        "SELECT CAST(day AS TEXT), count(*), sum(input_tokens) "
        "FROM read_parquet(?, hive_partitioning = true) GROUP BY 1 ORDER BY 1"
    )
    with duckdb.connect() as database:
        rows = database.execute(query, [reader.files("usage", *FOREVER)]).fetchall()
    assert [row[0] for row in rows] == [DAY_1, "2024-10-05"]
    assert sum(row[1] for row in rows) == 30
    assert sum(row[2] for row in rows) == 3000


def test_what_recovery_needs_stays(tmp_path: Path) -> None:
    """The steps since the oldest call that has not ended are kept, so that it can be recovered."""
    path, lake = tmp_path / "journal.db", MemoryLake()
    second_ns = 1_000_000_000
    parts = [("old", 9, 0, 9), ("old", 0, 1, 10), ("open", 10, 0, 10), ("old", 0, 1, 11)]
    steps = [
        make_step(part, seq=number, start_ns=DAY_1_NS + number * second_ns)
        for number, part in enumerate(parts)
    ]
    opened = make_opened(call_id="open", opened_ns=DAY_1_NS + 2 * second_ns)
    write(path, [*steps, make_opened(call_id="old"), make_usage(call_id="old"), opened])
    sealed(path, lake)
    assert [step.seq for step in LakeReader(lake, path).moment(*FOREVER).unsealed.steps] == [2, 3]
    asyncio.run(_recover(path))
    sealed(path, lake)
    facts = LakeReader(lake, path).facts(*FOREVER)
    assert list(facts.steps) == steps
    crashed = facts.usages[0]
    assert (crashed.call_id, crashed.outcome, crashed.tokens.input) == ("open", Outcome.CRASHED, 10)


async def _recover(path: Path) -> None:
    journal = Journal(SqliteStore(path))
    journal.start()
    with closing(journal):
        assert len((await recover(journal, SimClock(DAY_1_NS), [])).usages) == 1


def test_a_report_is_known_for_ever(tmp_path: Path) -> None:
    """After it was sealed, the same report again is a duplicate, and another body a conflict."""
    path, lake = tmp_path / "journal.db", MemoryLake()
    again: list[Reported] = [make_activity(start_ns=DAY_1_NS), make_usage(call_id="other/1")]
    other: list[Reported] = [
        make_activity(start_ns=DAY_1_NS, quantity=5),
        make_usage(call_id="other/1", customer="somebody else"),
    ]
    write(path, again)
    assert sealed(path, lake).rows == 2
    found = asyncio.run(_record(path, [*again, *other]))
    assert found == Received(received=4, accepted=0, duplicate=2, conflict=2)
    assert sealed(path, lake).rows == 0
    check_each_row_once(lake, path, again)


async def _record(path: Path, reports: Sequence[Reported]) -> Received:
    journal = Journal(SqliteStore(path))
    journal.start()
    with closing(journal):
        return await record_reported(journal, reports)


def test_a_kill_at_any_operation_is_harmless(tmp_path: Path) -> None:
    """Killed between any two kinds of operations, or within a write, each row is in exactly one place."""
    facts = [
        fact  # calls of two segments, and one of everything else
        for number, fact in enumerate(facts_of_days(4, rows=6, days=1))
        if isinstance(fact, Usage) or number < 12
    ]
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole / "journal.db", facts)
    operations = _killed_after(Doom(), tmp_path / "alive", whole, facts)
    assert len(operations) > 60
    moments = moments_of(operations)
    for number in moments:
        done = _killed_after(Doom(number), tmp_path / str(number), whole, facts)
        assert done == operations[:number]


def _killed_after(doom: Doom, folder: Path, whole: Path, facts: Sequence[Fact]) -> list[str]:
    """Seal until `doom` comes; return the operations that happened."""
    shutil.copytree(whole, folder)
    path, lake = folder / "journal.db", LocalLake(folder / "lake")
    try:
        with DoomedJournal(path, doom) as journal:
            seal(journal, LocalLake(folder / "lake", DoomedFiles(doom)), FOREVER[1], segment_rows=5)
    except Killed:
        check_each_row_once(lake, path, facts)
    sealed(path, lake, segment_rows=5)
    check_each_row_once(lake, path, facts)
    assert not LakeReader(lake, path).verify(sums=True).findings
    shutil.rmtree(folder)
    return doom.done


def test_a_real_kill_is_harmless(tmp_path: Path) -> None:
    """A process that journals and seals is killed, and another; every row it journaled is there once.

    Kills at every kind of operation are tested above, within this process.
    """
    path, lake, chance = tmp_path / "journal.db", LocalLake(tmp_path / "lake"), random.Random(5)
    for seed in range(2):
        _killed_process(tmp_path, seed, chance)
        facts: list[Fact] = []
        seen = {activity.id for activity in LakeReader(lake, path).facts(*FOREVER).activities}
        for known in range(seed + 1):
            for number in range(1000):
                wanted = facts_of_days(known * 1000 + number, rows=20)
                if f"{known * 1000 + number}-0" not in seen:
                    break
                facts += wanted
        check_each_row_once(lake, path, facts)
    sealed(path, lake)
    check_each_row_once(lake, path, facts)
    assert not LakeReader(lake, path).verify(sums=True).findings


def _killed_process(folder: Path, seed: int, chance: random.Random) -> None:
    """Run the sealer until it has sealed a few times, then kill it at a random moment."""
    command = [sys.executable, "-m", "tests.meter.archive.lake_sealer", str(folder), str(seed)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == b"sealed\n"
        time.sleep(chance.random() * 0.2)
        process.kill()


class LateLake(MemoryLake):
    """A lake in which somebody else seals just before our commit."""

    path: Path
    others = 0

    def create(self, name: str, data: bytes) -> bool:
        """Let the other go first, a few times."""
        if self.others:
            self.others -= 1
            with SealingJournal(self.path) as journal:
                seal(journal, self, FOREVER[1], segment_rows=3)
        return super().create(name, data)


@pytest.mark.parametrize("others", [1, 2])
def test_of_two_sealers_one_wins(others: int, tmp_path: Path) -> None:
    """The sealer that commits second starts over with the rest; no row is sealed twice."""
    lake, lake.path, lake.others = LateLake(), tmp_path / "journal.db", others
    facts = facts_of_days(6, rows=10)
    write(lake.path, facts)
    result = sealed(lake.path, lake)
    assert result.rows == 0, "the other one has sealed everything"
    check_each_row_once(lake, lake.path, facts)


def test_sealers_and_readers_at_once(tmp_path: Path) -> None:
    """While several seal and the journal grows, every reader sees each row once at each moment."""
    path, lake = tmp_path / "journal.db", LocalLake(tmp_path / "lake")
    store = SqliteStore(path)
    store.open()
    over, failures = threading.Event(), []

    def keep_sealing() -> None:
        try:
            while not over.is_set():
                sealed(path, lake, segment_rows=11)
        except BaseException as error:  # noqa: BLE001 told by the test
            failures.append(error)

    sealers = [threading.Thread(target=keep_sealing) for _ in range(2)]
    facts: list[Fact] = []
    try:
        for sealer in sealers:
            sealer.start()
        for seed in range(12):
            new = facts_of_days(seed, rows=8)
            store.write(new)
            facts += new
            found = LakeReader(lake, path).facts(*FOREVER)
            assert len(found.usages) == len(found.steps) == len(found.activities) == len(facts) // 4
            assert len({usage.call_id for usage in found.usages}) == len(facts) // 4
    finally:
        over.set()
        for sealer in sealers:
            sealer.join()
        store.close()
    assert not failures
    check_each_row_once(lake, path, facts)


class FullDisk(Files):
    """A disk that is full from the n-th write on."""

    def __init__(self, room: int) -> None:
        self._room = room

    def write(self, path: Path, data: bytes) -> None:
        """Write while there is room."""
        self._room -= 1
        if self._room < 0:
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(path, data)


@pytest.mark.parametrize("room", range(10))
def test_a_full_disk_stops_sealing_and_loses_nothing(room: int, tmp_path: Path) -> None:
    """Sealing says that the disk is full, and goes on when it is not."""
    path, facts = tmp_path / "journal.db", facts_of_days(7, rows=6)
    write(path, facts)
    lake = LocalLake(tmp_path / "lake")
    if room < 9:  # eight segments and a commit
        with pytest.raises(LakeError, match="No space left on device"):
            sealed(path, LocalLake(tmp_path / "lake", FullDisk(room)))
    check_each_row_once(lake, path, facts)
    sealed(path, lake)
    check_each_row_once(lake, path, facts)


def test_verify_names_what_differs(tmp_path: Path) -> None:
    """A segment that is cut short, changed or missing is named; so is a file that nobody asked for."""
    path, lake = tmp_path / "journal.db", MemoryLake()
    write(path, facts_of_days(8, rows=20))
    cut, changed, missing, *_ = [segment.name for segment in sealed(path, lake).segments]
    reader = LakeReader(lake, path)
    good = reader.verify()
    assert (good.segments, good.rows, good.findings, good.unnamed) == (8, 80, (), ())
    lake.objects[cut] = lake.objects[cut][:-100]
    lake.objects[changed] = lake.objects[changed].replace(b"PAR1", b"PAR2", 1)
    del lake.objects[missing]
    lake.put("usage/day=2024-10-04/left-over.parquet", b"half")
    found = reader.verify()
    assert [finding.name for finding in found.findings] == [cut, changed, missing]
    assert "are not the" in found.findings[0].what
    assert "is missing from the lake" in found.findings[2].what
    assert found.unnamed == ("usage/day=2024-10-04/left-over.parquet",)
    with pytest.raises(LakeError, match="are not the"):
        reader.facts(*FOREVER)


def test_verify_finds_a_row_that_is_sealed_twice(tmp_path: Path) -> None:
    """Should a row ever stand in two segments of a day, that is named."""
    lake = MemoryLake()
    for name, extra in (("a", []), ("b", [make_usage(call_id="more", opened_ns=DAY_1_NS)])):
        write(tmp_path / name, [make_usage(opened_ns=DAY_1_NS), *extra])
        sealed(tmp_path / name, lake)
    [finding] = LakeReader(lake).verify().findings
    assert finding.what == "1 rows occur twice in 2 segments of that day"


def test_a_damaged_segment_never_empties_the_journal(tmp_path: Path) -> None:
    """Rows leave the journal only after their file was read back whole."""
    path, facts = tmp_path / "journal.db", facts_of_days(9, rows=5, days=1)

    class Forgetful(MemoryLake):
        """A lake that loses what it has promised to keep."""

        def put(self, name: str, data: bytes) -> None:
            super().put(name, data[:-1])

    write(path, facts)
    with pytest.raises(LakeError, match="are not the"):
        sealed(path, Forgetful())
    with JournalReader(path) as reader:
        assert reader.counts()["usage"] == 5, "not even one"


def test_a_journal_restored_from_a_backup_doubles_nothing(tmp_path: Path) -> None:
    """Rows that come back with an old copy of the journal are still sealed, and are not sealed again."""
    path, lake, facts = tmp_path / "journal.db", MemoryLake(), facts_of_days(10, rows=8)
    write(path, facts)
    shutil.copy(path, tmp_path / "backup.db")
    sealed(path, lake)
    shutil.copy(tmp_path / "backup.db", path)
    check_each_row_once(lake, path, facts)
    assert sealed(path, lake).rows == 0
    check_each_row_once(lake, path, facts)


def test_another_lake_is_refused(tmp_path: Path) -> None:
    """A journal whose sealed rows are elsewhere is neither read nor sealed with the wrong lake."""
    path = tmp_path / "journal.db"
    write(path, facts_of_days(11, rows=3))
    sealed(path, LocalLake(tmp_path / "right"))
    wrong = LocalLake(tmp_path / "wrong")
    with pytest.raises(LakeError, match=r"lacks \d segments .*; set lake\.url to where they are"):
        LakeReader(wrong, path).facts(*FOREVER)
    with pytest.raises(LakeError, match="lacks"):
        sealed(path, wrong)


def test_two_journals_share_a_lake(tmp_path: Path) -> None:
    """Rows of one journal are not taken for those of another with the same keys."""
    lake = MemoryLake()
    a, b = make_capacity(start_ns=DAY_1_NS), make_capacity(start_ns=DAY_1_NS, node="node-2")
    for name, row in (("a", a), ("b", b)):
        write(tmp_path / name, [row])
        assert sealed(tmp_path / name, lake).rows == 1
    assert set(LakeReader(lake, tmp_path / "a").facts(*FOREVER).capacity) == {a, b}


def test_a_journal_of_before_can_be_sealed(tmp_path: Path) -> None:
    """A journal that was made before there was a lake is read, and sealed, like any other."""
    path, lake, facts = tmp_path / "journal.db", MemoryLake(), facts_of_days(12, rows=3)
    write(path, facts)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TABLE sealed_segment")
        database.execute("DROP TABLE sealed_activity")
        database.execute("DELETE FROM meta WHERE key = 'journal_id'")
    check_each_row_once(lake, path, facts)
    sealed(path, lake)
    check_each_row_once(lake, path, facts)


def test_no_journal_is_one_clear_line(tmp_path: Path) -> None:
    """Sealing where nothing was ever journaled says so; reading gives what the lake has."""
    with pytest.raises(DataFolderError, match="there is no journal"):
        SealingJournal(tmp_path / "journal.db")
    assert not LakeReader(MemoryLake(), tmp_path / "journal.db").facts(*FOREVER).usages


def test_stopping_leaves_the_rest_for_the_next_time(tmp_path: Path) -> None:
    """Asked to stop at any point, sealing stops in order, and the next one goes on."""
    facts = facts_of_days(13, rows=6)
    for number in range(14):
        path, lake = tmp_path / f"{number}.db", MemoryLake()
        write(path, facts)
        answers = iter([False] * number)
        with SealingJournal(path) as journal:
            seal(journal, lake, FOREVER[1], stopped=lambda answers=answers: next(answers, True))
        check_each_row_once(lake, path, facts)
        sealed(path, lake)
        check_each_row_once(lake, path, facts)


def test_a_long_manifest_is_read_from_its_newest_summary(tmp_path: Path) -> None:
    """All segments are found, however many commits there are, and few files are read."""
    lake = MemoryLake()
    path, facts = tmp_path / "journal.db", facts_of_days(14, rows=20)
    write(path, facts)
    segments = sealed(path, lake, segment_rows=1).segments
    assert len(segments) == 80
    other = MemoryLake()
    for segment in segments:
        assert add_segments(other, read_manifest(other), [segment])
    for version in range(1, 64):
        del other.objects[f"manifest/{version:08d}.json"]
        other.objects[f"manifest/{version:08d}.json"] = b"never read"
    assert read_manifest(other).segments == segments


@pytest.mark.parametrize(
    "body", [b"{", b"{}", b'{"format":4,"version":1,"complete":true,"segments":[]}']
)
def test_a_manifest_that_cannot_be_read_is_refused(body: bytes) -> None:
    """A damaged commit, or one of a newer program, is one clear line and not an empty lake."""
    lake = MemoryLake()
    lake.put("manifest/00000001.json", body)
    with pytest.raises(LakeError, match=r"manifest/00000001\.json: is "):
        read_manifest(lake)


OPERATION = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 6)),
    st.tuples(st.just("seal"), st.integers(0, 3)),
    st.tuples(st.just("kill"), st.integers(0, 25)),
    st.tuples(st.just("compact"), st.integers(2, 9)),
    st.tuples(st.just("prune"), st.integers(0, 9)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(OPERATION, min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 4))
def test_any_schedule_keeps_every_row_once(
    tmp_path_factory: pytest.TempPathFactory,
    schedule: Sequence[tuple[str, int]],
    segment_rows: int,
    least_rows: int,
) -> None:
    """After any writes, sealings, compactions and kills: journal rows = sealed rows + unsealed rows."""
    folder = tmp_path_factory.mktemp("schedule")
    path, lake = folder / "journal.db", LocalLake(folder / "lake")
    facts = facts_of_days(99, rows=1)
    write(path, facts)
    for seed, (operation, number) in enumerate(schedule):
        if operation == "write":
            new = facts_of_days(seed, rows=number, days=3)
            write(path, new)
            facts = facts + new
        elif operation == "seal":
            before_ns = DAY_1_NS + number * DAY_NS
            sealed(path, lake, before_ns, segment_rows=segment_rows, least_rows=least_rows)
        elif operation == "compact":
            with SealingJournal(path) as journal:
                seals = journal.seals()
            compact(lake, [seals], (), seed, largest_rows=number)
        elif operation == "prune":
            prune(lake, (), number)
        else:
            _seal_until_killed(path, folder / "lake", Doom(number), segment_rows)
        check_each_row_once(lake, path, facts)
    shutil.rmtree(folder)


def _seal_until_killed(path: Path, lake: Path, doom: Doom, segment_rows: int) -> None:
    try:
        with DoomedJournal(path, doom) as journal:
            seal(journal, LocalLake(lake, DoomedFiles(doom)), FOREVER[1], segment_rows=segment_rows)
    except Killed:
        pass
