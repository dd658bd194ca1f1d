"""Scrubbing: read all stored data again, to find damage while a backup without it is left.

Problem. A byte that the disk has changed is noticed when the row (`tables`) or the file
(`archive.manifest`) is read. But a row of last spring is read when somebody disputes a bill, and by then
every backup may hold the damage.

Decision. Everything is read again from time to time, in pieces small enough to pause between: a few rows of
the journal, each in a transaction of its own, so that no snapshot grows the write-ahead log; the in-flight
logs; the manifest; the segments of one day. A `Piece` is the result of each; the driver (`wiring.scrub`)
sleeps in between or does not.

SQLite finds a call by its indexes, and a damaged entry hides a call whose row is whole. So each row of the
journal is looked up by each of its indexes. Damage outside of rows is found by SQLite's `integrity_check`,
which cannot be interrupted: only a `thorough` pass runs it, which a person waits for.

A damaged row stops every statement and archiving that reads it. When no backup has it, `set_aside` moves it
into quarantine, which is shown at the close of a period; nothing else is repaired.

Not found: rows that were lost from the end of the write-ahead log. SQLite takes a damaged frame for the
end of the log. Calls that were open then are in the in-flight logs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from inferworks.errors import DamagedError, DataFolderError, LakeError
from inferworks.meter.archive.journal import UnsealedReader
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.seal import check_journal
from inferworks.meter.archive.verify import by_day, check_day, check_sums, read_commits
from inferworks.meter.inflight_log import damaged_lines, opening_files
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.reader import check_version, damaged, reading
from inferworks.meter.record import Quarantined
from inferworks.meter.tables import QUARANTINE, SCHEMA_VERSION, TABLES, Table
from inferworks.sqlite import connect, transaction

_CHUNK: Final = 128
"""Rows of the journal in a piece: less than a millisecond."""
_NEWEST: Final = 256
"""Rows of each table that a start looks at."""
_SMALL_BYTES: Final = 32 << 20
"""A journal of up to this is looked at whole before a start: a tenth of a second."""
_MOST_MESSAGES: Final = 20

_NOT_FOUND: Final = """
SELECT count(*) FROM usage AS kept NOT INDEXED WHERE rowid > ? AND rowid <= ? AND NOT (
  EXISTS (SELECT 1 FROM usage AS found INDEXED BY usage_by_opening
    WHERE found.opened_ns = kept.opened_ns AND found.call_id = kept.call_id
    AND found.rowid = kept.rowid)
  AND EXISTS (SELECT 1 FROM usage AS found INDEXED BY sqlite_autoindex_usage_1
    WHERE found.call_id = kept.call_id AND found.rowid = kept.rowid))
"""
"""Count of calls that cannot be found by their time, or by their id."""

_SEALED: Final = {
    "usage": "SELECT 1 FROM sealed_usage AS seal WHERE seal.call_id = usage.call_id",
    "activity": """SELECT 1 FROM sealed_activity AS seal
  WHERE seal.source = activity.source AND seal.id = activity.id""",
}
"""Marks of reports that are in the lake."""

_STRAY: Final = (
    """SELECT count(*) FROM sealed_usage AS seal WHERE NOT EXISTS (
  SELECT 1 FROM usage WHERE usage.call_id = seal.call_id)""",
    """SELECT count(*) FROM sealed_activity AS seal WHERE NOT EXISTS (
  SELECT 1 FROM activity WHERE activity.source = seal.source AND activity.id = seal.id)""",
)
"""Count of archive marks without a report: an archived report would then be counted again."""


class Piece(NamedTuple):
    """Part of the data read in one go, with its faults."""

    part: str
    """The part of the data folder it belongs to, for people."""
    rows: int
    bytes: int
    """About."""
    findings: tuple[str, ...] = ()
    """Faults, a line each, with the file and what to do."""
    unchecked: int = 0
    """Rows and commits without a checksum, of before there were any."""


def check_start(path: Path) -> None:
    """See that the journal at `path` is sound where a start has the time to look; DamagedError when not.

    Its newest rows, and each page of a small one; the scrub looks at the rest. One that was being made when
    its maker died is none yet.
    """
    if (
        not path.exists()
        or not path.stat().st_size
        or path.with_name(f"{path.name}-journal").exists()
    ):
        return
    with _Rows(path) as rows:
        size = path.stat().st_size
        if size <= _SMALL_BYTES:
            for finding in rows.whole(size, "quick_check").findings:
                raise DamagedError(finding)
        rows.check_newest()


def scrub_journal(path: Path, *, thorough: bool = False) -> Iterator[Piece]:
    """Read the journal at `path`, and the opening files beside it."""
    try:
        with _Rows(path) as rows:
            yield from rows.pieces()
            if thorough:
                yield rows.whole(path.stat().st_size, "integrity_check")
    except DataFolderError as error:
        yield Piece("journal", 0, 0, (str(error),))
    for file in opening_files(path):
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue  # its calls have ended
        count = len(damaged_lines(data))
        yield Piece(
            "openings",
            data.count(b"\n"),
            len(data),
            (f"{file}: {count} lines are not what was written",) if count else (),
        )


def set_aside(path: Path) -> list[str]:
    """Move the damaged rows of the journal at `path` into its quarantine, and describe each.

    Indexes are made anew. Reports that are in the lake already stay, for their names must be known for
    ever; no statement reads them. Nobody else may use the journal meanwhile. DamagedError when pages
    cannot be read: then nothing was changed.
    """
    with _Rows(path) as rows:
        damaged_rows = list(rows.damaged_rows())
    with reading(path), closing(connect(path, "rw")) as database, transaction(database):
        for table, row, reason in damaged_rows:
            kept = Quarantined("scrub", table.name, reason, ascii(row), None)
            database.execute(QUARANTINE.insert(1), QUARANTINE.stored(kept))
            # Not by an index: the row may lie where its key does not lead.
            same = " AND ".join(f"+{name} IS ?" for name in table.names)
            database.execute(f"DELETE FROM {table.name} WHERE {same}", row[: len(table.names)])
        if damaged_rows:
            database.execute("REINDEX")
    return [reason for _, _, reason in damaged_rows]


def scrub_lake(lake: LakeStore, *journals: Path) -> Iterator[Piece]:
    """Read `lake`, and compare it with the records that `journals` have of it."""
    try:
        for journal in journals[:1]:
            check_journal(journal, lake)
        with JournalsReader([path for path in journals if path.exists()]) as reader:
            commits = read_commits(lake, reader.seals())
    except (LakeError, DataFolderError) as error:
        yield Piece("lake", 0, 0, (str(error),))
        return
    found = tuple(finding.what for finding in commits.findings)
    yield Piece("lake", commits.manifest.version, 0, found, commits.unchecked)
    for segments in by_day(commits.manifest.segments):
        yield Piece(
            "lake",
            sum(segment.rows for segment in segments),
            sum(segment.bytes for segment in segments),
            tuple(finding.what for finding in check_day(lake, segments)),
        )
    sums = commits.manifest.sums
    found = tuple(one.what for one in check_sums(lake, commits.manifest, recomputed=False))
    yield Piece("lake", 0, sum(one.bytes for one in sums), found)


class _Rows(UnsealedReader):
    """A journal, read whole, a piece at a time."""

    def pieces(self) -> Iterator[Piece]:
        """Yield every row of every table, in pieces. A damaged page ends the table it is in."""
        for table in self._tables():
            try:
                yield from self._table(table)
            except DataFolderError as error:
                yield Piece("journal", 0, 0, (str(error),))
        if self.seals().journal:
            with reading(self._path):
                stray = sum(self._database.execute(query).fetchone()[0] for query in _STRAY)
            what = (self._told(f"{stray} marks that a report was sealed belong to none"),)
            yield Piece("journal", 0, 0, what if stray else ())

    def whole(self, size: int, check: str) -> Piece:
        """Run SQLite's `check` on the file of `size` bytes and return its findings."""
        with reading(self._path):
            messages = self._database.execute(f"PRAGMA {check}({_MOST_MESSAGES})").fetchall()
        # It may tell of one thing in several lines.
        found = ["; ".join(str(text).split("\n")) for (text,) in messages if text != "ok"]
        return Piece("journal", 0, size, tuple(map(self._told, found)))

    def check_newest(self) -> None:
        """Raise DamagedError when one of the newest rows of a table is damaged."""
        for table in self._tables():
            key = "rowid" if table.rowid else table.key
            order = ", ".join(f"{name} DESC" for name in key.split(", "))
            with reading(self._path):
                query = f"SELECT * FROM {table.name} ORDER BY {order} LIMIT {_NEWEST}"
                for row in self._database.execute(query):
                    table.read(row)

    def _tables(self) -> Iterator[Table[Any]]:
        """The tables that the journal has: in one of a former version some are missing, or views."""
        if check_version(self._database, self._path) == SCHEMA_VERSION:
            return iter(TABLES.values())
        with reading(self._path):
            names = self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            there = {name for (name,) in names}
        return (table for table in TABLES.values() if table.name in there)

    def _table(self, table: Table[Any]) -> Iterator[Piece]:
        """The rows of `table` in the order of their keys."""
        key = "rowid" if table.rowid else table.key
        names = key.split(", ")
        first = f"SELECT {key}, * FROM {table.name}"
        order = f"ORDER BY {key} LIMIT {_CHUNK}"
        query, values = f"{first} {order}", ()
        while True:
            with reading(self._path):
                rows = self._database.execute(query, values).fetchall()
            if not rows:
                return
            last = rows[-1][: len(names)]
            findings: list[str] = []
            for row in rows:
                try:
                    table.read(row[len(names) :])
                except DamagedError as error:
                    findings.append(self._told(error))
            if table.name == "usage":
                with reading(self._path):
                    places = rows[0][0] - 1, last[0]
                    [lost] = self._database.execute(_NOT_FOUND, places).fetchone()
                if lost:
                    what = f"{lost} calls are in no index, so that no statement finds them"
                    findings.append(self._told(what))
            values_of = (value for row in rows for value in row)
            yield Piece(
                "journal",
                len(rows),
                # about how many bytes they take
                sum(len(one) if isinstance(one, (str, bytes)) else 6 for one in values_of),
                tuple(findings),
                sum(not table.is_checked(row[len(names) :]) for row in rows),
            )
            query = f"{first} WHERE ({key}) > ({', '.join('?' for _ in names)}) {order}"
            values = last

    def damaged_rows(self) -> Iterator[tuple[Table[Any], Any, str]]:
        """Yield the damaged rows with the reasons; but no reports that are in the lake."""
        seals = self.seals()
        for table in self._tables():
            sealed = _SEALED.get(table.name) if seals.journal else None
            where = f"WHERE NOT EXISTS ({sealed})" if sealed else ""
            with reading(self._path):
                for row in self._database.execute(f"SELECT * FROM {table.name} {where}"):
                    try:
                        table.read(row)
                    except DamagedError as error:
                        yield table, row, str(error)

    def _told(self, what: object) -> str:
        return str(damaged(self._path, what))
