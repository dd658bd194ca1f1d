"""Records that the journal makes durable per second, beside the limits of the disk and of SQLite.

    python benchmarks/journal.py [--json] [--rows N] [--in-flight N] [--folder DIR]

The load is that of a gateway: `--in-flight` calls at a time, each of which is put on record as opened,
commits its Usage and waits for that. Three floors stand beside it: the same usages given to a bare SQLite
connection in one statement per row and one transaction per group; the disk's bare fsync of as many
bytes as a group writes; and the same load on an event loop with a store that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop
from msgspec.structs import replace

from inferworks.ids import new_call_id
from inferworks.meter.journal import Journal
from inferworks.meter.record import Record
from inferworks.meter.stores.base import JournalStore
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.tables import USAGE
from inferworks.meter.usage import Opened
from inferworks.testing.facts import make_opened, make_usage

_GROUP = 64
"""Rows in one transaction of the bare floors."""


@dataclass(frozen=True)
class Figures:
    """Measured figures. A row is one call's Usage; CPU is of the whole process, over all its threads."""

    name: str
    rows: int
    rows_per_s: float
    cpu_us_per_row: float
    ms_per_commit: float
    rows_per_commit: float


class CountingStore:
    """Counts the transactions that go to `store`, and the time they take."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self.commits = 0
        self.commit_s = 0.0
        self.open, self.reads, self.close = store.open, store.reads, store.close
        self.opened, self.reached = store.opened, store.reached
        self.settle, self.resume = store.settle, store.resume

    @property
    def is_in_doubt(self) -> bool:
        """As the store says."""
        return self._store.is_in_doubt

    def write(self, records: Sequence[Record]) -> None:
        """Pass `records` on."""
        begin = time.perf_counter()
        self._store.write(records)
        self.commit_s += time.perf_counter() - begin
        self.commits += 1


class NoStore(MemoryStore):
    """Store that keeps nothing: the rest is the cost of the queue and the event loop."""

    def write(self, records: Sequence[Record]) -> None:
        """Do nothing."""

    def opened(self, opened: Opened) -> None:
        """Do nothing."""


def main() -> None:
    """Measure, and print."""
    options = _options()
    if options.folder:
        Path(options.folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = list(_measure(Path(folder), options.rows, options.in_flight))
    if options.json:
        print(json.dumps([asdict(row) for row in figures]))
    else:
        _print(figures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--folder", help="where to write; its disk is what is measured")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measure(folder: Path, rows: int, in_flight: int) -> Iterator[Figures]:
    store = SqliteStore(folder / "journal.db")
    yield _journal("journal", store, rows, in_flight)
    yield _journal("event loop alone", NoStore(), rows, in_flight)
    yield _bare_sqlite(folder / "bare.db", rows)
    yield _bare_fsync(folder / "fsync", rows, (folder / "journal.db").stat().st_size // rows)


def _journal(name: str, store: JournalStore, rows: int, in_flight: int) -> Figures:
    """The load of a gateway on a journal over `store`."""
    counting = CountingStore(store)

    async def load() -> None:
        journal = Journal(counting)
        journal.start()
        calls = range(rows // in_flight)
        await asyncio.gather(*(_client(journal, calls) for _ in range(in_flight)))
        journal.close()

    return _timed(name, rows, lambda: uvloop.run(load()), counting)


async def _client(journal: Journal, calls: range) -> None:
    """One call after the other, each put on record as opened and closed durably."""
    opened, usage = make_opened(), make_usage()
    for _ in calls:
        call_id = new_call_id()
        journal.opened(replace(opened, call_id=call_id))
        await journal.commit(replace(usage, call_id=call_id))


def _bare_sqlite(path: Path, rows: int) -> Figures:
    """Write the same rows through `executemany`, in groups, on one thread and without waiters."""
    usage = make_usage()
    ids = [new_call_id() for _ in range(rows)]
    usage_rows = [USAGE.stored(replace(usage, call_id=id_)) for id_ in ids]
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(USAGE.create())

    def insert() -> None:
        for begin in range(0, len(ids), _GROUP):
            database.execute("BEGIN IMMEDIATE")
            database.executemany(USAGE.insert(1), usage_rows[begin : begin + _GROUP])
            database.execute("COMMIT")

    figures = _timed("bare SQLite", rows, insert, None)
    database.close()
    return figures


def _bare_fsync(path: Path, rows: int, row_bytes: int) -> Figures:
    """Measure fsync of as many bytes as the rows take in the database, appended in groups."""
    data = os.urandom(_GROUP * row_bytes)

    def append() -> None:
        with path.open("wb", buffering=0) as file:
            for _ in range(rows // _GROUP):
                file.write(data)
                os.fdatasync(file.fileno())

    return _timed("bare fsync", rows, append, None)


def _timed(name: str, rows: int, work: Callable[[], None], store: CountingStore | None) -> Figures:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    commits = store.commits if store else rows // _GROUP
    commit_s = store.commit_s if store else wall
    return Figures(
        name=name,
        rows=rows,
        rows_per_s=round(rows / wall),
        cpu_us_per_row=round(cpu / rows * 1e6, 2),
        ms_per_commit=round(commit_s / commits * 1e3, 3),
        rows_per_commit=round(rows / commits, 1),
    )


def _print(figures: Sequence[Figures]) -> None:
    print(f"{'':18}{'rows/s':>10}{'CPU us/row':>12}{'ms/commit':>11}{'rows/commit':>13}")
    for row in figures:
        print(
            f"{row.name:18}{row.rows_per_s:>10,.0f}{row.cpu_us_per_row:>12.2f}"
            f"{row.ms_per_commit:>11.3f}{row.rows_per_commit:>13.1f}"
        )


if __name__ == "__main__":
    main()
