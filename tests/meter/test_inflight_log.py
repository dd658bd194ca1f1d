"""Log of the open calls, which survives any death, in files that stay small."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace

from inferworks.clock import SimClock
from inferworks.errors import JournalError, RecordError
from inferworks.meter import inflight_log as module
from inferworks.meter.archive.journal import SealingJournal
from inferworks.meter.inflight_log import opening_files, read_inflight_log
from inferworks.meter.journal import Journal
from inferworks.meter.recover import recover
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Checkpoint, Opened, Outcome
from inferworks.testing.facts import A_TIME_NS, make_leg, make_opened, make_usage

FOREVER = 2**63 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the journal; its name holds signs of a pattern."""
    return tmp_path / "journal[1].db"


def opened_store(path: Path) -> SqliteStore:
    """A store that is ready."""
    store = SqliteStore(path)
    store.open()
    return store


def still_open(store: SqliteStore) -> list[str]:
    """The calls that were opened and have no usage."""
    with store.reads() as reads:
        return [call.call_id for call in reads.opened_unclosed()]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes meanwhile: of the kernel's errors one like a full disk's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def raises_io_error(*_: object) -> None:
    """Fail as a dying disk does."""
    raise OSError(errno.EIO, "Input/output error")


async def well_again(journal: Journal) -> None:
    """Wait until records can be made durable."""
    async with asyncio.timeout(10):
        while journal.failed:
            await asyncio.sleep(0.005)


def file_bytes(path: Path) -> list[int]:
    """Size of each opening file."""
    return [file.stat().st_size for file in opening_files(path)]


def test_an_open_call_is_seen_by_others_at_once(path: Path) -> None:
    """An open call is seen by any reader as it was, before anything was committed."""
    store = opened_store(path)
    call = replace(make_opened(call_id="a"), end_user='a "quoted" größe')
    store.opened(call)
    with store.reads() as reads:
        assert list(reads.opened_unclosed()) == [call]
    store.write([make_usage(call_id="a")])
    assert still_open(store) == []
    store.close()
    assert file_bytes(path) == [], "nothing is left when nothing is open"


def test_a_dead_process_leaves_its_open_calls(path: Path) -> None:
    """The successor of a process that never closed finds its calls, and then lets its file go."""
    dead = opened_store(path)
    dead.opened(make_opened(call_id="a"))
    dead.opened(make_opened(call_id="b"))
    dead.write([make_usage(call_id="a")])
    dead.close()
    store = opened_store(path)
    assert store.settle(), "the file is still needed"
    assert still_open(store) == ["b"]
    store.write([make_usage(call_id="b")])
    assert not store.settle()
    assert file_bytes(path) == [0], "but for the one of the living"
    store.close()


def test_the_file_of_a_living_process_is_left_alone(path: Path) -> None:
    """A second process that uses the journal takes nothing from the first."""
    first = opened_store(path)
    first.opened(make_opened(call_id="a"))
    first.write([make_usage(call_id="a")])
    second = opened_store(path)
    assert not second.settle()
    first.opened(make_opened(call_id="b"))
    assert still_open(second) == ["b"]
    second.close()
    first.close()


def test_a_line_that_was_cut_off_is_no_record(path: Path) -> None:
    """Whole lines count, whatever the last write left of a line, and whatever was damaged."""
    store = opened_store(path)
    store.opened(make_opened(call_id="a"))
    store.opened(make_opened(call_id="b"))
    store.close()
    [file] = opening_files(path)
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        file.write_bytes(whole[:end])
        assert list(read_inflight_log(path).opened) == ["a"]
    file.write_bytes(b"\0" * (first - 1) + b"\n" + whole[first:])
    assert list(read_inflight_log(path).opened) == ["b"]


def test_a_file_that_has_grown_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files stay small, however many calls there were, and keep a call that is open."""
    monkeypatch.setattr(module, "_LARGE_BYTES", 10_000)
    store = opened_store(path)
    store.opened(make_opened(call_id="long"))
    largest = 0
    for number in range(500):
        store.opened(make_opened(call_id=f"{number}"))
        store.write([make_usage(call_id=f"{number}")])
        if number % 10 == 9:
            assert store.settle()
            largest = max(largest, sum(file_bytes(path)))
    assert largest < 15_000
    assert still_open(store) == ["long"]
    store.write([make_usage(call_id="long")])
    assert not store.settle()
    assert file_bytes(path) == [0], "with nothing open it is emptied"
    store.opened(make_opened(call_id="next"))
    assert still_open(store) == ["next"]
    store.close()


def test_what_is_opened_while_a_file_is_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that comes just then is written to the new file, and nobody asks the old one for it."""
    monkeypatch.setattr(module, "_LARGE_BYTES", 1000)
    openings = module.InflightLog(path)
    openings.open()
    swap = openings._replace

    def swap_beside_a_call(old: module._File | None) -> None:
        swap(old)
        openings.append(make_opened(call_id="beside"))

    monkeypatch.setattr(openings, "_replace", swap_beside_a_call)
    for number in range(20):
        openings.append(make_opened(call_id=f"{number}"))
    for number in range(20):
        openings.ended(make_opened(call_id=f"{number}").call_id)
    openings.append(make_opened(call_id="long"))
    assert openings.settle(lambda _: False)
    assert openings.settle(lambda _: False)
    openings.close()


def test_the_newest_checkpoint_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream's progress outlives its process and any number of files, and goes with the call."""
    monkeypatch.setattr(module, "_LARGE_BYTES", 1000)
    store = opened_store(path)
    call = make_opened(call_id="stream")
    store.opened(call)
    for at_ns in range(100):
        reached = Checkpoint(call.call_id, at_ns, make_leg(), 10 * at_ns)
        store.reached(reached)
        assert store.settle()
    assert sum(file_bytes(path)) < 4000
    store.close()
    after = opened_store(path)
    with after.reads() as reads:
        assert list(reads.opened_unclosed()) == [call]
        assert reads.checkpoint(call.call_id) == reached
    after.write([make_usage(call_id="stream")])
    assert not after.settle()
    with after.reads() as reads:
        assert reads.checkpoint(call.call_id) is None
    after.close()


def test_a_usage_is_not_sealed_while_its_call_is_in_a_file(path: Path) -> None:
    """Recovery would else not find the usage, and would close the call a second time."""
    store = opened_store(path)
    store.opened(make_opened(call_id="open"))
    store.opened(make_opened(call_id="over"))
    store.write([make_usage(call_id="over")])
    with SealingJournal(path) as sealing:
        assert sealing.due(FOREVER) == []
        store.write([make_usage(call_id="open")])
        assert sealing.due(FOREVER) == []
        assert not store.settle()
        assert [due.rows for due in sealing.due(FOREVER)] == [2]
    store.close()


@pytest.mark.parametrize(
    "opened",
    [
        make_opened(opened_ns=2**63),
        replace(make_opened(), request_bytes=2**63),
        make_opened(model="\ud800"),
        make_opened(call_id="open"),
    ],
    ids=["time", "size", "text", "twice"],
)
def test_what_cannot_be_kept_is_refused(path: Path, opened: Opened) -> None:
    """A value that a database could not hold is refused when it is written, not when it is read."""
    store = opened_store(path)
    store.opened(make_opened(call_id="open"))
    with pytest.raises(RecordError):
        store.opened(opened)
    assert still_open(store) == ["open"]
    store.close()


async def test_a_full_disk_opens_nothing(path: Path) -> None:
    """A line that does not fit refuses its call, half of it is no call, and the next one is well."""
    store = opened_store(path)
    store.opened(make_opened(call_id="first"))
    [size] = file_bytes(path)
    with largest_file(size + 100):
        for _ in range(2):
            with pytest.raises(JournalError, match="File too large"):
                store.opened(make_opened(call_id="a"))
        assert file_bytes(path) == [size], "nothing is left of a line that did not fit"
        with pytest.raises(JournalError, match="File too large"):
            store.resume([])
    store.resume([])
    store.opened(make_opened(call_id="b"))
    assert still_open(store) == ["b", "first"]
    store.close()


async def test_the_journal_opens_calls_again_when_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk is full each call is refused; once it is not, calls are opened, without a restart."""
    monkeypatch.setattr("inferworks.meter.journal._TRY_AGAIN_S", 0.01)
    journal = Journal(SqliteStore(path))
    journal.start()
    with largest_file(100):
        for _ in range(3):
            with pytest.raises(JournalError, match="File too large"):
                journal.opened(make_opened(call_id="a"))
        assert journal.failed
        assert "File too large" in (journal.trouble or "")
    await well_again(journal)
    journal.opened(make_opened(call_id="a"))
    await journal.commit(make_usage(call_id="a"))
    journal.close()


async def open_and_end(journal: Journal, calls: Iterable[int]) -> None:
    """Open and end `calls`, one after the other; a Usage that cannot be written now is kept."""
    for call in calls:
        journal.opened(make_opened(call_id=f"{call}"))
        await journal.commit(make_usage(call_id=f"{call}"), otherwise=lambda usage: usage)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("call", ["fdatasync", "ftruncate"])
async def test_a_disk_that_loses_what_it_took(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """After a failed sync what is open is written anew into another file before calls are opened again."""
    monkeypatch.setattr("inferworks.meter.journal._SETTLE_S", 0.01)
    monkeypatch.setattr("inferworks.meter.journal._TRY_AGAIN_S", 0.01)
    store = SqliteStore(path)
    journal = Journal(store)
    journal.start()
    journal.opened(make_opened(call_id="long"))
    if call == "ftruncate":
        await journal.commit(make_usage(call_id="long"))
    with monkeypatch.context() as dying:
        dying.setattr(os, call, raises_io_error)
        with pytest.raises(JournalError, match="Input/output error"):
            await open_and_end(journal, count())
    await well_again(journal)
    assert still_open(store) == ([] if call == "ftruncate" else ["long"])
    await open_and_end(journal, [-1])
    assert len(list(opening_files(path))) == 1, "what failed on the way is gone"
    journal.close()


async def test_a_file_that_cannot_be_replaced_does_for_now(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call is refused because there is no room for a smaller file, which comes when there is."""
    monkeypatch.setattr(module, "_LARGE_BYTES", 1000)
    store = opened_store(path)
    store.opened(make_opened(call_id="long"))
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", raises_io_error)  # of the folder, for the new name
        for number in range(50):
            store.opened(make_opened(call_id=f"{number}"))
            store.write([make_usage(call_id=f"{number}")])
            assert store.settle()
    [size] = file_bytes(path)
    assert size > 10_000
    assert store.settle()
    assert sum(file_bytes(path)) < 1000
    assert still_open(store) == ["long"]
    store.close()


def test_files_without_end_do_not_arise(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safe calls are kept and nothing piles up, however often a disk fails to take the new file."""
    store = opened_store(path)
    store.opened(make_opened(call_id="a"))
    store.settle()
    [safe] = opening_files(path)
    store.opened(make_opened(call_id="b"))
    with monkeypatch.context() as dying:
        dying.setattr(os, "fdatasync", raises_io_error)
        for _ in range(5):
            with pytest.raises(JournalError):
                store.settle()
            with pytest.raises(JournalError):
                store.resume([])
        assert safe in opening_files(path), "the only file that the disk has for sure"
        assert len(list(opening_files(path))) <= 3
    store.resume([])
    assert still_open(store) == ["a", "b"]
    store.write([make_usage(call_id="a"), make_usage(call_id="b")])
    assert not store.settle()
    assert file_bytes(path) == [0]
    store.close()


def test_a_file_that_somebody_removed(path: Path) -> None:
    """Open calls are written anew when the file with them is gone."""
    store = opened_store(path)
    store.opened(make_opened(call_id="a"))
    for file in opening_files(path):
        file.unlink()
    assert still_open(store) == []
    store.settle()
    assert still_open(store) == ["a"]
    store.close()
    assert len(list(opening_files(path))) == 1


def test_no_descriptor_is_left(path: Path) -> None:
    """With every descriptor taken calls are opened, ended and settled as ever."""
    store = opened_store(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for number in range(200):
            store.opened(make_opened(call_id=f"{number}"))
        store.settle()
        store.write([make_usage(call_id=f"{number}") for number in range(200)])
        assert not store.settle()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    store.close()


def run_and_kill(path: Path, lines: int) -> Counter[str]:
    """Lines that a writer printed until it was killed, after `lines` of them."""
    writer = Path(__file__).with_name("opening_writer.py")
    with subprocess.Popen([sys.executable, writer, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
    return Counter(line.decode().strip() for line in said if line.endswith(b"\n"))


@pytest.mark.slow
async def test_killed_again_and_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each SIGKILL at full speed every call that was opened gets one usage: none lost, none two."""
    monkeypatch.setattr("inferworks.meter.journal._SETTLE_S", 0.01)
    opened: set[str] = set()
    answered: set[str] = set()
    for lines in (1, 50, 3000, 10_000):
        said = run_and_kill(path, lines)
        opened |= {line[1:] for line in said if line[0] == "+"}
        answered |= {line[1:] for line in said if line[0] == "-"}
        journal = Journal(SqliteStore(path))
        journal.start()
        await recover(journal, SimClock(A_TIME_NS), [])
        with journal.reads() as reads:
            assert not list(reads.opened_unclosed())
            usages = list(reads.usages(0, FOREVER))
        journal.close()
    outcomes = {usage.call_id: usage.outcome for usage in usages}
    assert len(outcomes) == len(usages)
    assert opened <= outcomes.keys(), "an opened call was lost"
    crashed = {call_id for call_id, outcome in outcomes.items() if outcome is Outcome.CRASHED}
    assert not crashed & answered, "a call that was answered is called crashed"
    assert len(crashed) >= 4
    store = opened_store(path)
    assert not store.settle()
    assert file_bytes(path) == [0], "what the dead have left is gone"
    store.close()
