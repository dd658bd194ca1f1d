"""Rows and their checksums."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.errors import DamagedError, DataFolderError, UserError
from inferworks.ids import CallId
from inferworks.meter.archive.schema import LAKE_TABLES, batch_of, records_of
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Quarantined, Record, Retracted, SpoolCursor
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.tables import ACTIVITY, SCHEMA, SCHEMA_VERSION, TABLES, Table
from inferworks.meter.usage import Checkpoint
from inferworks.testing.facts import (
    make_activity,
    make_capacity,
    make_leg,
    make_opened,
    make_step,
    make_usage,
)

CURSOR = SpoolCursor(
    "file", make_capacity().replica, make_capacity().node, 5, make_capacity().state, 7, 1
)
CHECKPOINT = Checkpoint(CallId("open"), 5, make_leg(), 7)
RECORDS: tuple[Record, ...] = (
    make_opened(call_id="open"),
    make_usage(customer='Zürich \x00 "quoted" \\ \u2028'),
    CHECKPOINT,
    make_capacity(),
    make_step(("call_1", 0, 1, 8)),
    make_activity(),
    CURSOR,
    Retracted("gateway", "id", 5, 6, 7, "key_1", "a test"),
    Quarantined("gateway", "key", "reason", "{}", None),
)
FOREVER = (-(2**62), 2**62)


def all_read(path: Path) -> list[object]:
    """Everything that a reader can be asked for."""
    with JournalReader(path) as reader:
        facts = reader.facts(*FOREVER)
        checkpoint = reader.checkpoint(CHECKPOINT.call_id)
        return [
            facts,
            checkpoint,
            reader.cursor("file"),
            *reader.quarantined(),
            *reader.opened_unclosed(),
        ]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a row in each table, in one file."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    store = SqliteStore(path)
    store.open()
    store.write(RECORDS)
    store.close()
    return path


def test_the_checksum_is_what_the_tables_say(journal: Path) -> None:
    """A stranger can compute it: CRC-32 of the table's name and the row as compact JSON."""
    with closing(sqlite3.connect(journal)) as database:
        for table in TABLES.values():
            for *values, checksum in database.execute(f"SELECT * FROM {table.name}"):
                row = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
                assert crc32(table.name.encode() + row.encode()) == checksum


COLUMNS = [(table, name) for table in TABLES.values() for name in table.names]


@pytest.mark.parametrize(
    ("table", "column"), COLUMNS, ids=lambda value: getattr(value, "name", value)
)
def test_a_changed_value_is_noticed(
    table: Table[Any], column: str, journal: Path, tmp_path: Path
) -> None:
    """A reader of a row with any value changed is told its table, the file and what to do."""
    path = tmp_path / "journal.db"
    shutil.copy(journal, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        changed = f"CASE typeof({column}) WHEN 'integer' THEN {column} + 1 ELSE {column} || 'x' END"
        database.execute(f"UPDATE {table.name} SET {column} = coalesce({changed}, 1)")
        row = database.execute(f"SELECT * FROM {table.name}").fetchone()
    with pytest.raises(DamagedError, match=rf"^'{table.name} .*checksum differs"):
        table.check(row)
    if table.name not in {"checkpoint", "spool_cursor"} or column != table.key:
        with pytest.raises(
            DamagedError, match=rf"journal .*{table.name} .*restore .* from a backup"
        ):
            all_read(path)


def test_the_tables_are_those_of_their_version() -> None:
    """Tables are derived from the records: a field that is added needs a new version and a migration."""
    assert SCHEMA_VERSION == 9
    assert sha256("\n".join(SCHEMA).encode()).hexdigest()[:16] == "5192b070b4c8d191"


def test_a_row_belongs_to_its_table() -> None:
    """The same values in another table have another checksum."""
    one, other = TABLES[Quarantined], Table("other", Quarantined, "source")
    row = one.stored(RECORDS[-1])
    one.check(row)
    with pytest.raises(DamagedError):
        other.check(row)


def test_a_row_of_before_is_read(journal: Path, tmp_path: Path) -> None:
    """One without a checksum is read as it is; what cannot be a record is still damage."""
    path, before = tmp_path / "journal.db", all_read(journal)
    shutil.copy(journal, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for table in TABLES.values():
            database.execute(f"UPDATE {table.name} SET checksum = NULL")
        assert all_read(path) == before
        database.execute("UPDATE usage SET purpose = 'steal'")
    with pytest.raises(DamagedError, match=r"usage call_1.* cannot be read: 'steal'"):
        all_read(path)


def test_a_flipped_byte_changes_nothing_unseen(journal: Path, tmp_path: Path) -> None:
    """Each byte of the page that holds a call: what is read afterwards is the same, or damage is told."""
    path, before, data = tmp_path / "journal.db", all_read(journal), journal.read_bytes()
    at = data.index(b'"quoted"')
    page = at // 4096 * 4096
    end = page + 4096
    used = [n for n in range(page, end) if data[n] or n < page + 16]
    told = 0
    for place in used[::3]:
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert all_read(path) == before, f"byte {place - page} of the page"
        except DamagedError:
            told += 1
        except DataFolderError as error:
            pytest.fail(f"byte {place - page}: {error}")
    assert told > len(used) // 4


def test_a_page_of_noise_is_named(journal: Path, tmp_path: Path) -> None:
    """Damage that SQLite itself finds is one line with what to do, not its own exception."""
    path, data = tmp_path / "journal.db", bytearray(journal.read_bytes())
    page = data.index(b'"quoted"') // 4096 * 4096
    data[page : page + 4096] = bytes(range(255, -1, -1)) * 16
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"is damaged: database disk image is malformed; restore"):
        all_read(path)


@pytest.mark.slow
@given(st.integers(0, 10**25) | st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, 2**64]))
@settings(max_examples=50)
def test_a_quantity_of_any_size_comes_back(quantity: int) -> None:
    """From a column of SQLite and from columns of Parquet, whatever 64 bits hold."""
    activity, lake = make_activity(quantity=quantity), LAKE_TABLES["activity"]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(ACTIVITY.create())
        database.execute(ACTIVITY.insert(1), ACTIVITY.stored(activity))
        [row] = database.execute("SELECT * FROM activity")
        [exact] = database.execute("SELECT CAST(quantity AS TEXT) FROM activity").fetchone()
    assert ACTIVITY.read(row) == activity
    assert exact == str(quantity), "nor does a stranger read another"
    assert list(records_of(lake, batch_of(lake, [activity]))) == [activity]
