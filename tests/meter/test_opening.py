"""Where a journal keeps the calls that have not ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.errors import RecordError
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Opened
from inferworks.testing.facts import make_opened, make_usage


def rows(path: Path) -> int:
    """How many rows of open calls there are."""
    with closing(sqlite3.connect(path)) as database:
        (count,) = database.execute("SELECT count(*) FROM opening").fetchone()
        return int(count)


def test_what_has_ended_is_kept_no_longer(tmp_path: Path) -> None:
    """However many calls there were, only a few rows are left, and a call that is open is among them."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    store.write([make_opened(call_id="long"), make_opened(call_id="0")])
    for number in range(200):
        store.write([make_opened(call_id=f"{number + 1}"), make_usage(call_id=f"{number}")])
    assert rows(path) < 64
    with store.reads() as reads:
        assert [call.call_id for call in reads.opened_unclosed()] == ["200", "long"]
    store.close()
    store.open()
    store.close()
    assert rows(path) == 2, "a start leaves the rows with open calls alone"


def test_a_refused_write_ends_nothing(tmp_path: Path) -> None:
    """A call whose Usage was rolled back is open as before, and can still be ended."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    store.write([make_usage(call_id="a"), make_opened(call_id="b")])
    with pytest.raises(RecordError):
        store.write([make_usage(call_id="b"), make_usage(call_id="a"), make_opened(call_id="c")])
    with store.reads() as reads:
        assert [call.call_id for call in reads.opened_unclosed()] == ["b"]
    store.write([make_usage(call_id="b"), make_opened(call_id="c")])
    with store.reads() as reads:
        assert [call.call_id for call in reads.opened_unclosed()] == ["c"]
    store.close()


def test_one_call_is_taken_out_of_its_row(tmp_path: Path) -> None:
    """Deleting from the view `opened` leaves the other calls of the row as they were."""
    path = tmp_path / "journal.db"
    store = SqliteStore(path)
    store.open()
    stays = replace(make_opened(call_id="stays"), end_user='a "quoted" name')
    store.write([make_opened(call_id="goes"), stays, make_opened(call_id="goes too")])
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM opened WHERE call_id IN ('goes', 'goes too', 'unknown')")
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [stays]


@pytest.mark.parametrize(
    "opened",
    [
        make_opened(opened_ns=2**63),
        replace(make_opened(), request_bytes=2**63),
        make_opened(model="\ud800"),
    ],
    ids=["time", "size", "text"],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, opened: Opened) -> None:
    """A value that a database cannot hold is refused when it is written, not when it is read."""
    store = SqliteStore(tmp_path / "journal.db")
    store.open()
    with pytest.raises(RecordError):
        store.write([make_opened(call_id="fine"), opened])
    with store.reads() as reads:
        assert not list(reads.opened_unclosed())
    store.close()
