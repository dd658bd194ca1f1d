"""ledger.db as a file: what it was before, and what the disk does to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from inferworks.books.closing.ledger import Ledger
from inferworks.books.period import Period
from inferworks.errors import DamagedError

ONE, TWO = Period(10, 20, "one"), Period(20, 30, "two")


def test_a_ledger_of_before_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    """Declared periods without checksums are read as they are; those declared from then on have one."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.declare(ONE)
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE period DROP COLUMN checksum")
        database.execute("PRAGMA user_version = 1")
    with Ledger(path, read_only=True) as ledger:
        assert ledger.periods().declared == (ONE,)
    with Ledger(path) as ledger:
        ledger.declare(TWO)
        assert ledger.periods().declared == (ONE, TWO)
        assert ledger.check() == []


@pytest.mark.parametrize("column", ["name", "start_ns", "end_ns", "checksum"])
def test_a_changed_period_is_noticed(column: str, tmp_path: Path) -> None:
    """A reader of the calendar is refused, and a check says so."""
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.declare(ONE)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DROP TRIGGER period_is_not_updated")
        database.execute(f"UPDATE period SET {column} = '7'")
    with Ledger(path, read_only=True) as ledger:
        [finding] = ledger.check()
        assert finding.startswith(f"{path} is damaged: period ")
        with pytest.raises(DamagedError, match="checksum differs; restore"):
            ledger.periods()
