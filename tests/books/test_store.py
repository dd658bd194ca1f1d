"""books.db: each charge once, each file whole or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.books.bills.base import BillFile, bill_file
from inferworks.books.charge import Charge
from inferworks.books.store import BookStore
from inferworks.errors import BillError, DataFolderError
from inferworks.testing.books import a_charge

BIG = "12345678901234.000000000001"
"""More picounits than SQLite's integers hold."""


def a_file(name: str) -> BillFile:
    """A file whose content is its name."""
    return bill_file(name, name.encode())


def lines(*amounts: str) -> list[Charge]:
    """One charge per amount, named by position."""
    return [a_charge(f"line-{n}", amount, (n, n + 10)) for n, amount in enumerate(amounts)]


def test_charges_come_back_as_they_were(tmp_path: Path) -> None:
    """Amounts beyond 64 bits and negative ones included, also from a reader."""
    charges = lines(BIG, "-3.50")
    with BookStore(tmp_path / "books.db") as store:
        assert store.add(a_file("a.csv"), "focus", charges, 1).accepted == 2
    with BookStore(tmp_path / "books.db", read_only=True) as store:
        assert store.charges() == sorted(charges, key=lambda charge: charge.id)
        assert store.currency == "USD"


def test_the_same_file_twice_lands_once(tmp_path: Path) -> None:
    """Recognised by its content, whatever it is called."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), "focus", lines("1", "2"), 1)
        again = store.add(a_file("a.csv")._replace(name="copy.csv"), "focus", lines("1", "2"), 2)
        assert (again.accepted, again.duplicate) == (0, 2)
        assert len(store.charges()) == 2


def test_a_line_that_is_here_already_is_counted_not_added(tmp_path: Path) -> None:
    """A later export with two old lines and a new one adds the new one."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), "focus", lines("1", "2"), 1)
        added = store.add(a_file("b.csv"), "focus", lines("1", "2", "4"), 2)
        assert added[:3] == (1, 2, 4 * 10**12)
        assert [charge.amount_pico for charge in added.charges] == [4 * 10**12]


def test_a_line_with_another_amount_is_refused_and_kept_aside(tmp_path: Path) -> None:
    """Nothing of the file lands; both bodies are in quarantine; the text says which is which."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), "focus", lines("1", "2"), 1)
        with pytest.raises(BillError, match=r"amount 2\.00 USD, not 2\.50 USD; the file was not"):
            store.add(a_file("b.csv"), "focus", lines("1", "2.50", "7"), 2)
        assert [charge.amount_pico for charge in store.charges()] != []
        assert sum(charge.amount_pico for charge in store.charges()) == 3 * 10**12
        [(kept, refused)] = store.quarantined()
        assert (kept.amount_pico, refused.amount_pico) == (2 * 10**12, 25 * 10**11)


def test_a_line_with_another_period_is_refused_too(tmp_path: Path) -> None:
    """A different body is a different body."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), "focus", lines("1"), 1)
        moved = [replace(charge, period_end_ns=99) for charge in lines("1")]
        with pytest.raises(BillError, match="another period_end_ns"):
            store.add(a_file("b.csv"), "focus", moved, 2)


def test_a_line_twice_in_one_file(tmp_path: Path) -> None:
    """Alike it is one line; with another amount it is a conflict, and nothing lands."""
    [line] = lines("1")
    with BookStore(tmp_path / "books.db") as store:
        assert store.add(a_file("a.csv"), "focus", [line, line], 1)[:2] == (1, 1)
    with BookStore(tmp_path / "other.db") as store:
        with pytest.raises(BillError):
            store.add(a_file("b.csv"), "focus", [line, replace(line, amount_pico=5)], 1)
        assert store.charges() == []


def test_an_import_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """A file lands whole or not at all."""
    bad = replace(lines("1")[0], id=None)  # type: ignore[arg-type]
    with BookStore(tmp_path / "books.db") as store:
        with pytest.raises(DataFolderError):
            store.add(a_file("a.csv"), "focus", [*lines("1", "2"), bad], 1)
        assert store.charges() == []
        assert store.add(a_file("a.csv"), "focus", lines("1", "2"), 1).accepted == 2


def test_charges_by_span(tmp_path: Path) -> None:
    """Those whose period meets it; touching is not meeting."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), "focus", [a_charge("x", "1", (10, 20))], 1)
        found = [bool(store.charges(*span)) for span in ((0, 10), (0, 11), (19, 30), (20, 30))]
        assert found == [False, True, True, False]


def test_an_existing_book_keeps_its_currency(tmp_path: Path) -> None:
    """It is chosen when the books are opened for the first time."""
    with BookStore(tmp_path / "books.db", currency="EUR") as store:
        assert store.currency == "EUR"
    with BookStore(tmp_path / "books.db") as store:
        assert store.currency == "EUR"


def test_what_is_no_books_db_is_refused(tmp_path: Path) -> None:
    """Another file, another version, a folder that is not there: one line each."""
    (tmp_path / "text.db").write_text("not a database, but long enough to look at" * 40)
    db = sqlite3.connect(tmp_path / "newer.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    for name, reason in (
        ("text.db", "not a database"),
        ("newer.db", "layout version 99"),
        ("none/books.db", "unable to open"),
    ):
        with pytest.raises(DataFolderError, match=reason):
            BookStore(tmp_path / name)
    with pytest.raises(DataFolderError, match="unable to open"):
        BookStore(tmp_path / "none.db", read_only=True)


def test_books_of_the_first_layout_are_brought_up_to_date(tmp_path: Path) -> None:
    """The layout of version 1 knew no rates, and kept a line's region among its other columns."""
    path = tmp_path / "books.db"
    [line] = lines("1")
    old = replace(line, other=(("RegionId", "eu-1"), ("Tags", "{}")))
    with BookStore(path) as store:
        store.add(a_file("a.csv"), "focus", [old], 1)
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE rates; DROP TABLE rate_quarantine; PRAGMA user_version = 1")
    db.close()
    with pytest.raises(DataFolderError, match="layout version 1"):
        BookStore(path, read_only=True)
    with BookStore(path) as store:
        new = replace(line, region_id="eu-1", other=(("Tags", "{}"),))
        assert store.charges() == [new]
        assert store.add(a_file("b.csv"), "focus", [new], 2).duplicate == 1
        assert store.quarantined_rates() == []
