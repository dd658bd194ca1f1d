"""While the simulation stands in, simulated threads alone meet it under the library's names."""

from __future__ import annotations

import _thread
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inferworks import clock
from inferworks.simulation import threads
from inferworks.simulation.disk import Disk
from inferworks.simulation.network import Network, Socket
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Turns

NAMES = (
    (time, "monotonic"), (time, "time_ns"), (time, "sleep"), (threading, "Lock"),
    (threading.Thread, "start"), (queue, "SimpleQueue"), (os, "fsync"), (os, "urandom"),
    (os, "getpid"), (random, "Random"), (sqlite3, "connect"),
)  # fmt: skip


def elsewhere(act: Callable[[], Any]) -> Any:
    """Result of `act` in a real thread that is not simulated."""
    found: list[Any] = []
    over = _thread.allocate_lock()
    over.acquire()

    def run() -> None:
        try:
            found.append(act())
        finally:
            over.release()

    _thread.start_new_thread(run, ())
    over.acquire()
    return found[0]


def test_everything_is_as_it_was_afterwards(turns: Turns, tmp_path: Path) -> None:
    """Also when the block ends with an error."""
    before = [getattr(*name) for name in NAMES]

    def fail() -> None:
        with standing_in(turns, Disk(turns, tmp_path, 1), Network(turns, 1), 1):
            assert all(getattr(*name) is not old for name, old in zip(NAMES, before, strict=True))
            raise ValueError("of the test")

    with pytest.raises(ValueError, match="of the test"):
        fail()
    assert all(getattr(*name) is old for name, old in zip(NAMES, before, strict=True))


def test_time_is_simulated(disk: Disk) -> None:
    """All clocks go together, and a sleep of a day takes no time."""
    turns = disk.turns
    wall_ns = time.time_ns()
    assert abs(wall_ns - turns.wall_ns - turns.now_ns) < 1000
    began_s, began_ns = time.monotonic(), time.perf_counter_ns()
    time.sleep(600)
    assert 600 <= time.monotonic() - began_s < 601
    assert 600 <= (time.perf_counter_ns() - began_ns) / 10**9 < 601
    assert 600 <= (time.time_ns() - wall_ns) / 10**9 < 601
    turns.wall_ns += 3600 * 10**9  # a step of the wall clock alone
    assert time.time() - wall_ns / 1e9 > 4000
    assert time.monotonic() - began_s < 601


def test_our_own_modules_have_it_too(disk: Disk) -> None:
    """The clock of production shows the simulated time."""
    assert abs(clock.SystemClock().now_ns() - time.time_ns()) < 10**6


def test_a_thread_that_is_not_simulated_has_the_real_ones(disk: Disk) -> None:
    """Its locks, its process and its time are real."""
    assert os.getpid() == 4711
    assert elsewhere(os.getpid) not in (4711, 0)
    assert isinstance(threading.Lock(), threads.Lock)
    assert not isinstance(elsewhere(threading.Lock), threads.Lock)
    assert abs(elsewhere(time.time_ns) - time.time_ns()) > 10**9


def test_threads_take_turns(disk: Disk) -> None:
    """One that is started is alive until it ends; a join may end before it."""
    done: list[str] = []

    def act() -> None:
        time.sleep(5)
        done.append(threading.current_thread().name[:6])

    thread = threading.Thread(target=act, name="worker")
    assert not thread.is_alive()
    thread.start()
    thread.join(1)
    assert (thread.is_alive(), done) == (True, [])
    thread.join()
    assert (thread.is_alive(), len(done)) == (False, 1)


def test_chance_is_the_seed_s(turns: Turns, tmp_path: Path) -> None:
    """The same seed gives the same bytes and numbers, another gives others; a given seed stays."""

    def drawn(seed: int) -> tuple[bytes, float, float]:
        with standing_in(turns, Disk(turns, tmp_path, seed), Network(turns, seed), seed):
            return os.urandom(8), random.Random().random(), random.random()

    assert drawn(1) == drawn(1)
    assert all(one != other for one, other in zip(drawn(1), drawn(2), strict=True))
    with standing_in(turns, Disk(turns, tmp_path, 1), Network(turns, 1), 1):
        given = random.Random(5).random()
    assert given == random.Random(5).random()


def test_files_elsewhere_are_real(disk: Disk, tmp_path: Path) -> None:
    """A file beside the disk is written, synced and renamed as ever, and no fault meets it."""
    disk.faults = {"write": 1.0, "sync": 1.0}
    path = tmp_path / "beside"
    with path.open("wb") as file:
        file.write(b"real")
        file.flush()
        os.fsync(file.fileno())
    path.replace(tmp_path / "moved")
    assert (tmp_path / "moved").read_bytes() == b"real"
    assert disk.failed == 0


def test_sockets_are_the_network_s(disk: Disk) -> None:
    """A port that is bound is one of the simulation."""
    import socket

    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    assert isinstance(made, Socket)
    made.bind(("127.0.0.1", 80))
    assert made.getsockname() == ("127.0.0.1", 80)
    with pytest.raises(OSError, match="Address already in use"):
        socket.socket().bind(("127.0.0.1", 80))
    made.close()
