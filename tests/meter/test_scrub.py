"""Reading everything again."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.lake_world import FOREVER, facts_of_days, write

from inferworks.errors import DamagedError, DataFolderError
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.archive.seal import seal
from inferworks.meter.inflight_log import damaged_inflight_lines, opening_files
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.meter.reader import JournalReader
from inferworks.meter.scrub import Piece, check_start, scrub_journal, scrub_lake, set_aside
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.testing.facts import make_activity, make_opened, make_usage

CALLS = 300
"""More than a piece holds."""


def findings(pieces: list[Piece]) -> list[str]:
    """Findings, a line each."""
    return [finding for piece in pieces for finding in piece.findings]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with rows of every kind of table."""
    path = tmp_path_factory.mktemp("scrub") / "journal.db"
    write(path, facts_of_days(1, rows=3))
    write(path, [make_usage(call_id=f"call_{n}", opened_ns=n) for n in range(CALLS)])
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def journal(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to damage."""
    return shutil.copy(whole, tmp_path / "journal.db")


def test_a_whole_journal_is_read_whole(journal: Path) -> None:
    """Every row once, in pieces, and nothing is wrong with any."""
    pieces = list(scrub_journal(journal, thorough=True))
    with closing(sqlite3.connect(journal)) as database:
        tables = ("usage", "step", "capacity", "activity")
        counts = [database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables]
    assert sum(piece.rows for piece in pieces) == sum(counts) > CALLS
    assert findings(pieces) == []
    assert max(piece.rows for piece in pieces) < CALLS
    assert sum(piece.unchecked for piece in pieces) == 0


@pytest.mark.parametrize("thorough", [True, False])
def test_every_damaged_row_is_named(journal: Path, *, thorough: bool) -> None:
    """Every damaged row is named, not only the first."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("UPDATE usage SET customer = 'bcme' WHERE opened_ns IN (7, 207)")
        database.execute(
            "UPDATE activity SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM activity)"
        )
    found = findings(list(scrub_journal(journal, thorough=thorough)))
    assert ["call_7" in line for line in found] == [True, False, False]
    assert ["call_207" in line for line in found] == [False, True, False]
    assert "activity" in found[2]
    assert all(f"the journal {journal} is damaged" in line for line in found)


def test_a_row_that_no_index_finds_is_noticed(journal: Path) -> None:
    """A statement would leave such a call out, though its row is whole."""
    data = bytearray(journal.read_bytes())
    entry = data.index(b"\xfacall_250")  # its time, 250, and its id
    data[entry] = 0xFB  # the index now has it at 251
    journal.write_bytes(data)
    [finding] = findings(list(scrub_journal(journal)))
    assert "1 calls are in no index" in finding


def test_a_page_of_noise_ends_its_table_alone(journal: Path) -> None:
    """The other tables are still read, and one line tells of the page."""
    data = bytearray(journal.read_bytes())
    page = data.index(b"call_100") // 4096 * 4096
    data[page : page + 4096] = bytes(range(255, -1, -1)) * 16
    journal.write_bytes(data)
    pieces = list(scrub_journal(journal))
    [finding] = findings(pieces)
    assert "is damaged: database disk image is malformed; restore" in finding
    assert sum(piece.rows for piece in pieces) > 0


def test_a_journal_of_before_is_read_as_far_as_it_goes(journal: Path) -> None:
    """Tables that a former version did not have are not missed; in a journal of this version they are."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("DROP TABLE retracted")
        assert "no such table" in findings(list(scrub_journal(journal)))[0]
        database.execute("UPDATE meta SET value = '5' WHERE key = 'schema_version'")
    assert findings(list(scrub_journal(journal))) == []
    check_start(journal)


def test_what_is_no_journal_is_told(tmp_path: Path) -> None:
    """One line, and no exception."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"Dear diary, " * 1000)
    assert "not a database" in findings(list(scrub_journal(path)))[0]


def test_a_damaged_opening_is_named(tmp_path: Path) -> None:
    """A line that ends whole and has another checksum; one that was cut off is what a crash leaves."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.opened(make_opened(call_id="one"))
    store.opened(make_opened(call_id="two"))
    [file] = opening_files(tmp_path / "journal.db")
    data = file.read_bytes()
    assert findings(list(scrub_journal(tmp_path / "journal.db"))) == []
    file.write_bytes(data[:-10])
    assert findings(list(scrub_journal(tmp_path / "journal.db"))) == []
    file.write_bytes(data.replace(b'"one"', b'"ome"'))
    [finding] = findings(list(scrub_journal(tmp_path / "journal.db")))
    assert finding.startswith(f"{file}: 1 lines")
    [kept] = damaged_inflight_lines(tmp_path / "journal.db")
    assert (kept.source, kept.key) == ("openings", file.name)
    assert '"ome"' in kept.body
    store.close()


def test_a_mark_without_a_report_is_noticed(journal: Path) -> None:
    """A damaged mark would have a report that was sealed counted again."""
    write(journal, [make_activity(id_="reported")])
    with SealingJournal(journal) as sealing:
        seal(sealing, MemoryLake(), FOREVER[1])
    assert findings(list(scrub_journal(journal))) == []
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("UPDATE sealed_activity SET id = 'another' WHERE id = 'reported'")
    [finding] = findings(list(scrub_journal(journal)))
    assert "1 marks that a report was sealed belong to none" in finding


def test_a_lake_is_read_day_by_day(journal: Path) -> None:
    """Each commit and segment, and what the journal knows of them."""
    lake = MemoryLake()
    with SealingJournal(journal) as sealing:
        sealed = seal(sealing, lake, FOREVER[1])
    assert findings(pieces := list(scrub_lake(lake, journal))) == []
    assert sum(piece.rows for piece in pieces[1:]) == sealed.rows
    name = sealed.segments[0].name
    lake.objects[name] = lake.objects[name][:-1]
    [finding] = findings(list(scrub_lake(lake, journal)))
    assert finding.startswith(f"{name}: ")
    lake.objects.clear()
    assert "lacks" in findings(list(scrub_lake(lake, journal)))[0]


def test_a_start_looks_at_every_page_of_a_small_journal(journal: Path) -> None:
    """A page of noise anywhere, and any of the newest rows, refuse the start in one line."""
    check_start(journal)
    check_start(journal.with_name("none.db"))
    data = journal.read_bytes()
    for page in range(4096, len(data), 4096):
        noise = bytearray(data)
        noise[page : page + 4096] = bytes(range(255, -1, -1)) * 16
        journal.write_bytes(noise)
        with pytest.raises(DataFolderError, match=r"^the journal [^\n]*$"):
            check_start(journal)
    journal.write_bytes(data)
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("UPDATE usage SET customer = 'bcme' WHERE call_id = 'call_299'")
    with pytest.raises(
        DamagedError, match="checksum differs; restore the data folder from a backup"
    ):
        check_start(journal)


def test_a_start_does_not_read_a_large_journal_whole(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start reads a bounded number of a journal's rows, whatever its size."""
    monkeypatch.setattr("inferworks.meter.scrub._SMALL_BYTES", 0)
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("UPDATE usage SET customer = 'bcme' WHERE call_id = 'call_3'")
    check_start(journal)


def test_damaged_rows_can_be_set_aside(journal: Path) -> None:
    """Damaged rows are in quarantine, whole, and out of the way; all others are found as they were."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        before = database.execute("SELECT count(*) FROM usage").fetchone()[0]
        database.execute("UPDATE usage SET customer = 'bcme' WHERE opened_ns = 7")
        database.execute("UPDATE step SET calls = '[]'")
        steps = database.execute("SELECT count(*) FROM step").fetchone()[0]
    data = bytearray(journal.read_bytes())
    data[data.index(b"\xfacall_250")] = 0xFB
    journal.write_bytes(data)
    assert len(set_aside(journal)) == 1 + steps
    assert findings(list(scrub_journal(journal, thorough=True))) == []
    with JournalReader(journal) as reader:
        assert len(list(reader.usages(*FOREVER))) == before - 1
        kept = list(reader.quarantined())
    assert len(kept) == 1 + steps
    assert [one.key for one in kept if "'bcme'" in one.body] == ["usage"]
    assert set_aside(journal) == []


def test_a_sealed_report_is_not_set_aside(journal: Path) -> None:
    """A report's name must be known for ever, and nobody reads it but the lake's own copy."""
    write(journal, [make_activity(id_="reported")])
    with SealingJournal(journal) as sealing:
        seal(sealing, MemoryLake(), FOREVER[1])
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("UPDATE activity SET quantity = 7")
    assert set_aside(journal) == []
    assert "activity" in findings(list(scrub_journal(journal)))[0]
