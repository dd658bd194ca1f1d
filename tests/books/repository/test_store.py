"""books.db: each charge once, each file whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.books.bills.base import BillFile, bill_file
from inferworks.books.charge import Charge
from inferworks.books.currency import RateRow
from inferworks.books.deliveries import landing
from inferworks.books.deliveries.canonical import numbered
from inferworks.books.repository.store import BookStore
from inferworks.errors import BillError, DamagedError, DataFolderError
from inferworks.testing.books import a_charge

COLUMNS = {
    "charges": "id period_start_ns period_end_ns body",
    "rates": "day from_currency to_currency rate source",
}
WITHOUT_REGISTER = "".join(
    f"DROP TABLE {table};" for table in ("lines", "parts", "deliveries", "replaced", "questions")
)
"""Takes books back to the layout before deliveries were known."""
BIG = "12345678901234.000000000001"
"""More picounits than SQLite's integers hold."""


def a_file(name: str) -> BillFile:
    """A file whose content is its name."""
    return bill_file(name, name.encode())


KIND = "voucher"
"""A kind of file whose lines have names: each is a delivery of its own."""


def lines(*amounts: str) -> list[Charge]:
    """One charge per amount, named by position, as it stands in the books when file `a.csv` brought it."""
    file = a_file("a.csv")
    charges = [a_charge(f"line-{n}", amount, (n, n + 10)) for n, amount in enumerate(amounts)]
    found = [replace(charge, file=file.name, file_sha256=file.sha256) for charge in charges]
    return list(numbered(KIND, found))


def test_charges_come_back_as_they_were(tmp_path: Path) -> None:
    """Amounts beyond 64 bits and negative ones included, also from a reader."""
    charges = lines(BIG, "-3.50")
    with BookStore(tmp_path / "books.db") as store:
        assert store.add(a_file("a.csv"), KIND, charges, 1).accepted == 2
    with BookStore(tmp_path / "books.db", read_only=True) as store:
        assert store.charges() == sorted(charges, key=lambda charge: charge.id)
        assert store.currency == "USD"


def test_the_same_file_twice_lands_once(tmp_path: Path) -> None:
    """Recognised by its content, whatever it is called."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), KIND, lines("1", "2"), 1)
        again = store.add(a_file("a.csv")._replace(name="copy.csv"), KIND, lines("1", "2"), 2)
        assert (again.accepted, again.duplicate) == (0, 2)
        assert len(store.charges()) == 2


def test_a_line_that_is_here_already_is_counted_not_added(tmp_path: Path) -> None:
    """A later export with two old lines and a new one adds the new one."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), KIND, lines("1", "2"), 1)
        added = store.add(a_file("b.csv"), KIND, lines("1", "2", "4"), 2)
        assert added == (1, 2, 4 * 10**12)


def test_a_line_with_another_amount_is_asked_about(tmp_path: Path) -> None:
    """Nothing of the file lands; the question is on record, with the amount under each answer."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), KIND, lines("1", "2"), 1)
        answers = (
            r"--part if both count \(4\.50 USD in all\), or with --replace .* \(2\.50 USD in all\)"
        )
        with pytest.raises(BillError, match=answers):
            store.add(a_file("b.csv"), KIND, lines("1", "2.50", "7"), 2)
        assert sum(charge.amount_pico for charge in store.charges()) == 3 * 10**12
        [asked] = store.questions()
        assert (asked.file, asked.delivery.account, asked.settled_ns) == (
            "b.csv",
            "invoice-1",
            None,
        )
        assert store.settle(asked.number, "the first is right", "ann", 3).number == asked.number
        assert store.questions() == []
        [settled] = store.questions(settled=True)
        assert (settled.reason, settled.by, settled.settled_ns) == ("the first is right", "ann", 3)


def test_a_line_with_another_period_is_asked_about_too(tmp_path: Path) -> None:
    """A line that says something else is another line."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), KIND, lines("1"), 1)
        moved = [replace(charge, period_end_ns=9) for charge in lines("1")]
        with pytest.raises(BillError, match=r"line-0 overlap 1 line of a\.csv"):
            store.add(a_file("b.csv"), KIND, moved, 2)


def test_a_line_twice_in_one_file(tmp_path: Path) -> None:
    """Lines are a multiset: both count, with ids of their own."""
    [line] = lines("1")
    with BookStore(tmp_path / "books.db") as store:
        assert store.add(a_file("a.csv"), KIND, [line, line], 1)[:2] == (2, 0)
        assert store.charges() == sorted(numbered(KIND, [line, line]), key=lambda one: one.id)
        assert store.add(a_file("b.csv"), KIND, [line, line], 1)[:2] == (0, 2)


def test_an_import_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """A file lands whole or not at all."""

    def broken() -> Iterator[Charge]:
        yield from lines("1", "2")
        raise BillError("a bad cell")

    with BookStore(tmp_path / "books.db") as store:
        with pytest.raises(BillError, match="a bad cell"):
            store.add(a_file("a.csv"), KIND, broken(), 1)
        assert (store.charges(), store.imports()) == ([], [])
        assert store.add(a_file("a.csv"), KIND, lines("1", "2"), 1).accepted == 2


def test_an_index_that_is_built_anew_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bill of most of the lines builds the index of periods after them; one that fails leaves it."""
    path = tmp_path / "books.db"

    def schema() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return sorted(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))

    with BookStore(path) as store:
        before = schema()
        monkeypatch.setattr(landing, "_MANY", 2)
        assert store.add(a_file("a.csv"), KIND, lines("1", "2", "3"), 1).accepted == 3
        assert schema() == before
        assert len(store.charges(0, 2)) == 2
        monkeypatch.setattr(landing, "Changed", None)
        with pytest.raises(TypeError):
            store.add(a_file("b.csv"), KIND, lines(*"123456789")[3:], 1)
        assert schema() == before
        assert len(store.charges()) == 3


def test_charges_by_span(tmp_path: Path) -> None:
    """Charges found are those whose period meets the span; touching is not meeting."""
    with BookStore(tmp_path / "books.db") as store:
        store.add(a_file("a.csv"), KIND, [a_charge("x", "1", (10, 20))], 1)
        found = [bool(store.charges(*span)) for span in ((0, 10), (0, 11), (19, 30), (20, 30))]
        assert found == [False, True, True, False]


def test_an_existing_book_keeps_its_currency(tmp_path: Path) -> None:
    """The currency is chosen when the books are opened for the first time."""
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
        store.add(a_file("a.csv"), KIND, [old], 1)
    db = sqlite3.connect(path)
    db.executescript(
        f"{WITHOUT_REGISTER} DROP TABLE rates; DROP TABLE rate_quarantine; "
        "ALTER TABLE charges DROP COLUMN checksum; "
        "PRAGMA user_version = 1"
    )
    db.close()
    with pytest.raises(DataFolderError, match="layout version 1"):
        BookStore(path, read_only=True)
    with BookStore(path) as store:
        new = replace(line, region_id="eu-1", other=(("Tags", "{}"),))
        assert store.charges() == [new]
        assert store.add(a_file("b.csv"), KIND, [new], 2).duplicate == 1
        assert store.quarantined_rates() == []


def a_rate() -> RateRow:
    """A rate of some day."""
    return RateRow("2026-11-02", "EUR", "USD", "1.1", "bank")


@pytest.mark.parametrize(
    ("table", "column"),
    [(t, c) for t, columns in COLUMNS.items() for c in columns.split()],
)
def test_a_changed_row_is_noticed(table: str, column: str, tmp_path: Path) -> None:
    """A reader of a charge or a rate that the disk has changed is refused, and told why."""
    path = tmp_path / "books.db"
    with BookStore(path) as store:
        store.add(a_file("a.csv"), KIND, lines("1"), 1)
        store.add_rates(a_file("b.csv"), [a_rate()], 1)
        assert store.check() == (2, [])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        changed = f"CASE typeof({column}) WHEN 'integer' THEN {column} + 1 ELSE {column} || ' ' END"
        db.execute(f"UPDATE {table} SET {column} = {changed}")
    with BookStore(path, read_only=True) as store:
        _, [finding] = store.check()
        assert finding.startswith(f"{path} is damaged: {table} ")
        with pytest.raises(DamagedError, match=r"its checksum differs; restore"):
            store.charges() if table == "charges" else store.rates()


def test_books_without_checksums_are_read_and_brought_up_to_date(tmp_path: Path) -> None:
    """The layout of version 2 is read as it is; whoever writes gives each row its checksum."""
    path = tmp_path / "books.db"
    with BookStore(path) as store:
        store.add(a_file("a.csv"), KIND, lines("1", "2"), 1)
        store.add_rates(a_file("b.csv"), [a_rate()], 1)
    with closing(sqlite3.connect(path)) as db:
        checked = [db.execute(f"SELECT * FROM {table}").fetchall() for table in COLUMNS]
        for table in COLUMNS:
            db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        db.executescript(f"{WITHOUT_REGISTER} PRAGMA user_version = 2")
    with BookStore(path, read_only=True) as store:
        assert store.charges() == sorted(lines("1", "2"), key=lambda charge: charge.id)
        assert store.check() == (3, [])
    with BookStore(path) as store:
        assert store.check() == (3, [])
    with closing(sqlite3.connect(path)) as db:
        assert [db.execute(f"SELECT * FROM {table}").fetchall() for table in COLUMNS] == checked


def test_a_page_of_noise_is_one_line(tmp_path: Path) -> None:
    """Damage that SQLite finds is told with the file and what to do."""
    path = tmp_path / "books.db"
    with BookStore(path) as store:
        store.add(a_file("a.csv"), KIND, lines("1"), 1)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    page = data.index(b"line-0") // 4096 * 4096
    data[page : page + 4096] = bytes(range(255, -1, -1)) * 16
    path.write_bytes(data)
    with (
        BookStore(path, read_only=True) as store,
        pytest.raises(DamagedError, match=r"malformed; restore"),
    ):
        store.charges()
