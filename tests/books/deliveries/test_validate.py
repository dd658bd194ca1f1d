"""Theorems 16 and 17 at run time: a line too many, too few or altered stops what is drawn from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.books.bills.base import bill_file
from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import charge_row
from inferworks.books.deliveries.landing import Closed
from inferworks.books.deliveries.validate import VALIDATIONS
from inferworks.books.repository.store import BookStore
from inferworks.errors import BooksError
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
ALL = (-(2**62), 2**62)


def a_line(day: int, amount: str, exact: str | None = None) -> Charge:
    """A line of a bill, finer than 10^-12 where `exact` says so."""
    line = a_charge("", amount, (day * DAY_NS, (day + 1) * DAY_NS), resource=f"vm-{day}")
    return replace(line, exact=exact)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Books of three files: one superseded, one longer, one taken back in closed time."""
    path = tmp_path / "books.db"
    fine = "0.4838709677414"
    lines = [a_line(1, "0.483870967741", fine), a_line(2, "0.483870967741", fine), a_line(3, "7")]
    with BookStore(path) as store:
        for name, part in (("short", lines[:2]), ("long", lines)):
            store.add(bill_file(name, name.encode()), "focus", part, 1)
        store.add(bill_file("other", b"other"), "focus", [a_line(5, "9")], 1)
        last = store.imports()[-1].number
        store.void(last, "not ours", Closed(0, 10 * DAY_NS), "ann", 1)
    return path


@pytest.fixture(name="db")
def _db(path: Path) -> Iterator[sqlite3.Connection]:
    """The same file, for whoever damages it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def read(path: Path, start_ns: int = ALL[0], end_ns: int = ALL[1]) -> list[Charge]:
    """The charges of a span, validated."""
    with BookStore(path, read_only=True) as store:
        return store.validated(start_ns, end_ns)


def test_what_was_imported_holds_in_any_span(path: Path) -> None:
    """Theorems 16 and 17: with a revision, a rounding line, and a line that its reversal takes back."""
    assert len(read(path)) == 3 + 1 + 2
    for day in range(7):
        assert len(read(path, day * DAY_NS, (day + 1) * DAY_NS)) <= 2
    assert [one.__name__ for one in VALIDATIONS] == ["delivery", "footing"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM lines WHERE id IN (SELECT MIN(id) FROM lines)", "has 2 lines in the books, not 3"),
        ("INSERT INTO lines SELECT 1, name, id, about, carried FROM lines WHERE part = 2", "not 0"),
        ("UPDATE parts SET state = 'void' WHERE number = 2", "not 0"),
        ("DELETE FROM lines WHERE part = 2", "has no lines"),
        ("DELETE FROM lines WHERE part < 0", "is a line of no import"),
        ("DELETE FROM charges WHERE CAST(body AS TEXT) LIKE '%/reversal%'", "is not taken back"),
        ("UPDATE parts SET totals = CAST(replace(totals, '796', '896') AS BLOB)", "theorem 17"),
    ],
)  # fmt: skip
def test_a_line_too_many_or_too_few_is_found(
    path: Path, db: sqlite3.Connection, damage: str, said: str
) -> None:
    """Theorem 16: whatever a step forgot or left behind."""
    db.execute(damage)
    with pytest.raises(BooksError, match=said):
        read(path)


def test_another_amount_is_found(path: Path, db: sqlite3.Connection) -> None:
    """Theorem 17: of a line, and of a rounding line, with a checksum that is right."""
    for charge in [one for one in read(path) if one.charge_class is None]:
        if "taken back" in charge.description or charge.resource_id == "vm-5":
            continue
        for one in (replace(charge, amount_pico=charge.amount_pico + 1), charge):
            row = charge_row(one)
            db.execute(
                "UPDATE charges SET body = ?, checksum = ? WHERE id = ?", (row[4], row[5], row[0])
            )
            if one is not charge:
                with pytest.raises(BooksError, match=r"theorem 17 \(footing\)"):
                    read(path)
