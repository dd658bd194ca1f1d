"""`books.db`: the charges and exchange rates that were imported, each exactly once.

Problem. Bills arrive late, twice, in parts and restated. An import that is killed half way must leave no
half of a bill behind, and importing a bill again must not double it.

Decision. A file is imported in one transaction. `deliveries` decides on its lines: a duplicate, a longer
copy, a further part or a question; this module keeps the charges in force. Rates are rows of the same
sort, known by (day, from, to); another rate for one of them refuses its file and is kept in quarantine.

A line is compared as it was billed: a charge in another currency is the same line whatever rate would
convert it today. The amount converted on import, with the rate of then, stays.

Bodies are JSON: amounts in picounits outgrow SQLite's 64-bit integers.

Each charge and rate ends with a checksum (`checksum`), verified whenever it is read: no statement is
built from an amount that the disk has changed.

Books of an older layout are read as they are; the first write brings them up to date. Their charges keep
their ids, and are entered in the register as the deliveries that they are.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from inferworks.books.bills.base import BillFile
from inferworks.books.calendar.span import Times
from inferworks.books.charge import Charge
from inferworks.books.currency import RateRow, Rates
from inferworks.books.deliveries.arriving import ArrivingLines, arriving_lines
from inferworks.books.deliveries.canonical import FOCUS
from inferworks.books.deliveries.decide import Answer
from inferworks.books.deliveries.landing import NOTHING_CLOSED, Changed, Closed
from inferworks.books.deliveries.landing import SCHEMA as DELIVERIES
from inferworks.books.deliveries.record import Import, Outcome, QuarantineQuestion
from inferworks.books.deliveries.register import Register
from inferworks.books.deliveries.validate import Held, registered
from inferworks.books.lines import Glance, glance
from inferworks.books.repository.layout import (
    SCHEMA,
    UNCHECKED,
    VERSION,
    WIDTHS,
    add_checksums,
    execute_all,
    insert_all,
)
from inferworks.checksum import long_row_checksum
from inferworks.errors import BillError, DamagedError, DataFolderError
from inferworks.folder import leaving_none_empty
from inferworks.garbage import uncollected
from inferworks.sqlite import Database, as_declared

_PAGES = "PRAGMA page_size = 16384", "PRAGMA temp.page_size = 8192"
"""Page size of new books: a bill line takes a kilobyte or two, too much for the usual page."""


_CACHES = "PRAGMA cache_size = -65536", "PRAGMA temp.cache_size = -65536"
"""Cache of writers, in KiB: a page of an index is written once, not each time that a line falls on it."""


class Imported(NamedTuple):
    """Numbers of a file's lines by their fate, and the sum that was accepted."""

    accepted: int
    duplicate: int
    accepted_pico: int


class BookStore:
    """The charges in one `books.db`, all in one `currency`."""

    def __init__(self, path: Path, *, currency: str = "USD", read_only: bool = False) -> None:
        """Open `path`, making it unless `read_only`; an existing one keeps its own currency.

        DataFolderError when it cannot be opened, is no books.db, or is of another version.
        """
        with leaving_none_empty(path):
            self._db = Database(path, read_only=read_only)
            self._register = Register(self._db.connection, self._kept)
            try:
                with self._db.translated():
                    if not read_only:
                        self._prepare(currency)
                    version = self._db.version()
                    if not UNCHECKED <= version <= VERSION:
                        advice = "use the program version that wrote it, or another data folder"
                        if 0 < version < VERSION:
                            advice = "the next import brings it up to date"
                        raise DataFolderError(
                            f"{self._db.path} has layout version {version}, this program reads version "
                            f"{VERSION}; {advice}"
                        )
                    [(self.currency,)] = self._db.found(
                        tuple[tuple[str]], "SELECT currency FROM meta"
                    )
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> BookStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def stage(
        self, kind: str, charges: Iterable[Charge], series: tuple[str, str] = ("", "")
    ) -> int:
        """Stage the lines of one file, of this `kind`, until `land`; return their number.

        `series` tells of which export the file is a part (`deliveries.decide.series_of`). Whatever
        `charges` raises leaves nothing behind.
        """
        return self.stage_lines(arriving_lines(kind, charges), series)

    def stage_lines(self, lines: Iterable[ArrivingLines], series: tuple[str, str]) -> int:
        """Stage lines that have their names already, as they are read; return their number."""
        with self._db.translated(), uncollected():
            return self._register.stage(lines, series)

    def unstage(self, place: int) -> None:
        """Forget the files put aside from this place on."""
        with self._db.translated():
            self._register.unstage(place)

    def land(
        self,
        answer: Answer | None = None,
        closed: Closed = NOTHING_CLOSED,
        by: str = "",
        at_ns: int = 0,
    ) -> list[Outcome]:
        """Import the staged files, each whole or not at all; return the outcome of each, in order.

        Lines whose time is `closed` are not changed but reversed. A file whose case is not certain stays
        out, with a question on record; `answer` answers those.
        """
        with self._db.translated():
            found = self._register.land(answer, closed, by, at_ns)
            return sorted(found, key=lambda outcome: outcome.place)

    def add(
        self, bill: BillFile, kind: str, charges: Iterable[Charge], imported_ns: int
    ) -> Imported:
        """Take in the `charges` of `bill` alone. BillError with what would have to be answered first."""
        given = (
            msgspec.structs.replace(charge, file=bill.name, file_sha256=bill.sha256)
            for charge in charges
        )
        if not self.stage(kind, given):
            self.land()
            return Imported(0, 0, 0)
        [outcome] = self.land(at_ns=imported_ns)
        if outcome.questions:
            raise BillError("\n".join(outcome.questions))
        changed = [one.changed for one in outcome.deliveries]
        return Imported(
            sum(one.added for one in changed),
            sum(one.kept for one in changed),
            sum(one.added_pico for one in changed),
        )

    def imports(self) -> list[Import]:
        """Every import on record, in order."""
        with self._db.translated():
            return self._register.imports() if self._db.version() == VERSION else []

    def questions(self, *, settled: bool = False) -> list[QuarantineQuestion]:
        """The questions that files left which were not imported."""
        with self._db.translated():
            known = self._db.version() == VERSION
            return self._register.questions(settled=settled) if known else []

    def settle(self, number: int, reason: str, by: str, at_ns: int) -> QuarantineQuestion:
        """Let a question be settled: its file stays out. UserError when it is not open."""
        with self._db.translated():
            return self._register.settle(number, reason, by, at_ns)

    def void(
        self, number: int, reason: str, closed: Closed, by: str, at_ns: int
    ) -> tuple[Import, Changed]:
        """Take an import back, on record: its lines count no more, and are reversed where closed.

        UserError when it is not in force.
        """
        with self._db.translated():
            return self._register.void(number, reason, closed, by, at_ns)

    def add_rates(self, bill: BillFile, rows: Sequence[RateRow], imported_ns: int) -> Imported:
        """Take in the rates of `bill`, all or none; rates already here are counted, not added.

        BillError when another rate is here for one of them; then nothing of the file lands. A rate
        never changes: charges were converted by it.
        """
        with self._db.translated(), self._db.transaction():
            known = self._db.execute("SELECT 1 FROM files WHERE sha256 = ?", (bill.sha256,))
            if known.fetchone() is not None:
                return Imported(0, len(rows), 0)
            here = self._rate_rows()
            fresh: list[RateRow] = []
            conflicts: list[tuple[RateRow, RateRow]] = []
            for row in rows:
                kept = here.get(_rate_key(row))
                if kept is None:
                    here[_rate_key(row)] = row
                    fresh.append(row)
                elif kept != row:
                    conflicts.append((kept, row))
            duplicate = len(rows) - len(fresh)
            if not conflicts:
                file = bill.sha256, bill.name, "rates", imported_ns, len(fresh), duplicate
                self._db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", file)
                added = ((*msgspec.structs.astuple(row), bill.sha256) for row in fresh)
                insert_all(self._db.connection, "rates", added)
        if not conflicts:
            return Imported(len(fresh), duplicate, 0)
        encode = msgspec.json.encode
        with self._db.translated(), self._db.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO rate_quarantine VALUES (?, ?, ?, ?)",
                ((bill.sha256, imported_ns, encode(kept), encode(row)) for kept, row in conflicts),
            )
        raise BillError(
            "\n".join(
                f"{bill.name}: the rate from {row.from_currency} to {row.to_currency} of {row.day} "
                f"is here already as {kept.rate} ({kept.source}), not {row.rate} ({row.source}); "
                "the file was not imported"
                for kept, row in conflicts
            )
        )

    def rates(self) -> Rates:
        """Every exchange rate that was imported."""
        with self._db.translated():
            return Rates(self._rate_rows().values())

    def quarantined_rates(self) -> list[tuple[RateRow, RateRow]]:
        """The conflicting rates so far: the one kept, and the one refused."""
        with self._db.translated():
            rows = self._db.found(
                list[tuple[bytes, bytes]], "SELECT kept, refused FROM rate_quarantine"
            )
            decode = msgspec.json.Decoder(RateRow).decode
            return [(decode(kept), decode(refused)) for kept, refused in rows]

    def charges(self, start_ns: int | None = None, end_ns: int | None = None) -> list[Charge]:
        """The charges whose period meets the span, by id; every charge when no span is given."""
        with self._db.translated():
            rows = self._db.execute(
                "SELECT * FROM charges WHERE period_end_ns > ? AND period_start_ns < ? ORDER BY id",
                (
                    -(2**63) if start_ns is None else start_ns,
                    2**63 - 1 if end_ns is None else end_ns,
                ),
            ).fetchall()
            return list(map(self._charge, rows))

    def validated(self, start_ns: int, end_ns: int) -> list[Charge]:
        """`charges`, held against the register. BooksError when theorem 16 or 17 does not hold of them."""
        with closing(self.lines(start_ns, end_ns)) as lines:
            return [_decoded(body) for body, _, _ in lines]

    def charges_from(
        self, issuers: Collection[str], start_ns: int, end_ns: int
    ) -> Generator[Charge]:
        """The lines of bills of `issuers` that are in force and whose period meets the span, by id.

        One at a time; to be closed.
        """
        if self._db.version() != VERSION:
            return
        marks = ", ".join("?" * len(issuers))
        with self._db.translated():
            rows = self._db.execute(
                "SELECT charges.* FROM deliveries JOIN parts ON delivery = deliveries.number "
                "JOIN lines ON part = parts.number JOIN charges USING (id) "
                f"WHERE issuer IN ({marks}) AND kind = ? "
                "AND period_end_ns > ? AND period_start_ns < ? ORDER BY id",
                (*issuers, FOCUS, start_ns, end_ns),
            )
            for row in rows:
                yield self._charge(row)

    def newest(self, now_ns: int) -> tuple[int, int]:
        """Return the end of the last charge over at `now_ns`, and the start of the last one begun.

        0 without one; where none has begun, when the first will.
        """
        query = """
            SELECT coalesce(max(CASE WHEN period_end_ns <= :now THEN period_end_ns END), 0),
                   coalesce(max(CASE WHEN period_start_ns < :now THEN period_start_ns END),
                            min(period_start_ns), 0) FROM charges"""
        with self._db.translated():
            over_ns, begun_ns = self._db.execute(query, {"now": now_ns}).fetchone()
        return int(over_ns), int(begun_ns)

    def times(self, start_ns: int, end_ns: int) -> list[Times]:
        """The periods of the charges that meet the span, each with how many have it."""
        with self._db.translated():
            rows = self._db.execute(
                "SELECT period_start_ns, period_end_ns, COUNT(*) FROM charges "
                "WHERE period_end_ns > ? AND period_start_ns < ? GROUP BY 1, 2",
                (start_ns, end_ns),
            )
            return list(map(Times._make, as_declared(rows.fetchall(), list[tuple[int, int, int]])))

    def ids(self, start_ns: int, end_ns: int) -> list[str]:
        """The ids of the charges whose period meets the span, in order."""
        with self._db.translated():
            rows = self._db.execute(
                "SELECT id FROM charges WHERE period_end_ns > ? AND period_start_ns < ?",
                (start_ns, end_ns),
            )
            return sorted(as_declared([id_ for (id_,) in rows], list[str]))

    def called(self, ids: Iterable[str]) -> list[Charge]:
        """The charges of these `ids`."""
        with self._db.translated():
            return list(map(self._kept, ids))

    def lines(self, start_ns: int, end_ns: int) -> Generator[tuple[bytes, Glance, int]]:
        """Yield the charges as JSON with their `Glance`, by id, each with its checksum. To be closed.

        The BooksError comes after the last.
        """
        with self._reading():
            known = self._db.version() == VERSION
            held = Held(registered(self._db.connection, start_ns, end_ns)) if known else None
            for body, checksum in self._bodies(start_ns, end_ns):
                line = glance(body)
                if held is not None:
                    held.add(line, body)
                yield body, line, checksum
        if held is not None:
            held.validate()

    def bodies(self, start_ns: int, end_ns: int) -> Generator[tuple[bytes, int]]:
        """`charges` one at a time, as JSON, by id, each with its checksum. To be closed."""
        with self._reading():
            yield from self._bodies(start_ns, end_ns)

    def _bodies(self, start_ns: int, end_ns: int) -> Iterator[tuple[bytes, int]]:
        rows = self._db.execute(
            "SELECT * FROM charges WHERE period_end_ns > ? AND +period_start_ns < ? ORDER BY id",
            (start_ns, end_ns),
        )
        for row in rows:
            body = row[4]
            checksum = long_row_checksum("charges", row[:5])
            if checksum != row[-1]:
                self._check("charges", row)  # those of an old layout have none
            yield body if type(body) is bytes else as_declared(body, bytes), checksum

    def check(self) -> tuple[int, list[str]]:
        """Return the number of rows, and the faults of any of them, a line each.

        DamagedError when the file is no whole database any more.
        """
        with self._db.translated():
            findings = self._db.integrity()
            checked = 0
            for table in ("charges", "rates"):
                for row in self._db.execute(f"SELECT * FROM {table}"):
                    checked += 1
                    try:
                        self._check(table, row)
                    except DamagedError as error:
                        findings.append(str(error))
        return checked, findings

    def quarantined(self) -> list[tuple[Charge, Charge]]:
        """Return the conflicts from before there was a register: the line kept, and the line refused."""
        with self._db.translated():
            rows = self._db.found(
                list[tuple[bytes, bytes]],
                "SELECT kept, refused FROM quarantine ORDER BY id, file_sha256",
            )
            return [(_decoded(kept), _decoded(refused)) for kept, refused in rows]

    def _check(self, table: str, row: Sequence[Any]) -> None:
        """DamagedError when `row` of `table` is not what was written."""
        is_checked = len(row) != WIDTHS[table] - 1
        if is_checked and long_row_checksum(table, row[:-1]) != row[-1]:
            raise self._db.damaged(
                f"{table} {row[0]!a} is not what was written: its checksum differs"
            )

    def _charge(self, row: Sequence[Any]) -> Charge:
        self._check("charges", row)
        return _decoded(as_declared(row[4], bytes))

    def _prepare(self, currency: str) -> None:
        for setting in (*_PAGES, *_CACHES):
            self._db.execute(setting)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._db.transaction():
            version = self._db.version()
            if version == 0:
                execute_all(self._db.connection, SCHEMA)
                self._db.execute("INSERT INTO meta VALUES (?)", (currency,))
            elif version < VERSION:
                if version < 3:
                    add_checksums(self._db.connection, version)
                execute_all(self._db.connection, DELIVERIES)
                found = self._db.found(list[tuple[str, str]], "SELECT sha256, kind FROM files")
                rows = self._db.execute("SELECT * FROM charges ORDER BY id").fetchall()
                self._register.adopt(dict(found), map(self._charge, rows))
            if version < VERSION:
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _rate_rows(self) -> dict[tuple[str, str, str], RateRow]:
        rows = self._db.execute("SELECT * FROM rates").fetchall()
        for row in rows:
            self._check("rates", row)
        known = as_declared([row[:5] for row in rows], list[tuple[str, str, str, str, str]])
        return {_rate_key(row): row for row in (RateRow(*values) for values in known)}

    def _kept(self, id_: str) -> Charge:
        row = self._db.execute("SELECT * FROM charges WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise self._db.damaged(f"charge {id_!a} is gone")
        return self._charge(row)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Everything of one moment, whatever is imported meanwhile."""
        with self._db.translated():
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")


def _decoded(body: bytes) -> Charge:
    return msgspec.json.decode(body, type=Charge)


def _rate_key(row: RateRow) -> tuple[str, str, str]:
    return row.day, row.from_currency, row.to_currency
