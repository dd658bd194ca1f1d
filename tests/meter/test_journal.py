"""The journal: durable in groups, or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec
import pytest

from inferworks.errors import DataFolderError, JournalError, RecordError
from inferworks.meter import journal as module
from inferworks.meter.journal import Journal
from inferworks.meter.record import Record
from inferworks.meter.stores.base import JournalStore
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.stores.stub import MemoryStore
from inferworks.meter.usage import Outcome, Usage
from inferworks.testing.facts import make_opened, make_step, make_usage

FOREVER = 2**63 - 1


class GatedStore(MemoryStore):
    """Holds every write until `gate` is opened; `writing` tells that one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.writing = threading.Event()

    def write(self, records: Sequence[Record]) -> None:
        """Write once the gate is open."""
        self.writing.set()
        self.gate.wait()
        super().write(records)


def started(store: JournalStore) -> Journal:
    """A journal that has been started."""
    journal = Journal(store)
    journal.start()
    return journal


def usage_ids(store: JournalStore) -> list[str]:
    """The calls that have a usage, in order."""
    with store.reads() as reads:
        return sorted(usage.call_id for usage in reads.usages(0, FOREVER))


async def test_commit_is_durable(tmp_path: Path) -> None:
    """Another connection sees the record when a commit's wait is over."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    await journal.commit(make_usage())
    assert usage_ids(store) == ["call_1"]
    journal.close()


async def test_append_comes_before_what_is_queued_after_it() -> None:
    """An appended record is durable once a later barrier is."""
    store = MemoryStore()
    journal = started(store)
    journal.append(make_usage())
    await journal.durable()
    assert usage_ids(store) == ["call_1"]
    journal.close()


async def test_what_queues_up_becomes_one_transaction() -> None:
    """While one group is being written, the next gathers and is written at once."""
    store = GatedStore()
    journal = started(store)
    first = journal.commit(make_usage(call_id="first"))
    store.writing.wait()
    rest = [journal.commit(make_usage(call_id=f"{n}")) for n in range(200)]
    store.gate.set()
    await asyncio.gather(first, *rest)
    assert store.writes == 2
    journal.close()


async def test_one_wake_up_for_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group's waiters are woken by one call into the event loop."""
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    wake = loop.call_soon_threadsafe

    def counted(callback: object, *args: object) -> object:
        calls.append(callback)
        return wake(callback, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    store = GatedStore()
    journal = started(store)
    first = journal.commit(make_usage(call_id="first"))
    store.writing.wait()
    rest = [journal.commit(make_usage(call_id=f"{n}")) for n in range(200)]
    store.gate.set()
    await asyncio.gather(first, *rest)
    assert len(calls) == 2
    journal.close()


async def test_who_is_woken_joins_the_next_group() -> None:
    """Callers that commit again as soon as they are woken share a transaction, not one each."""
    store = MemoryStore()
    journal = started(store)

    async def client(who: int) -> None:
        for n in range(10):
            await journal.commit(make_usage(call_id=f"{who}-{n}"))

    await asyncio.gather(*(client(who) for who in range(50)))
    journal.close()
    assert len(usage_ids(store)) == 500
    assert store.writes <= 50


async def test_close_commits_everything_queued() -> None:
    """Nothing that was appended before closing is lost."""
    store = MemoryStore()
    journal = started(store)
    for n in range(10_000):
        journal.append(make_opened(call_id=f"{n}"))
    journal.close()
    with store.reads() as reads:
        assert reads.counts()["opened"] == 10_000


async def test_all_or_none() -> None:
    """Records committed together fail together, and take nobody else with them."""
    store = GatedStore()
    journal = started(store)
    first = journal.commit(make_usage(call_id="a"))
    store.writing.wait()
    together = journal.commit_all([make_usage(call_id="b"), make_usage(call_id="a")])
    other = journal.commit(make_usage(call_id="c"))
    store.gate.set()
    await asyncio.gather(first, other)
    with pytest.raises(RecordError, match="refused"):
        await together
    assert usage_ids(store) == ["a", "c"]
    journal.close()


async def test_a_second_usage_of_a_call_is_refused(tmp_path: Path) -> None:
    """A call's second usage is an error of its owner; the journal goes on."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    await journal.commit(make_usage())
    with pytest.raises(RecordError, match="refused"):
        await journal.commit(make_usage(customer="other"))
    await journal.commit(make_usage(call_id="call_2"))
    journal.close()
    with store.reads() as reads:
        assert [usage.customer for usage in reads.usages(0, FOREVER)] == ["acme", "acme"]


@pytest.mark.parametrize("odd", [{"model": "\ud800"}, {"opened_ns": 2**63}, {"call_id": "call_1"}])
async def test_a_refused_record_without_an_owner_is_quarantined(
    odd: dict[str, object], tmp_path: Path
) -> None:
    """A record at fault that nobody waits for neither vanishes nor stops the journal."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    await journal.commit(make_usage())
    journal.append(make_usage(**({"call_id": "odd"} | odd)))  # type: ignore[arg-type]
    await journal.commit(make_usage(call_id="call_2"))
    journal.close()
    assert usage_ids(store) == ["call_1", "call_2"]
    with store.reads() as reads:
        [quarantined] = reads.quarantined()
    assert quarantined.source == "Usage"
    assert "acme" in quarantined.body


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store in trouble tried again soon."""
    monkeypatch.setattr(module, "_TRY_AGAIN_S", 0.01)


async def well_again(journal: Journal) -> None:
    """Wait until records can be made durable."""
    async with asyncio.timeout(10):
        while journal.failed:
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("soon")
async def test_a_failed_disk_fails_everybody_until_it_is_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Waiting and new records fail while a store fails; once it does not, records are taken again."""
    store = GatedStore()
    journal = started(store)
    store.broken = True
    waiting = [journal.commit(make_usage(call_id=f"{n}")) for n in range(5)]
    store.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, JournalError) for result in results)
    assert (journal.failed, journal.alive) == (True, True)
    for refused in (journal.commit(make_usage(call_id="later")), journal.durable()):
        with pytest.raises(JournalError, match="the store is broken"):
            await refused
    with pytest.raises(JournalError, match="the store is broken"):
        journal.opened(make_opened(call_id="later"))
    store.broken = False
    await well_again(journal)
    assert journal.trouble is None
    await journal.commit(make_usage(call_id="afterwards"))
    journal.close()
    assert usage_ids(store) == ["afterwards"]
    assert len(caplog.records) == 2, "one line when it begins, one when it is over"
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.usefixtures("soon")
async def test_a_call_that_was_opened_is_never_lost() -> None:
    """The Usage is kept while the store fails: as it is if nobody waits, else as what it is otherwise."""
    store = GatedStore()
    journal = started(store)
    store.broken = True
    before = journal.commit(make_usage(call_id="before"), otherwise=as_failed)
    store.writing.wait()
    queued = journal.commit(make_usage(call_id="queued"), otherwise=as_failed)
    store.gate.set()
    for waiter in (before, queued, journal.commit(make_usage(call_id="later"), as_failed)):
        with pytest.raises(JournalError):
            await waiter
    journal.append(make_usage(call_id="left"))
    assert journal.failed
    store.broken = False
    await well_again(journal)
    journal.close()
    with store.reads() as reads:
        outcomes = {usage.call_id: usage.outcome for usage in reads.usages(0, FOREVER)}
    failed, answered = Outcome.FAILED, Outcome.ANSWERED
    assert outcomes == {"before": failed, "queued": failed, "later": failed, "left": answered}


def as_failed(usage: Usage) -> Usage:
    """Usage on record of a call whose answer was held back."""
    return msgspec.structs.replace(usage, outcome=Outcome.FAILED)


class LyingStore(MemoryStore):
    """Writes, and says once that it has not: the fsync failed."""

    lies = True

    def write(self, records: Sequence[Record]) -> None:
        """Write, and perhaps lie."""
        super().write(records)
        if self.lies:
            self.lies = False
            raise JournalError("disk I/O error")


@pytest.mark.usefixtures("soon")
async def test_what_is_in_doubt_is_taken_back() -> None:
    """A record that was written although its waiter was told otherwise becomes what the waiter was told."""
    store = LyingStore()
    journal = started(store)
    for otherwise in (as_failed, None):
        store.lies = True
        call = make_usage(call_id="kept" if otherwise else "refused")
        with pytest.raises(JournalError):
            await journal.commit(call, otherwise)
        await well_again(journal)
    journal.close()
    with store.reads() as reads:
        [usage] = reads.usages(0, FOREVER)
    assert (usage.call_id, usage.outcome) == ("kept", Outcome.FAILED)


@pytest.mark.usefixtures("soon")
async def test_a_fault_in_the_writer_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error anywhere in the writer is told to its waiters and logged once, and the writer goes on."""
    told = list[int]()

    def committed(records: int, _ns: int) -> None:
        told.append(records)
        if len(told) < 3:
            raise ZeroDivisionError

    store = MemoryStore()
    journal = Journal(store, committed=committed)
    journal.start()
    with pytest.raises(JournalError, match="ZeroDivisionError"):
        await journal.commit(make_usage(call_id="a"), otherwise=as_failed)
    await well_again(journal)
    assert journal.alive
    await journal.commit(make_usage(call_id="b"))
    in_trouble, is_in_trouble = module.Journal._in_trouble, threading.Event()

    def noted(journal: Journal, error: Exception) -> JournalError:
        trouble = in_trouble(journal, error)
        is_in_trouble.set()
        return trouble

    monkeypatch.setattr(module.Journal, "_in_trouble", noted)
    monkeypatch.setattr(module.Journal, "_take_group", raise_once(module.Journal._take_group))
    with suppress(JournalError):  # the fault may come before the record, or after it
        await journal.commit(make_usage(call_id="c"), otherwise=as_failed)
    assert await asyncio.to_thread(is_in_trouble.wait, 10)
    await well_again(journal)
    await journal.commit(make_usage(call_id="d"))
    journal.close()
    assert usage_ids(store) == ["a", "b", "c", "d"]
    assert [record.exc_text is None for record in caplog.records].count(False) == 2


def raise_once(method: Callable[[Journal], object]) -> Callable[[Journal], object]:
    """`method`, which raises when it is called for the first time."""
    calls = count()

    def raising(journal: Journal) -> object:
        if next(calls) == 0:
            raise MemoryError
        return method(journal)

    return raising


@pytest.mark.usefixtures("soon")
async def test_closing_in_trouble_says_so() -> None:
    """A stop while the store fails says so; a stop once it does not has everything on record."""
    store = MemoryStore()
    for is_well in (False, True):
        journal = started(store)
        store.broken = True
        with pytest.raises(JournalError):
            await journal.commit(make_usage(call_id=f"{is_well}"), otherwise=as_failed)
        store.broken = not is_well
        if is_well:
            journal.close()
        else:
            with pytest.raises(JournalError, match="broken"):
                journal.close()
        store.broken = False
    assert usage_ids(store) == ["True"]


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
async def test_a_full_disk_passes(tmp_path: Path) -> None:
    """A database that cannot grow refuses, keeps what was durable, and takes records when it can grow."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    await journal.commit(make_usage())
    database = store._open_database()
    [pages] = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    for begin in (0, 500):
        many = [make_usage(call_id=f"{begin + n}") for n in range(500)]
        with pytest.raises(JournalError, match="full"):
            await journal.commit_all(many, as_failed)
        await asyncio.sleep(0.1)
    assert usage_ids(store) == ["call_1"]
    database.execute("PRAGMA max_page_count = 1000000")
    await well_again(journal)
    await journal.commit(make_usage(call_id="later"))
    journal.close()
    assert len(usage_ids(store)) == 1002


@pytest.mark.usefixtures("soon")
async def test_how_a_record_ended_is_told_whoever_waits_for_it() -> None:
    """Its end is told once, when it is certain, before the waiter goes on, and also where that has left."""
    store = GatedStore()
    journal = started(store)
    told = list[str]()

    def commit(name: str) -> asyncio.Future[None]:
        def ended(error: JournalError | None) -> None:
            told.append(f"{name} {'ends' if error is None else 'fails'}")

        return journal.commit(make_usage(call_id=name), as_failed, ended)

    gone, stays = commit("gone"), commit("stays")
    gone.cancel()
    await asyncio.sleep(0)
    assert told == []
    store.gate.set()
    await stays
    assert told == ["gone ends", "stays ends"]
    store.gate.clear()
    gone, stays = commit("gone too"), commit("stays too")
    gone.cancel()
    store.broken = True
    store.gate.set()
    with pytest.raises(JournalError):
        await stays
    with pytest.raises(JournalError):
        await commit("late")
    assert told[2:] == ["gone too fails", "stays too fails", "late fails"]
    store.broken = False
    await well_again(journal)
    journal.close()
    with pytest.raises(JournalError):
        await commit("never")
    assert len(told) == 5, "recovery says how it ended"
    assert usage_ids(store) == ["gone", "gone too", "late", "stays", "stays too"]


async def test_cancelling_a_wait_does_not_take_the_record_back() -> None:
    """A waiter that is gone hinders nobody, and its record is kept."""
    store = GatedStore()
    journal = started(store)
    gone = journal.commit(make_usage(call_id="gone"))
    stays = journal.commit(make_usage(call_id="stays"))
    gone.cancel()
    store.gate.set()
    await stays
    assert usage_ids(store) == ["gone", "stays"]
    journal.close()


def test_a_closed_event_loop_hinders_nobody() -> None:
    """Waiters whose event loop is gone are passed over."""
    store = GatedStore()
    journal = started(store)

    async def leave() -> None:
        journal.commit(make_usage())

    asyncio.run(leave())
    store.gate.set()
    journal.close()
    assert usage_ids(store) == ["call_1"]


async def test_before_start_and_after_close() -> None:
    """A journal that does not run takes nothing; closing twice is harmless."""
    journal = Journal(MemoryStore())
    with pytest.raises(JournalError, match="not been started"):
        journal.append(make_usage())
    journal.start()
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.commit(make_usage())


def test_start_says_what_is_wrong(tmp_path: Path) -> None:
    """A store that cannot be opened is the starter's error, and no thread is left behind."""
    journal = Journal(SqliteStore(tmp_path / "nowhere" / "journal.db"))
    with pytest.raises(DataFolderError):
        journal.start()
    journal.close()


async def test_another_process_can_read_and_write_meanwhile(tmp_path: Path) -> None:
    """A second writer, such as an import, takes turns with the first."""
    stores = [SqliteStore(tmp_path / "journal.db") for _ in range(2)]
    journals = [started(store) for store in stores]
    await asyncio.gather(*(
        journal.commit(make_usage(call_id=f"{who}-{n}"))
        for who, journal in enumerate(journals)
        for n in range(50)
    ))  # fmt: skip
    for journal in journals:
        journal.close()
    assert len(usage_ids(stores[0])) == 100


async def test_steps_of_a_replica_that_numbers_again(tmp_path: Path) -> None:
    """A replica that is started again numbers its steps from the beginning, and none is refused."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    await journal.commit_all([make_step(seq=1, start_ns=10, duration_ns=1)])
    await journal.commit_all([make_step(seq=1, start_ns=20, duration_ns=1)])
    journal.close()
    with store.reads() as reads:
        assert [step.start_ns for step in reads.steps(None, 0, FOREVER)] == [10, 20]


@pytest.mark.slow
def test_killed_at_full_speed(tmp_path: Path) -> None:
    """After SIGKILL every record that was told durable is there, and none twice."""
    path = tmp_path / "journal.db"
    writer = Path(__file__).with_name("journal_writer.py")
    with subprocess.Popen([sys.executable, writer, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(2000)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
    durable = {line.strip().decode() for line in told if line.endswith(b"\n")}
    store = SqliteStore(path)
    store.open()
    store.close()
    kept = Counter(usage_ids(store))
    assert durable <= kept.keys()
    assert set(kept.values()) == {1}
    with store.reads() as reads:
        unclosed = {opened.call_id for opened in reads.opened_unclosed()}
    assert not kept.keys() & unclosed
    assert len(unclosed) <= 64, "more calls are open than there were clients"


@pytest.mark.slow
def test_reading_while_another_process_writes(tmp_path: Path) -> None:
    """A reader sees consistent, growing facts while a writer in another process runs."""
    path = tmp_path / "journal.db"
    writer = Path(__file__).with_name("journal_writer.py")
    with subprocess.Popen([sys.executable, writer, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        store, before = SqliteStore(path), 0
        for _ in range(20):
            process.stdout.readline()
            with store.reads() as reads:
                counts = reads.counts()
                assert len(reads.facts(0, FOREVER).usages) >= counts["usage"] >= before
                before = counts["usage"]
        process.kill()
        process.stdout.read()


def test_the_schema_is_checked_by_sqlite(tmp_path: Path) -> None:
    """After some writing the file passes SQLite's own integrity check."""
    store = SqliteStore(tmp_path / "journal.db")
    journal = started(store)
    for n in range(1000):
        journal.append(make_usage(call_id=f"{n}"))
    journal.close()
    database = sqlite3.connect(tmp_path / "journal.db")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


async def test_each_commit_is_told_with_its_size() -> None:
    """The watch hears of every group that was committed, and sees what waits for the next."""
    store, told = GatedStore(), list[tuple[int, int]]()
    journal = Journal(store, committed=lambda records, ns: told.append((records, ns)))
    assert journal.failed, "it has not been started"
    journal.start()
    first = journal.commit(make_usage(call_id="a"))
    await asyncio.to_thread(store.writing.wait)
    for name in "bc":
        journal.append(make_usage(call_id=name))
    assert (journal.queued, journal.failed) == (2, False)
    store.gate.set()
    await first
    journal.close()
    assert [records for records, _ in told] == [1, 2]
    assert all(ns > 0 for _, ns in told)
