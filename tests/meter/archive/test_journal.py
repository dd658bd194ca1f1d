"""The journal's side of archiving: what is due, what leaves, and what must stay."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.errors import DamagedError, DataFolderError, JournalError
from inferworks.meter.archive.journal import Due, Key, SealingJournal, Seals, UnsealedReader
from inferworks.meter.archive.manifest import Head
from inferworks.meter.archive.schema import DAY_NS, LAKE_TABLES
from inferworks.meter.events import reported_call_id
from inferworks.meter.record import Record
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_opened,
    make_step,
    make_usage,
)

USAGE, STEP, CAPACITY, ACTIVITY = (
    LAKE_TABLES[name] for name in ("usage", "step", "capacity", "activity")
)
Written = Callable[..., SqliteStore]


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An open journal."""
    with closing(SqliteStore(tmp_path / "journal.db")) as store:
        store.open()
        yield store


@pytest.fixture(name="journal")
def _journal(store: SqliteStore, tmp_path: Path) -> Iterator[SealingJournal]:
    """The same for archiving."""
    with SealingJournal(tmp_path / "journal.db") as journal:
        yield journal


def rows_of_all_tables(start_ns: int) -> list[Record]:
    """A row of each table that begins at a moment and lasts ten nanoseconds."""
    name = f"at-{start_ns}"
    return [
        make_usage(call_id=name, opened_ns=start_ns),
        make_step(replica=name, start_ns=start_ns, duration_ns=10),
        make_capacity(replica=name, start_ns=start_ns, end_ns=start_ns + 10),
        make_activity(id_=name, start_ns=start_ns, end_ns=start_ns + 10),
    ]


def call_ids(
    journal: SealingJournal, day: int = 0, before_ns: int = DAY_NS, most: int = 99
) -> list[str]:
    """The calls that are due on a day."""
    return [getattr(one, "call_id", "") for one in journal.facts(USAGE, day, before_ns, most)]


def test_nothing_is_due_in_an_empty_journal(journal: SealingJournal) -> None:
    """Even so it has an id of its own; it has seen nothing of a lake."""
    assert journal.due(2**62) == []
    assert call_ids(journal) == []
    seals = journal.seals()
    assert seals.journal
    assert (seals.segments, seals.head) == (frozenset(), Head(0, ""))


def test_rows_are_due_by_table_and_day(store: SqliteStore, journal: SealingJournal) -> None:
    """On the day on which they begin, also before 1970; only what is over before the bound."""
    for start_ns in (-1, 0, 5, DAY_NS - 20, DAY_NS):
        store.write(rows_of_all_tables(start_ns))
    tables = ("usage", "step", "capacity", "activity")
    assert journal.due(2 * DAY_NS) == [
        Due(table, day, rows) for table in tables for day, rows in ((-1, 1), (0, 3), (1, 1))
    ]
    assert journal.due(-DAY_NS) == []


def test_a_row_that_reaches_over_the_bound_is_not_due(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """A call is due once it was opened before; all else once it has ended."""
    store.write(rows_of_all_tables(100))
    assert journal.due(100) == []
    assert journal.due(101) == journal.due(109) == [Due("usage", 0, 1)]
    assert len(journal.due(110)) == 4


def test_facts_come_in_the_order_of_their_keys_and_calls_in_that_of_time(
    store: SqliteStore, journal: SealingJournal
) -> None:
    """As many as are wanted, of that day alone."""
    opened = {"c": 5, "a": 7, "b": 7, "d": DAY_NS}
    store.write([make_usage(call_id=name, opened_ns=at_ns) for name, at_ns in opened.items()])
    assert call_ids(journal, 0, 2 * DAY_NS) == ["c", "a", "b"]
    assert call_ids(journal, 0, 2 * DAY_NS, most=2) == ["c", "a"]
    assert call_ids(journal, 0, 7) == ["c"]
    assert call_ids(journal, 1, 2 * DAY_NS) == ["d"]
    store.write([make_capacity(replica=name, start_ns=5, end_ns=9) for name in ("b", "a")])
    assert [row.replica for row in journal.facts(CAPACITY, 0, DAY_NS, 9)] == ["a", "b"]  # type: ignore[union-attr]


def test_steps_that_recovery_needs_are_not_due(store: SqliteStore, journal: SealingJournal) -> None:
    """A call that is open since 50 may be in every step that ends after it."""
    store.write([make_step(seq=n, start_ns=20 * n, duration_ns=20) for n in range(5)])
    assert journal.due(DAY_NS) == [Due("step", 0, 5)]
    store.opened(make_opened(call_id="open", opened_ns=50))
    assert journal.due(DAY_NS) == [Due("step", 0, 2)]
    assert journal.due(20) == [Due("step", 0, 1)]


def test_a_call_in_an_in_flight_log_is_not_due(store: SqliteStore, journal: SealingJournal) -> None:
    """Its usage stays, or recovery would take it for one that never ended."""
    store.opened(make_opened(call_id="held", opened_ns=5))
    store.write([make_usage(call_id="held", opened_ns=5), make_usage(call_id="other", opened_ns=5)])
    assert call_ids(journal) == ["other"]
    assert journal.due(DAY_NS) == [Due("usage", 0, 1)]


def counts(path: Path) -> dict[str, int]:
    """Rows that are in the journal, and of which are not archived."""
    with UnsealedReader(path) as reader:
        return reader.unsealed_counts()


def test_archived_rows_leave(store: SqliteStore, journal: SealingJournal, tmp_path: Path) -> None:
    """By their keys, with a call's opening; keys that are not there do not matter."""
    store.write([make_opened(call_id="at-5", opened_ns=5)])
    for start_ns in (5, 6):
        store.write(rows_of_all_tables(start_ns))
    keys: dict[str, list[Key]] = {
        "usage": [("at-5",), ("nothing",)],
        "step": [("at-5", 5, 0)],
        "capacity": [("at-5", 5, "idle")],
        "activity": [("trainer", "at-5")],
    }
    for table in (USAGE, STEP, CAPACITY, ACTIVITY):
        for _ in range(2):
            journal.forget(table, keys[table.name])
    assert counts(tmp_path / "journal.db") == {**dict.fromkeys(keys, 1), "retracted": 0}
    with UnsealedReader(tmp_path / "journal.db") as reader:
        assert [usage.call_id for usage in reader.usages(0, 99)] == ["at-6"]
        assert [one.id for one in reader.activities(0, 99)] == ["at-6"]
        assert reader.counts()["opened"] == 0
    journal.forget(USAGE, [])
    assert journal.due(DAY_NS)[0] == Due("usage", 0, 1)


def test_archived_reports_stay_and_are_known(
    store: SqliteStore, journal: SealingJournal, tmp_path: Path
) -> None:
    """A used name is known for ever (theorem 3); no reader takes them for rows that are not archived."""
    call = reported_call_id("partner", "one")
    store.write(
        [make_usage(call_id=call, opened_ns=5), make_activity(id_="run", start_ns=5, end_ns=9)]
    )
    journal.forget(USAGE, [(call,)])
    journal.forget(ACTIVITY, [("trainer", "run")])
    with UnsealedReader(tmp_path / "journal.db") as reader:
        assert list(reader.usages(0, 99)) == list(reader.activities(0, 99)) == []
        assert list(reader.known_usages([call])) == [call]
        assert len(reader.known_activities([("trainer", "run")])) == 1
        assert (reader.counts()["usage"], reader.counts()["activity"]) == (1, 1)
    assert set(counts(tmp_path / "journal.db").values()) == {0}
    assert journal.due(DAY_NS) == []


def test_segments_and_the_newest_commit_are_remembered(
    journal: SealingJournal, tmp_path: Path
) -> None:
    """Each segment once; of the commits only the last that was seen."""
    journal.done_with("usage/a")
    journal.done_with("usage/a")
    journal.done_with("usage/b")
    journal.saw(Head(1, "a" * 64))
    journal.saw(Head(2, "b" * 64))
    known = journal.seals()
    assert (known.segments, known.head) == ({"usage/a", "usage/b"}, Head(2, "b" * 64))
    with SealingJournal(tmp_path / "journal.db") as again:
        assert again.seals() == known
    with UnsealedReader(tmp_path / "journal.db") as reader, reader.moment() as seals:
        assert seals == known


def test_a_moment_shows_nothing_that_is_archived_meanwhile(
    store: SqliteStore, journal: SealingJournal, tmp_path: Path
) -> None:
    """Rows and the record of segments are of one moment."""
    store.write([make_usage(opened_ns=5)])
    with UnsealedReader(tmp_path / "journal.db") as reader:
        with reader.moment() as seals:
            journal.forget(USAGE, [("call_1",)])
            journal.done_with("usage/a")
            assert len(list(reader.usages(0, 99))) == 1
            assert seals.segments == reader.seals().segments == frozenset()
        assert list(reader.usages(0, 99)) == []
        assert reader.seals().segments == {"usage/a"}


def test_a_journal_of_before_there_was_a_lake_is_read_and_prepared(
    store: SqliteStore, tmp_path: Path
) -> None:
    """A reader finds all of its rows; the first archiving adds the tables."""
    path = tmp_path / "journal.db"
    store.write(rows_of_all_tables(5))
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for table in ("sealed_segment", "sealed_activity", "sealed_usage"):
            database.execute(f"DROP TABLE {table}")
        database.execute("DELETE FROM meta WHERE key = 'journal_id'")
    with UnsealedReader(path) as reader:
        assert reader.seals() == Seals("", frozenset())
        assert len(list(reader.usages(0, 99))) == len(list(reader.activities(0, 99))) == 1
        assert sorted(reader.unsealed_counts().values()) == [0, 1, 1, 1, 1]
    with SealingJournal(path) as journal:
        assert journal.seals().journal
        assert len(journal.due(DAY_NS)) == 4


def test_where_there_is_no_journal_nothing_is_archived(tmp_path: Path) -> None:
    """In one line, and no file is made."""
    path = tmp_path / "journal.db"
    with pytest.raises(DataFolderError) as refused:
        SealingJournal(path)
    assert str(refused.value) == f"there is no journal {path}; check the data folder's name"
    assert not path.exists()


def test_a_damaged_journal_is_not_archived(tmp_path: Path) -> None:
    """A file that is no database, and a record of the lake that cannot be read."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError, match="is damaged"):
        SealingJournal(path)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM meta WHERE key = 'journal_id'",
        "INSERT OR REPLACE INTO meta VALUES ('lake_head', 'x y')",
    ],
)
def test_an_unreadable_record_of_the_lake_is_damage(
    store: SqliteStore, tmp_path: Path, change: str
) -> None:
    """Rather than a journal that has seen nothing, whose rows would be archived twice."""
    path = tmp_path / "journal.db"
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(change)
    with pytest.raises(DamagedError, match="what the journal knows of its lake cannot be read"):
        SealingJournal(path)
    with (
        UnsealedReader(path) as reader,
        pytest.raises(DamagedError, match="cannot be read; restore"),
    ):
        reader.seals()


def test_an_error_of_the_database_is_one_of_the_journal(
    journal: SealingJournal, tmp_path: Path
) -> None:
    """With the file's name."""
    with journal:
        pass
    with pytest.raises(JournalError, match=f"cannot seal the journal {tmp_path}/journal.db: "):
        journal.due(5)
