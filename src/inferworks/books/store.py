"""`books.db`: the charges and exchange rates that were imported, each exactly once.

Problem. Bills arrive late, twice, and restated. An import that is killed half way must leave no half of
a bill behind, and importing a bill again must not double it.

Decision. A file is recognised by its SHA-256 and lands in one transaction. A line is recognised by
(issuer, invoice, line): with the same body it is a duplicate and counted as such; with another body it
is a conflict. A file with conflicts is refused whole, and each conflict is kept in `quarantine` with
both bodies, because the supplier and not the program decides which is right.
(received = accepted + duplicate + conflict; theorem 3.) Rates are rows of the same sort, known by (day,
from, to).

A line is compared as it was billed: a charge in another currency is the same line whatever rate it would
be converted by today. What was derived once, with the rate of then, stays.

Bodies are JSON: amounts in picounits outgrow SQLite's 64-bit integers.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec

from inferworks.books.bills.base import BillFile
from inferworks.books.charge import Charge
from inferworks.books.currency import RateRow, Rates, as_billed
from inferworks.errors import BillError, DataFolderError
from inferworks.money import format_pico

_VERSION = 2
_BUSY_SECONDS = 10.0
_RATES = """
CREATE TABLE rates (
    day TEXT NOT NULL, from_currency TEXT NOT NULL, to_currency TEXT NOT NULL,
    rate TEXT NOT NULL, source TEXT NOT NULL, file_sha256 TEXT NOT NULL REFERENCES files,
    PRIMARY KEY (day, from_currency, to_currency)
) WITHOUT ROWID;
CREATE TABLE rate_quarantine (
    file_sha256 TEXT NOT NULL, at_ns INTEGER NOT NULL, kept BLOB NOT NULL, refused BLOB NOT NULL,
    PRIMARY KEY (kept, refused)
) WITHOUT ROWID;
"""
_SCHEMA = f"""
CREATE TABLE meta (currency TEXT NOT NULL);
CREATE TABLE files (
    sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, imported_ns INTEGER NOT NULL,
    accepted INTEGER NOT NULL, duplicate INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE charges (
    id TEXT PRIMARY KEY, file_sha256 TEXT NOT NULL REFERENCES files,
    period_start_ns INTEGER NOT NULL, period_end_ns INTEGER NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX charges_by_period ON charges (period_start_ns, period_end_ns);
CREATE TABLE quarantine (
    id TEXT NOT NULL, file_sha256 TEXT NOT NULL, at_ns INTEGER NOT NULL,
    kept BLOB NOT NULL, refused BLOB NOT NULL, PRIMARY KEY (id, file_sha256)
) WITHOUT ROWID;
{_RATES}"""


class Imported(NamedTuple):
    """What became of one file's lines."""

    accepted: int
    duplicate: int
    accepted_pico: int
    charges: tuple[Charge, ...] = ()
    """The lines that were accepted, where they are charges."""


class BookStore:
    """The charges in one `books.db`, all in one `currency`."""

    def __init__(self, path: Path, *, currency: str = "USD", read_only: bool = False) -> None:
        """Open `path`, making it unless `read_only`; an existing one keeps its own currency.

        DataFolderError when it cannot be opened, is no books.db, or is of another version.
        """
        self._path = path
        self._db = _connect(path, read_only=read_only)
        try:
            with self._translated():
                if not read_only:
                    self._prepare(currency)
                self._check_version()
                self.currency: str = self._db.execute("SELECT currency FROM meta").fetchone()[0]
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> BookStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(
        self, bill: BillFile, kind: str, charges: Sequence[Charge], imported_ns: int
    ) -> Imported:
        """Take in the `charges` of `bill`, all or none; lines already here are counted, not added.

        BillError when a line is here with another body; then nothing of the file lands.
        """
        with self._translated(), self._transaction():
            if self._has_file(bill.sha256):
                return Imported(0, len(charges), 0)
            fresh, conflicts = self._sorted_out(charges)
            if not conflicts:
                self._insert(bill, kind, fresh, len(charges) - len(fresh), imported_ns)
        if conflicts:
            self._quarantine(bill, conflicts, imported_ns)
            raise BillError("\n".join(_conflict_text(bill, *pair) for pair in conflicts))
        amount_pico = sum(charge.amount_pico for charge in fresh)
        return Imported(len(fresh), len(charges) - len(fresh), amount_pico, tuple(fresh))

    def add_rates(self, bill: BillFile, rows: Sequence[RateRow], imported_ns: int) -> Imported:
        """Take in the rates of `bill`, all or none; rates already here are counted, not added.

        BillError when another rate is here for one of them; then nothing of the file lands. A rate
        never changes: charges were converted by it.
        """
        with self._translated(), self._transaction():
            if self._has_file(bill.sha256):
                return Imported(0, len(rows), 0)
            fresh, conflicts = self._sorted_rates(rows)
            if not conflicts:
                self._insert_rates(bill, fresh, len(rows) - len(fresh), imported_ns)
        if conflicts:
            self._quarantine_rates(bill, conflicts, imported_ns)
            raise BillError("\n".join(_rate_conflict_text(bill, *pair) for pair in conflicts))
        return Imported(len(fresh), len(rows) - len(fresh), 0)

    def rates(self) -> Rates:
        """Every exchange rate that was imported."""
        with self._translated():
            return Rates(self._rate_rows().values())

    def quarantined_rates(self) -> list[tuple[RateRow, RateRow]]:
        """The conflicting rates so far: the one kept, and the one refused."""
        with self._translated():
            rows = self._db.execute("SELECT kept, refused FROM rate_quarantine").fetchall()
        decode = msgspec.json.Decoder(RateRow).decode
        return [(decode(kept), decode(refused)) for kept, refused in rows]

    def charges(self, start_ns: int | None = None, end_ns: int | None = None) -> list[Charge]:
        """The charges whose period meets the span, by id; every charge when no span is given."""
        with self._translated():
            rows = self._db.execute(
                "SELECT body FROM charges WHERE period_end_ns > ? AND period_start_ns < ? ORDER BY id",
                (
                    -(2**63) if start_ns is None else start_ns,
                    2**63 - 1 if end_ns is None else end_ns,
                ),
            ).fetchall()
        return [msgspec.json.decode(body, type=Charge) for (body,) in rows]

    def quarantined(self) -> list[tuple[Charge, Charge]]:
        """The conflicts so far: the line kept, and the line refused."""
        with self._translated():
            rows = self._db.execute(
                "SELECT kept, refused FROM quarantine ORDER BY id, file_sha256"
            ).fetchall()
        return [(_decoded(kept), _decoded(refused)) for kept, refused in rows]

    def _prepare(self, currency: str) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            version = self._version()
            if version == 0:
                self._execute_all(_SCHEMA)
                self._db.execute("INSERT INTO meta VALUES (?)", (currency,))
            elif version == 1:
                self._upgrade()
            if version < _VERSION:
                self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _upgrade(self) -> None:
        """From version 1, which knew no rates and kept RegionId among the other columns."""
        self._execute_all(_RATES)
        bodies = self._db.execute("SELECT body FROM charges").fetchall()
        moved = map(_with_region, (_decoded(body) for (body,) in bodies))
        self._db.executemany(
            "UPDATE charges SET body = ? WHERE id = ?",
            ((msgspec.json.encode(charge), charge.id) for charge in moved),
        )

    def _execute_all(self, statements: str) -> None:
        for statement in filter(str.strip, statements.split(";\n")):
            self._db.execute(statement)

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _check_version(self) -> None:
        version = self._version()
        if version != _VERSION:
            older = 0 < version < _VERSION
            advice = (
                "the next import brings it up to date"
                if older
                else ("use the program version that wrote it, or another data folder")
            )
            raise DataFolderError(
                f"{self._path} has layout version {version}, this program reads version {_VERSION}; "
                f"{advice}"
            )

    def _has_file(self, sha256: str) -> bool:
        found = self._db.execute("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)).fetchone()
        return found is not None

    def _sorted_out(
        self, charges: Sequence[Charge]
    ) -> tuple[list[Charge], list[tuple[Charge, Charge]]]:
        """Which of `charges` are new, and which meet another body under their id."""
        fresh: dict[str, Charge] = {}
        conflicts: list[tuple[Charge, Charge]] = []
        for charge in charges:
            kept = fresh.get(charge.id) or self._kept(charge)
            if kept is None:
                fresh[charge.id] = charge
            elif _body(kept) != _body(charge):
                conflicts.append((kept, charge))
        return list(fresh.values()), conflicts

    def _sorted_rates(
        self, rows: Sequence[RateRow]
    ) -> tuple[list[RateRow], list[tuple[RateRow, RateRow]]]:
        """Which of `rows` are new, and which meet another rate for their day."""
        known = self._rate_rows()
        fresh: list[RateRow] = []
        conflicts: list[tuple[RateRow, RateRow]] = []
        for row in rows:
            kept = known.get(_rate_key(row))
            if kept is None:
                known[_rate_key(row)] = row
                fresh.append(row)
            elif kept != row:
                conflicts.append((kept, row))
        return fresh, conflicts

    def _rate_rows(self) -> dict[tuple[str, str, str], RateRow]:
        rows = self._db.execute("SELECT day, from_currency, to_currency, rate, source FROM rates")
        return {_rate_key(row): row for row in (RateRow(*values) for values in rows.fetchall())}

    def _insert_rates(
        self, bill: BillFile, fresh: list[RateRow], duplicate: int, imported_ns: int
    ) -> None:
        self._insert_file(bill, "rates", len(fresh), duplicate, imported_ns)
        self._db.executemany(
            "INSERT INTO rates VALUES (?, ?, ?, ?, ?, ?)",
            ((*msgspec.structs.astuple(row), bill.sha256) for row in fresh),
        )

    def _insert_file(
        self, bill: BillFile, kind: str, accepted: int, duplicate: int, imported_ns: int
    ) -> None:
        self._db.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)",
            (bill.sha256, bill.name, kind, imported_ns, accepted, duplicate),
        )

    def _kept(self, charge: Charge) -> Charge | None:
        row = self._db.execute("SELECT body FROM charges WHERE id = ?", (charge.id,)).fetchone()
        return None if row is None else _decoded(row[0])

    def _insert(
        self, bill: BillFile, kind: str, fresh: list[Charge], duplicate: int, imported_ns: int
    ) -> None:
        self._insert_file(bill, kind, len(fresh), duplicate, imported_ns)
        self._db.executemany(
            "INSERT INTO charges VALUES (?, ?, ?, ?, ?)",
            (
                (c.id, bill.sha256, c.period_start_ns, c.period_end_ns, msgspec.json.encode(c))
                for c in sorted(fresh, key=lambda charge: str(charge.id))  # pages in order
            ),
        )

    def _quarantine(
        self, bill: BillFile, conflicts: list[tuple[Charge, Charge]], at_ns: int
    ) -> None:
        encode = msgspec.json.encode
        with self._translated(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?)",
                ((k.id, bill.sha256, at_ns, encode(k), encode(r)) for k, r in conflicts),
            )

    def _quarantine_rates(
        self, bill: BillFile, conflicts: list[tuple[RateRow, RateRow]], at_ns: int
    ) -> None:
        encode = msgspec.json.encode
        with self._translated(), self._transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO rate_quarantine VALUES (?, ?, ?, ?)",
                (
                    (bill.sha256, at_ns, encode(kept), encode(refused))
                    for kept, refused in conflicts
                ),
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; the write lock is taken at once, so that what was read still holds."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours, in one line."""
        try:
            yield
        except sqlite3.Error as error:
            raise DataFolderError(f"cannot use {self._path}: {error}") from error


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise DataFolderError(f"cannot open {path}: {error}") from error


def _decoded(body: bytes) -> Charge:
    return msgspec.json.decode(body, type=Charge)


def _body(charge: Charge) -> Charge:
    """`charge` as billed, without where it was read: what must be the same for the same line."""
    return msgspec.structs.replace(as_billed(charge), file="", file_sha256="", row=0)


def _with_region(charge: Charge) -> Charge:
    other = dict(charge.other)
    region_id = other.pop("RegionId", None)
    return msgspec.structs.replace(charge, region_id=region_id, other=tuple(other.items()))


def _rate_key(row: RateRow) -> tuple[str, str, str]:
    return row.day, row.from_currency, row.to_currency


def _rate_conflict_text(bill: BillFile, kept: RateRow, refused: RateRow) -> str:
    return (
        f"{bill.name}: the rate from {refused.from_currency} to {refused.to_currency} of {refused.day} "
        f"is here already as {kept.rate} ({kept.source}), not {refused.rate} ({refused.source}); "
        "the file was not imported"
    )


def _conflict_text(bill: BillFile, kept: Charge, refused: Charge) -> str:
    return (
        f"{bill.name}, line {refused.row}: {_named(refused)} is here already from {kept.file} line "
        f"{kept.row} with {_difference(kept, refused)}; the file was not imported. "
        "Ask the issuer which is right; a correction needs a line of its own"
    )


def _named(charge: Charge) -> str:
    return f"line {charge.line!r} of invoice {charge.invoice!r} from {charge.issuer}"


def _difference(kept: Charge, refused: Charge) -> str:
    kept, refused = as_billed(kept), as_billed(refused)
    if kept.amount_pico != refused.amount_pico:
        here, there = format_pico(kept.amount_pico), format_pico(refused.amount_pico)
        return f"the amount {here} {kept.currency}, not {there} {refused.currency}"
    names = [
        name
        for name in Charge.__struct_fields__
        if name not in ("file", "file_sha256", "row")
        and getattr(kept, name) != getattr(refused, name)
    ]
    return f"another {', '.join(names)}"
