"""Reading a journal: which facts belong to an interval, in which order, and what is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.errors import DamagedError, DataFolderError
from inferworks.ids import CallId, ReplicaId
from inferworks.meter.capacity import State
from inferworks.meter.events import reported_call_id
from inferworks.meter.facts import NO_FACTS
from inferworks.meter.reader import JournalReader, check_version, ended, reading
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.tables import SCHEMA_VERSION
from inferworks.meter.usage import Checkpoint
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_opened,
    make_step,
    make_usage,
)

FOREVER = 2**63 - 1
START_NS, END_NS = 1_000, 2_000
ONE, TWO = ReplicaId("replica-1"), ReplicaId("replica-2")


def spans() -> dict[str, tuple[int, int]]:
    """Intervals by where they lie to that of `START_NS` and `END_NS`."""
    return {
        "before": (900, START_NS),
        "into": (900, START_NS + 1),
        "whole": (START_NS, END_NS),
        "around": (900, 2_100),
        "out of": (END_NS - 1, 2_100),
        "after": (END_NS, 2_100),
    }


INSIDE = ["around", "into", "out of", "whole"]


def records() -> list[Record]:
    """Facts of each kind in each of the intervals, written in no order."""
    found: list[Record] = [
        make_usage(call_id=f"at-{at_ns}", opened_ns=at_ns)
        for at_ns in (END_NS, START_NS - 1, END_NS - 1, START_NS)
    ]
    for name, (start_ns, end_ns) in spans().items():
        found += [
            make_step(replica=name, start_ns=start_ns, duration_ns=end_ns - start_ns),
            make_capacity(replica=name, start_ns=start_ns, end_ns=end_ns),
            make_activity(id_=name, start_ns=start_ns, end_ns=end_ns),
            Retracted("partner", name, start_ns, end_ns, 5, "ann", "twice"),
        ]
    found += [
        make_step(replica="point", start_ns=START_NS, duration_ns=0),
        make_usage(call_id=reported_call_id("part/ner", "b"), opened_ns=1),
        make_usage(call_id=reported_call_id("part/ner", "a"), opened_ns=2),
        make_usage(call_id=reported_call_id("part", "a"), opened_ns=3),
        make_opened(call_id="open"),
        make_opened(call_id="at-1000"),
        Quarantined("spool", "9", "cut off", "body", None),
        Quarantined("spool", "1", "cut off", "other", "kept"),
    ]
    return found


def written(path: Path, *records_: Record) -> Path:
    """A journal in the folder `path` with these records."""
    with closing(SqliteStore(path / "journal.db")) as store:
        store.open()
        store.write(records_)
    return path / "journal.db"


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with facts around an interval."""
    return written(tmp_path_factory.mktemp("journal"), *records())


@pytest.fixture(name="reader")
def _reader(path: Path) -> Iterator[JournalReader]:
    """A reader of it."""
    with JournalReader(path) as reader:
        yield reader


def test_an_empty_journal_has_nothing(tmp_path: Path) -> None:
    """Every question has an answer."""
    with JournalReader(written(tmp_path)) as reader:
        assert reader.facts(0, FOREVER) == NO_FACTS
        assert reader.newest_row() == 0
        assert reader.latest_ns(5) == (0, 0)
        assert reader.first_ns() is None
        assert reader.sources() == []
        assert list(reader.opened_unclosed()) == list(reader.quarantined()) == []
        assert reader.checkpoint(CallId("x")) is None
        assert reader.cursor("x") is None
        assert reader.covered_ns(ONE) == 0
        assert set(reader.counts().values()) == {0}


def test_a_usage_belongs_to_the_interval_in_which_it_was_opened(reader: JournalReader) -> None:
    """By time, whatever the order in which they were written; adjoining intervals share none."""
    found = [usage.call_id for usage in reader.usages(START_NS, END_NS)]
    assert found == ["at-1000", "at-1999"]
    both = [*reader.usages(0, START_NS), *reader.usages(START_NS, END_NS)]
    assert both == list(reader.usages(0, END_NS))
    assert list(reader.usages(START_NS, START_NS)) == []


def test_calls_opened_at_once_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """So two readers see the same."""
    calls = [make_usage(call_id=name, opened_ns=5) for name in ("b", "c", "a")]
    with JournalReader(written(tmp_path, *calls)) as reader:
        assert [usage.call_id for usage in reader.usages(0, 9)] == ["a", "b", "c"]


def test_other_facts_belong_to_every_interval_that_they_overlap(reader: JournalReader) -> None:
    """Whole, each in the order of its key; one that only touches an edge belongs to the neighbour."""
    facts = reader.facts(START_NS, END_NS)
    assert [step.replica for step in facts.steps] == sorted([*INSIDE, "point"])
    assert [row.replica for row in facts.capacity] == INSIDE
    assert [activity.id for activity in facts.activities] == INSIDE
    assert [one.id for one in facts.retracted] == INSIDE
    assert facts.capacity[0].start_ns == 900
    assert facts.usages == tuple(reader.usages(START_NS, END_NS))


def test_a_fact_without_length_belongs_where_it_starts(reader: JournalReader) -> None:
    """As does one that touches the interval's first moment, and not its last."""
    assert [step.replica for step in reader.steps(ReplicaId("point"), START_NS, END_NS)] == [
        "point"
    ]
    assert list(reader.steps(ReplicaId("point"), START_NS - 1, START_NS)) == []
    assert list(reader.steps(ReplicaId("point"), START_NS + 1, END_NS)) == []


def test_steps_of_one_replica_are_its_own(reader: JournalReader) -> None:
    """Of a replica that nobody knows there are none."""
    assert [step.replica for step in reader.steps(ReplicaId("into"), 0, FOREVER)] == ["into"]
    assert list(reader.steps(ReplicaId("nobody"), 0, FOREVER)) == []


def test_of_earlier_steps_only_the_last_can_reach_into_an_interval(tmp_path: Path) -> None:
    """Ten steps that follow each other: an interval in the seventh begins with it, and with no other."""
    steps = [make_step(seq=n, start_ns=10 * n, duration_ns=10) for n in range(10)]
    with JournalReader(written(tmp_path, *steps[::-1])) as reader:
        assert [step.seq for step in reader.steps(None, 65, 85)] == [6, 7, 8]
        assert [step.seq for step in reader.steps(ONE, 60, 80)] == [6, 7]
        assert [step.seq for step in reader.steps(ONE, 100, 200)] == []


def test_capacity_of_an_interval_is_by_state(tmp_path: Path) -> None:
    """Rows of the same time in a fixed order."""
    states = (State.LOADING, State.ACTIVE, State.IDLE)
    rows = [make_capacity(state=one, start_ns=0, end_ns=9, duration_ns=3) for one in states]
    with JournalReader(written(tmp_path, *rows)) as reader:
        found = [row.state for row in reader.capacity(0, 9)]
    assert found == [State.ACTIVE, State.IDLE, State.LOADING]


def test_the_newest_usages_are_those_written_last(reader: JournalReader) -> None:
    """In the order of writing; of more than are wanted the last, and none after the newest."""
    newest = reader.newest_row()
    assert newest == 7
    assert [usage.call_id for usage in reader.arrived(0, 99)][:2] == ["at-2000", "at-999"]
    assert [usage.call_id for usage in reader.arrived(0, 2)] == ["part%2Fner/a", "part/a"]
    assert [usage.call_id for usage in reader.arrived(newest - 1, 99)] == ["part/a"]
    assert list(reader.arrived(newest, 99)) == []


@pytest.mark.parametrize(
    ("now_ns", "happened_ns"), [(0, 0), (5, 5), (7, 7), (10, 10), (15, 12), (30, 30), (60, 50)]
)
def test_the_latest_moment_is_that_of_what_has_begun(
    tmp_path: Path, now_ns: int, happened_ns: int
) -> None:
    """A call from 5 to 12, an interval from 7 to 10 and an activity from 20 to 50; no later than now."""
    call = make_usage(opened_ns=5)
    journal = written(
        tmp_path,
        type(call)(**{f: getattr(call, f) for f in call.__struct_fields__} | {"closed_ns": 12}),
        make_capacity(start_ns=7, end_ns=10),
        make_activity(start_ns=20, end_ns=50),
    )
    with JournalReader(journal) as reader:
        assert reader.latest_ns(now_ns) == (happened_ns, 50)
        assert reader.first_ns() == 5


def test_reports_are_found_by_their_source(reader: JournalReader) -> None:
    """Activities first, then calls by id; a source whose name another begins with is another."""
    assert [one.id for one in reader.reported("trainer") if hasattr(one, "id")] == sorted(spans())
    found = [getattr(one, "call_id", "") for one in reader.reported("part/ner")]
    assert found == ["part%2Fner/a", "part%2Fner/b"]
    assert [getattr(one, "call_id", "") for one in reader.reported("part")] == ["part/a"]
    assert list(reader.reported("nobody")) == []


def test_sources_are_all_under_which_something_was_reported(reader: JournalReader) -> None:
    """In order, decoded, each once; our own calls have none."""
    assert reader.sources() == ["part", "part/ner", "trainer"]


def test_known_records_are_found_by_their_names(reader: JournalReader) -> None:
    """Names of records that are not there are absent."""
    names = [("trainer", "into"), ("trainer", "nothing"), ("partner", "into")]
    assert list(reader.known_activities(names)) == [("trainer", "into")]
    assert list(reader.known_retracted(names)) == [("partner", "into")]
    assert list(reader.known_usages([CallId("at-999"), CallId("none")])) == ["at-999"]
    assert reader.known_activities([]) == reader.known_usages([]) == {}


def test_a_call_is_open_until_it_has_a_usage(reader: JournalReader, path: Path) -> None:
    """Calls that an older version left open are rows."""
    assert [call.call_id for call in reader.opened_unclosed()] == ["open"]
    with closing(sqlite3.connect(path)) as database:
        assert ended(database, [CallId("at-1000"), CallId("open")]) == {"at-1000"}
        assert ended(database, []) == set()


def test_the_newest_checkpoint_of_a_call_counts(tmp_path: Path) -> None:
    """Of one without any there is none."""
    call = CallId("call_1")
    first, last = (Checkpoint(call, at_ns, make_leg(), 10) for at_ns in (1, 2))
    with JournalReader(written(tmp_path, first, last)) as reader:
        assert reader.checkpoint(call) == last
        assert reader.checkpoint(CallId("call_2")) is None


def test_a_spool_is_read_up_to_its_newest_cursor(tmp_path: Path) -> None:
    """Of a replica's spools the one that reaches furthest counts."""
    node = make_capacity().node
    one = SpoolCursor("a", ONE, node, 5, State.IDLE, 70, 1)
    other = SpoolCursor("b", ONE, node, 9, State.DOWN, 60, 2, finished=True)
    with JournalReader(written(tmp_path, one, other)) as reader:
        assert (reader.cursor("a"), reader.cursor("b"), reader.cursor("c")) == (one, other, None)
        assert (reader.covered_ns(ONE), reader.covered_ns(TWO)) == (70, 0)


def test_quarantined_records_are_in_the_order_of_arrival(reader: JournalReader) -> None:
    """With the body that holds their place, if that is why."""
    found = [(one.key, one.existing) for one in reader.quarantined()]
    assert found == [("9", None), ("1", "kept")]


def test_rows_are_counted_by_table(reader: JournalReader) -> None:
    """Every table has a number."""
    counts = reader.counts()
    assert (counts["usage"], counts["step"], counts["capacity"]) == (7, 7, 6)
    assert (counts["activity"], counts["retracted"], counts["quarantine"]) == (6, 6, 2)


def test_a_journal_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """In one line, and no file is made."""
    path = tmp_path / "journal.db"
    with pytest.raises(DataFolderError) as refused:
        JournalReader(path)
    assert str(refused.value).startswith(f"cannot read the journal {path}: ")
    assert str(refused.value).endswith("; check the data folder's name")
    assert not path.exists()


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        ((), "is empty: it is only just being made, or was emptied"),
        (("CREATE TABLE other (x)",), "is not a journal; name another data folder"),
        (("CREATE TABLE meta (key, value)",), "is of schema version None, this program writes"),
        (
            ("CREATE TABLE meta (key, value)", "INSERT INTO meta VALUES ('schema_version', '99')"),
            f"is of schema version 99, this program writes {SCHEMA_VERSION}; use the version",
        ),
    ],
    ids=["empty", "another program's", "without a version", "newer"],
)
def test_what_is_no_journal_of_ours_is_refused(
    tmp_path: Path, statements: tuple[str, ...], text: str
) -> None:
    """Nothing is guessed from a file that this program does not know."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)
        with pytest.raises(DataFolderError) as refused:
            check_version(database, path)
    assert text in str(refused.value)
    with pytest.raises(DataFolderError, match="journal"):
        JournalReader(path)


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    """The line says what to do."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError) as refused:
        JournalReader(path)
    assert str(refused.value).startswith(f"the journal {path} is damaged: ")
    assert str(refused.value).endswith("; restore the data folder from a backup (docs/backup.md)")


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("UPDATE usage SET customer = 'other' WHERE call_id = 'call_1'", "usages"),
        ("UPDATE activity SET quantity = quantity + 1", "activities"),
        ("UPDATE capacity SET duration_ns = duration_ns - 1", "capacity"),
    ],
)
def test_a_row_that_the_disk_has_changed_is_damage(tmp_path: Path, change: str, read: str) -> None:
    """No figure is drawn from it, and what is read beside it is not in doubt."""
    path = written(tmp_path, make_usage(), make_activity(), make_capacity())
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change)
    with JournalReader(path) as reader:
        with pytest.raises(DamagedError, match=rf"the journal {path} is damaged: .*restore"):
            list(getattr(reader, read)(0, FOREVER))
        with pytest.raises(DamagedError):
            reader.facts(0, FOREVER)
        assert reader.newest_row() == 1  # the reader goes on after what it met


def test_errors_of_reading_are_one_line(tmp_path: Path) -> None:
    """Damage, and a file that cannot be read now, each with its remedy; other errors stay as they are."""
    path = tmp_path / "journal.db"
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    with pytest.raises(DataFolderError) as refused, reading(path):
        raise locked
    assert str(refused.value) == f"cannot read the journal {path}: database is locked; try again"
    with pytest.raises(DamagedError, match="is damaged: row 5"), reading(path):
        raise DamagedError("row 5")
    with pytest.raises(KeyError), reading(path):
        raise KeyError("x")


def test_a_reader_that_is_closed_reads_no_more(path: Path) -> None:
    """Closing is for good."""
    with JournalReader(path) as reader:
        pass
    with pytest.raises(DataFolderError, match="Cannot operate on a closed database"):
        reader.newest_row()
