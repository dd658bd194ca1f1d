"""The log of slices: cut anywhere, on a full disk, written anew, and read beside its living owner."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inferworks.errors import DataFolderError, LimitsError
from inferworks.ids import CallId
from inferworks.limits.slice_log import SliceLog, left_logs

A, B, C = (CallId(f"call_{name}") for name in "abc")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SliceLog]:
    """A log that is open."""
    made = SliceLog(tmp_path, "run1", "boot1")
    yield made
    made.close()


def left(folder: Path) -> dict[str, tuple[int, int, dict[str, int]]]:
    """Return what the dead have left in `folder`: granted, ended and lost of each slice."""
    return {
        one.id: (one.granted, one.ended, dict(one.lost))
        for log in left_logs(folder)
        for one in log.slices
    }


def die(log: SliceLog) -> None:
    """Let go of the file as the kernel does when its owner is killed."""
    log._let_go()


def test_a_dead_owner_leaves_what_ended_and_what_was_held(tmp_path: Path, log: SliceLog) -> None:
    """Calls that ended count by what they spent, others by all they held; settled slices are gone."""
    first, second = log.drawn("s1", "b1", 100), log.drawn("s2", "b2", 50)
    log.held(A, [first, 30, second, 5])
    log.held(B, [first, 20])
    log.held(B, [first, 45])  # it goes on, and holds so much in all
    log.ended(A, [first, 12, second, 5])
    log.settled(second)
    log.settled(99)
    assert left_logs(tmp_path) == [], "its owner lives"
    die(log)
    assert left(tmp_path) == {"s1": (100, 12, {B: 45})}
    [found] = left_logs(tmp_path)
    assert (found.run, found.boot, found.slices[0].spent) == ("run1", "boot1", 57)
    found.remove()
    assert left_logs(tmp_path) == []


def test_a_copy_of_a_log_says_nothing_of_what_was_spent(tmp_path: Path, log: SliceLog) -> None:
    """Its owner may live elsewhere and spend on: the copy is of no start of any machine."""
    number = log.drawn("s1", "b1", 100)
    log.held(A, [number, 30])
    copies = tmp_path / "copies"
    copies.mkdir()
    shutil.copy2(tmp_path / "run1.slices", copies)
    log.ended(A, [number, 30])
    [copy] = left_logs(copies)
    assert (copy.run, copy.boot) == ("run1", "")
    die(log)
    [own] = left_logs(tmp_path)
    assert (own.run, own.boot, own.slices[0].ended) == ("run1", "boot1", 30)


def test_a_log_of_a_former_version_has_no_mark_of_its_file(tmp_path: Path, log: SliceLog) -> None:
    """Logs without one are believed: an upgrade would else withhold what gateways have left."""
    log.drawn("s1", "b1", 100)
    die(log)
    path = tmp_path / "run1.slices"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if b" @ " not in line))
    [found] = left_logs(tmp_path)
    assert (found.boot, found.slices[0].granted) == ("boot1", 100)


def test_parts_of_one_slice_add_up(tmp_path: Path, log: SliceLog) -> None:
    """A call that took twice of a slice ends with two parts of it."""
    number = log.drawn("s", "b", 100)
    log.held(A, [number, 60])
    log.ended(A, [number, 25, number, 10])
    die(log)
    assert left(tmp_path) == {"s": (100, 35, {})}


def test_a_log_that_is_cut_at_any_byte_counts_no_less_than_its_whole_lines(
    tmp_path: Path, log: SliceLog
) -> None:
    """Each prefix is read as the lines that are whole in it; no byte of it is taken for another."""
    number = log.drawn("s", "b", 100)
    log.held(A, [number, 30])
    log.ended(A, [number, 12])
    log.held(B, [number, 40])
    die(log)
    path = tmp_path / "run1.slices"
    data = path.read_bytes().rstrip(b"\0")
    ends = [n for n, byte in enumerate(data) if byte == ord("\n")]
    states: list[dict[str, Any]] = [{}, {}, {"s": (100, 0, {})}, {"s": (100, 0, {A: 30})},
                                    {"s": (100, 12, {})}, {"s": (100, 12, {B: 40})}]  # fmt: skip
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert left(tmp_path) == (states[whole - 1] if whole else {})
        [found] = left_logs(tmp_path)
        assert (found.run, found.boot) == ("run1", "boot1" if whole else "")


def test_a_damaged_line_ends_the_log(tmp_path: Path, log: SliceLog) -> None:
    """A changed byte is noticed, wherever it is, and nothing behind it is believed."""
    number = log.drawn("s", "b", 100)
    log.held(A, [number, 30])
    die(log)
    path = tmp_path / "run1.slices"
    data = path.read_bytes().rstrip(b"\0")
    second = data.index(b"\n") + 1
    for at in range(second, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert left(tmp_path) in ({}, {"s": (100, 0, {})})


def test_a_file_that_is_full_is_written_anew(tmp_path: Path) -> None:
    """Only open slices stay, with what ended and what is held; numbers go on, and so does the lock."""
    log = SliceLog(tmp_path, "run1", "boot1", room_bytes=1000)
    keep = log.drawn("keep", "b", 1000)
    log.held(A, [keep, 30])
    log.held(B, [keep, 7])
    log.ended(B, [keep, 5])
    path = tmp_path / "run1.slices"
    files = set()
    for n in range(300):
        number = log.drawn(f"s{n}", "b", 10)
        log.held(C, [number, 3])
        log.ended(C, [number, 2, keep, 1])
        log.settled(number)
        stat = path.stat()
        files.add(stat.st_ino)
        assert stat.st_size < 2000 < 300 * 100
    assert len(files) > 1
    assert left_logs(tmp_path) == []
    log.ended(A, [keep, 20])
    log.held(C, [keep, 9])
    die(log)
    assert left(tmp_path) == {"keep": (1000, 325, {C: 9})}
    assert [one.name for one in tmp_path.iterdir()] == ["run1.slices"]


@pytest.mark.parametrize("room_bytes", [1, 60, 200])
def test_wherever_a_file_is_full_the_next_one_says_the_same(
    tmp_path: Path, room_bytes: int
) -> None:
    """The line for which there was no room is in the new file once, of each kind."""
    log = SliceLog(tmp_path, "run1", "boot1", room_bytes=room_bytes)
    number, other = log.drawn("s", "b", 100), log.drawn("t", "b", 100)
    log.held(A, [number, 30, other, 1])
    log.held(A, [number, 35, other, 1])
    log.held(B, [number, 7])
    log.ended(A, [number, 12, other, 1])
    log.settled(other)
    log.held(C, [number, 40])
    log.ended(B, [number, 3])
    die(log)
    assert left(tmp_path) == {"s": (100, 15, {C: 40})}


def test_a_file_that_is_being_written_anew_was_not_left(
    tmp_path: Path, log: SliceLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that opened the old file, which its owner lets go of, does not take it for a dead one's."""
    log.drawn("s", "b", 100)
    real = fcntl.flock

    def flock(file: Any, how: int) -> None:
        if how & fcntl.LOCK_NB:  # the reader's: between its opening of the file and this
            log._write_anew(0)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert left_logs(tmp_path) == []


def test_a_disk_that_is_full_takes_no_line_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold without room is refused; what ended meanwhile is in the next file."""
    log = SliceLog(tmp_path, "run1", "boot1", room_bytes=200)
    number = log.drawn("s", "b", 100)
    log.held(A, [number, 30])
    log.held(B, [number, 4])
    real = os.write

    def part(file: int, data: bytes) -> int:
        return real(file, data[:7])

    with monkeypatch.context() as full:
        full.setattr(os, "write", part)
        log.held(C, [number, 1])  # there is room
        log.ended(A, [number, 3])
        for _ in range(2):
            with pytest.raises(LimitsError, match=r"cannot write .*run1\.slices: No space left"):
                log.held(C, [number, 10**400])
        assert [one.name for one in tmp_path.iterdir()] == ["run1.slices"]
        for _ in range(9):
            log.ended(B, [number, 0])
        log.ended(B, [number, 2])
    log.held(C, [number, 40])
    die(log)
    assert left(tmp_path) == {"s": (100, 5, {C: 40})}


def test_a_file_that_cannot_be_written_anew_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is complete: a restart counts what was held of a call whose end had no room."""
    log = SliceLog(tmp_path, "run1", "boot1", room_bytes=100)
    number = log.drawn("s", "b", 100)
    log.held(A, [number, 30])

    def no_open(*_: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as none:
        none.setattr(os, "open", no_open)
        for _ in range(9):
            log.ended(A, [number, 0])
        with pytest.raises(LimitsError, match="Too many open files"):
            log.drawn("t", "b", 1)
    die(log)
    assert left(tmp_path) in ({"s": (100, 0, {A: 30})}, {"s": (100, 0, {})})


def test_a_log_that_cannot_be_made_or_read_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are errors of the data folder, which name the file."""
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match=r"cannot make .*run1\.slices: "):
        SliceLog(tmp_path / "file", "run1", "boot1")
    (tmp_path / "run1.slices").mkdir()
    with pytest.raises(DataFolderError, match=r"cannot read .*run1\.slices: Is a directory"):
        left_logs(tmp_path)


def test_a_log_that_is_closed_writes_to_nobody_elses_file(tmp_path: Path) -> None:
    """The log without open slices is gone, and takes no more lines."""
    log = SliceLog(tmp_path, "run1", "boot1")
    number = log.drawn("s", "b", 100)
    log.settled(number)
    log.close()
    assert list(tmp_path.iterdir()) == []
    with (tmp_path / "other").open("wb") as other:
        log.settled(number)
        with pytest.raises(LimitsError, match="it is closed"):
            log.drawn("t", "b", 1)
        assert other.tell() == 0
    assert (tmp_path / "other").read_bytes() == b""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_all_that_it_wrote(tmp_path: Path) -> None:
    """While it lives nobody reads its log; after SIGKILL every hold that it reported is there."""
    source = (
        "import itertools, sys; from pathlib import Path\n"
        "from inferworks.limits.slice_log import SliceLog\n"
        "log = SliceLog(Path(sys.argv[1]), 'run1', 'boot1')\n"
        "number = log.drawn('s', 'b', 10**9)\n"
        "for n in itertools.count(1):\n"
        "    log.held(f'call{n}', [number, n])\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(200)]
    assert left_logs(tmp_path) == []
    process.kill()
    told += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    count = int(told[-1])
    [(granted, ended, lost)] = left(tmp_path).values()
    assert (granted, ended) == (10**9, 0)
    assert {f"call{n}": n for n in range(1, count + 1)}.items() <= lost.items()
    assert len(lost) in (count, count + 1)
