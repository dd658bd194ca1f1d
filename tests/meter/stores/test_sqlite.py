"""Stores of the journal's records."""

from __future__ import annotations

import errno
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.support.leaks import no_file_is_left

from inferworks.errors import DamagedError, DataFolderError, JournalError
from inferworks.ids import CallId
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Retracted
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.tables import TABLES
from inferworks.meter.usage import Confidence, Items, Leg, Outcome, Tokens
from inferworks.testing.facts import A_TIME_NS, make_leg, make_opened, make_step, make_usage
from inferworks.testing.stores import check_journal_store


def test_conforms(tmp_path: Path) -> None:
    """The store keeps the promises of the seam."""
    check_journal_store(SqliteStore(tmp_path / "journal.db"))


def test_survives_being_closed(tmp_path: Path) -> None:
    """Records are there when the file is opened again."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.write([make_usage()])
    store.close()
    store.open()
    store.write([make_usage(call_id="call_2")])
    store.close()
    with store.reads() as reads:
        assert reads.counts()["usage"] == 2


def test_writes_groups_of_any_size(tmp_path: Path) -> None:
    """Each row is written once, however many a group has."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    ids = [f"{size}-{n}" for size in (1, 31, 32, 33, 95, 257) for n in range(size)]
    begin = 0
    for size in (1, 31, 32, 33, 95, 257):
        store.write([make_usage(call_id=id_) for id_ in ids[begin : begin + size]])
        begin += size
    store.close()
    with store.reads() as reads:
        assert sorted(usage.call_id for usage in reads.usages(0, 2**63 - 1)) == sorted(ids)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of something else is left as it is, with one line that says what to do."""
    path = tmp_path / "journal.db"
    path.write_text("Dear diary, " * 100)
    with pytest.raises(DataFolderError, match="another data folder"):
        SqliteStore(path).open()
    with pytest.raises(DamagedError, match="is damaged: file is not a database; restore"):
        JournalReader(path)
    assert path.read_text() == "Dear diary, " * 100


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """Somebody else's database is neither read nor changed."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE diary (day TEXT)")
    before = path.read_bytes()
    with pytest.raises(DataFolderError, match="is not a journal"):
        SqliteStore(path).open()
    assert path.read_bytes() == before


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A journal of another schema is refused by writer and reader, naming both versions."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(DataFolderError, match=r"version 99, this program writes 9"):
        store.open()
    with pytest.raises(DataFolderError, match=r"version 99"):
        store.reads()


def test_a_journal_of_before_is_read_and_brought_up(tmp_path: Path) -> None:
    """A journal of the first version is read as it is, and a writer adds to it without losing a row."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    store.write([make_opened(), make_usage()])
    store.close()
    _make_first_version(path)
    with store.reads() as reads:
        assert reads.facts(0, 2**63 - 1).usages == (make_usage(),)
        assert reads.known_retracted([("a", "b")]) == {}
        assert reads.counts()["retracted"] == 0
    _remove_usage(path)
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [make_opened()]
    newer = replace(make_usage(), items=Items(images=1), end_user="ann")
    store.open()
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [make_opened()]
    store.write([newer])
    store.close()
    with store.reads() as reads:
        assert list(reads.usages(0, 2**63 - 1)) == [newer]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT images, ended_by FROM leg").fetchall() == [(0, "")]


_OLD_TABLES = [table for type_, table in TABLES.items() if type_ is not Retracted]
"""Tables of the time before anything could be taken back."""


def _make_first_version(path: Path) -> None:
    """Take from a journal what later versions changed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP VIEW leg")
        database.execute("CREATE VIEW leg AS SELECT call_id FROM usage")
        database.execute("DROP TABLE retracted")
        for table, column in (
            *((table.name, "checksum") for table in _OLD_TABLES),
            ("opened", "end_user"),
            ("usage", "end_user"),
            ("usage", "other_units"),
        ):
            database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")


_VERSION_3 = (
    "DROP TABLE opened",
    "DROP TABLE retracted",
    *(f"ALTER TABLE {t.name} DROP COLUMN checksum" for t in _OLD_TABLES if t.name != "opened"),
    "CREATE TABLE opening (seq INTEGER PRIMARY KEY, calls TEXT NOT NULL)",
    """CREATE VIEW opened AS SELECT
  json_extract(call.value, '$.call_id') AS call_id,
  json_extract(call.value, '$.opened_ns') AS opened_ns,
  json_extract(call.value, '$.customer') AS customer,
  json_extract(call.value, '$.project') AS project,
  json_extract(call.value, '$.key_id') AS key_id,
  json_extract(call.value, '$.purpose') AS purpose,
  json_extract(call.value, '$.endpoint') AS endpoint,
  json_extract(call.value, '$.model') AS model,
  json_extract(call.value, '$.stream') AS stream,
  json_extract(call.value, '$.request_bytes') AS request_bytes,
  coalesce(json_extract(call.value, '$.end_user'), '') AS end_user,
  seq
FROM opening, json_each(opening.calls) AS call""",
    "CREATE TRIGGER opened_no_more INSTEAD OF DELETE ON opened BEGIN SELECT 1; END",
    "UPDATE meta SET value = '3' WHERE key = 'schema_version'",
)
"""Statements that take an empty journal back to the third version."""


def test_open_calls_of_the_third_version_are_read_and_kept(tmp_path: Path) -> None:
    """Calls that were open as rows of JSON are open to a reader, and to a writer that brings them up."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    store.write([make_usage(call_id="over")])
    store.close()
    calls = [make_opened(call_id="a"), make_opened(call_id="over"), make_opened(call_id="b")]
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in _VERSION_3:
            database.execute(statement)
        row = msgspec.json.encode(calls).decode()
        database.execute("INSERT INTO opening (calls) VALUES (?)", (row,))
    still_open = [calls[0], calls[2]]
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == still_open
    store.open()
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == still_open
    store.write([make_usage(call_id="a"), make_usage(call_id="b")])
    with store.reads() as reads:
        assert not list(reads.opened_unclosed())
    store.close()


def _remove_usage(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM usage")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that cannot hold a file is one clear line."""
    with pytest.raises(DataFolderError, match="cannot use the journal"):
        SqliteStore(tmp_path / "nowhere" / "journal.db").open()


def test_a_store_that_cannot_be_opened_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything open is let go of when the rest cannot be opened; the store opens when all can be."""
    store = SqliteStore(tmp_path / "journal.db")

    def no_more(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full, no_file_is_left():
        full.setattr("inferworks.meter.inflight_log._File.make", no_more)
        with pytest.raises(DataFolderError, match="Too many open files"):
            store.open()
    store.open()
    store.write([make_usage()])
    store.close()


def test_a_store_that_is_not_open_does_not_write(tmp_path: Path) -> None:
    """Writing without opening is a failed journal, not a lost record."""
    with pytest.raises(JournalError, match="not open"):
        SqliteStore(tmp_path / "journal.db").write([make_usage()])


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes meanwhile; to SQLite that is an I/O error, not a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_after_an_input_output_error_all_is_written_anew(tmp_path: Path) -> None:
    """Another connection goes on, with an empty log: durable records are there, and none twice."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    before = store._open_database()
    store.write([make_usage(call_id="durable")])
    lost = make_usage(call_id="lost")
    with largest_file(100):
        with pytest.raises(JournalError, match="disk I/O error"):
            store.write([lost])
        with pytest.raises(JournalError, match="again"):
            store.resume([lost])
        with pytest.raises(JournalError, match="not open"):
            store.write([lost])
    store.resume([lost])
    assert store._open_database() is not before
    assert path.with_name("journal.db-wal").stat().st_size < 3 * 4200, "begun afresh"
    with store.reads() as reads:
        assert list(reads.known_usages([CallId("durable"), lost.call_id])) == ["durable"]
    store.write([lost])
    store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM usage").fetchone() == (2,)


@pytest.mark.parametrize("other", [False, True], ids=["gone", "another"])
def test_a_journal_that_is_moved_away(tmp_path: Path, other: bool) -> None:
    """Nothing is written where nobody will find it, no file is made, and it goes on when ours is back."""
    path, away = tmp_path / "journal.db", tmp_path / "away"
    store = SqliteStore(path)
    store.open()
    store.write([make_usage()])
    away.mkdir()
    for file in list(tmp_path.glob("journal.db*")):
        file.rename(away / file.name)
    another = SqliteStore(path)
    if other:
        another.open()
    with pytest.raises(JournalError, match="bring it back"):
        store.settle()
    with pytest.raises(JournalError, match="bring ours back" if other else "unable to open"):
        store.resume([])
    assert path.exists() == other
    for file in list(tmp_path.glob("journal.db*")):
        file.unlink()
    for file in list(away.iterdir()):
        file.rename(tmp_path / file.name)
    store.resume([])
    store.settle()
    store.write([make_usage(call_id="call_2")])
    store.close()
    another.close()
    with store.reads() as reads:
        assert reads.counts()["usage"] == 2


def test_a_reader_of_old_pages_holds_up_a_new_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store resumes only once nobody reads old pages and the log could be begun afresh."""
    monkeypatch.setattr("inferworks.meter.stores.sqlite._LOCK_TIMEOUT_S", 0.05)
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.write([make_usage()])
    with store.reads() as reads:
        reads._database.execute("BEGIN")
        assert reads.counts()["usage"] == 1
        store.write([make_usage(call_id="call_2")])
        store._is_doubtful = True
        with pytest.raises(JournalError, match="being read"):
            store.resume([])
        reads._database.execute("COMMIT")
    store.resume([])
    store.write([make_usage(call_id="call_3")])
    store.close()


def test_a_stranger_can_read_it(tmp_path: Path) -> None:
    """The tables and views are plain to anybody with sqlite3."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    step = make_step(("call_1", 0, 1, 8), ("call_2", 5, 0, 5))
    store.write([make_opened(), make_usage(), step])
    store.close()
    with closing(sqlite3.connect(path)) as database:
        usage = "SELECT customer, purpose, outcome, input_tokens FROM usage"
        assert database.execute(usage).fetchall() == [("acme", "serve-paid", "answered", 100)]
        leg = "SELECT call_id, attempt, provider, output_tokens FROM leg"
        assert database.execute(leg).fetchall() == [("call_1", 0, "openai", 20)]
        calls = "SELECT call_id, prefill_tokens, decode_tokens, context_tokens FROM step_call"
        assert database.execute(calls).fetchall() == [("call_1", 0, 1, 8), ("call_2", 5, 0, 5)]


def test_reader_sees_one_moment(tmp_path: Path) -> None:
    """A reader goes on while the writer writes, and sees what is durable when it asks."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    with store.reads() as reads:
        usages = reads.usages(0, 2**63 - 1)
        store.write([make_usage()])
        assert reads.counts()["usage"] == 1
        assert len(list(usages)) == 0
        assert len(reads.facts(A_TIME_NS, A_TIME_NS + 1).usages) == 1
    store.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """The reader's connection is read-only."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.close()
    with store.reads() as reads, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reads._database.execute("DELETE FROM usage")


def test_legs_keep_every_field(tmp_path: Path) -> None:
    """A failover's legs come back in order, with nothing lost."""
    failed: Leg = replace(
        make_leg(outcome=Outcome.FAILED, replica=None, tokens=Tokens(1, 2, 3, 4)),
        items=Items(images=1, audio_ms=2, characters=3, searches=4),
        service_tier="priority",
        told_cost_pico=5,
        told_currency="EUR",
        ended_by="drain",
        left_out="n, logprobs",
    )
    tokens = Tokens(*range(9, -1, -1))
    usage = make_usage(legs=[failed, make_leg()], tokens=tokens)
    usage = replace(usage, items=Items(searches=7), end_user="ann")
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.write([usage])
    store.close()
    with store.reads() as reads:
        assert list(reads.usages(0, 2**63 - 1)) == [usage]
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        told = database.execute("SELECT left_out FROM leg ORDER BY attempt").fetchall()
    assert told == [("n, logprobs",), ("",)]
    assert usage.confidence is Confidence.REPORTED
