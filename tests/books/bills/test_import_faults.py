"""An import that is killed or meets a full disk leaves nothing, and the next one takes in all."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferworks.books.repository.store import BookStore
from inferworks.meter.reader import JournalReader

LINES = 12_000
JOBS = 8_000
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,x_LineId,"
    "ChargeDescription"
)
_GIVE_UP_S = 60.0
_STARTED_BYTES = 3_000_000
"""A write-ahead log of this size holds lines of a transaction that is not done."""


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bill whose lines are too many for SQLite to keep them all in memory."""
    path = tmp_path_factory.mktemp("bills") / "large.csv"
    span = "2026-11-01T00:00:00Z,2026-12-01T00:00:00Z"
    with path.open("w") as file:
        file.write(f"{HEADER}\n")
        file.writelines(f"0.01,USD,{span},A Cloud,{n},{'x' * 6_000}\n" for n in range(LINES))
    return path


def command(bill: Path, data: Path) -> list[str]:
    """Command that imports the bill."""
    return [
        sys.executable, "-m", "inferworks", "books", "import", str(bill), "--data", str(data), "--json",
    ]  # fmt: skip


def in_the_books(data: Path) -> int:
    """Number of charges in the books."""
    with BookStore(data / "books.db", read_only=True) as store:
        return len(store.charges())


def import_whole(bill: Path, data: Path) -> None:
    """Import without a fault, and find every line once."""
    missing = LINES - in_the_books(data)
    done = subprocess.run(command(bill, data), capture_output=True, check=True)
    (file,) = json.loads(done.stdout)["files"]
    assert (file["received"], file["accepted"]) == (LINES, missing)
    assert in_the_books(data) == LINES


def wait_for_log(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the transaction has begun to reach the disk."""
    until = time.monotonic() + _GIVE_UP_S
    while not (log.exists() and log.stat().st_size > _STARTED_BYTES):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.001)


def with_little_room() -> None:
    """Let no file of this process grow beyond a few megabytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_STARTED_BYTES, _STARTED_BYTES))


def run_out_of_room(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command on a disk that becomes full."""
    return subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=with_little_room,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def kill_in_the_middle(arguments: list[str], log: Path) -> None:
    """Run a command, and kill it while some of what it writes is on the disk."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        wait_for_log(process, log)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_full_disk_and_a_kill(bill: Path, tmp_path: Path) -> None:
    """A full disk is one clear line and exit status 2; SIGKILL comes while some lines are on the disk.

    After each nothing is in the books, and then all is. (All are there at once when the machine was so busy
    that the kill came after the commit.)
    """
    done = run_out_of_room(command(bill, tmp_path))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"inferworks: cannot use {tmp_path / 'books.db'}")
    assert done.stderr.count("\n") == 1
    assert in_the_books(tmp_path) == 0
    kill_in_the_middle(command(bill, tmp_path), tmp_path / "books.db-wal")
    assert in_the_books(tmp_path) in {0, LINES}
    import_whole(bill, tmp_path)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of machine time, larger than what the journal keeps in memory."""
    path = tmp_path_factory.mktemp("jobs") / "jobs.csv"
    span = "2026-11-01T00:00:00Z,2026-11-01T01:00:00Z"
    with path.open("w") as file:
        file.write("id,node,purpose,start,end,description\n")
        file.writelines(f"{n},gpu-3,evaluate,{span},{'x' * 1000}\n" for n in range(JOBS))
    return path


def usage_command(jobs: Path, data: Path) -> list[str]:
    """Command that imports the machine time."""
    return [
        sys.executable, "-m", "inferworks", "usage", "import", str(jobs), "--data", str(data), "--json",
    ]  # fmt: skip


def counted(data: Path) -> int:
    """Number of rows of machine time in the journal."""
    with JournalReader(data / "journal.db") as reader:
        return reader.counts()["activity"]


def import_jobs(jobs: Path, data: Path) -> None:
    """Import without a fault what is not there yet, and then once more: each row is counted once."""
    there = counted(data)
    assert there in {0, JOBS}
    for accepted, duplicate in ((JOBS - there, there), (0, JOBS)):
        done = subprocess.run(usage_command(jobs, data), capture_output=True, check=True)
        (counts,) = json.loads(done.stdout)["files"]
        assert (counts["accepted"], counts["duplicate"]) == (accepted, duplicate)


@pytest.mark.slow
def test_a_full_disk_and_a_kill_for_usage(jobs: Path, tmp_path: Path) -> None:
    """A file of usage is one transaction too: nothing is counted, and then each row once."""
    done = run_out_of_room(usage_command(jobs, tmp_path))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("inferworks: the journal cannot be written now: cannot write")
    assert done.stderr.count("\n") == 1
    assert counted(tmp_path) == 0
    kill_in_the_middle(usage_command(jobs, tmp_path), tmp_path / "journal.db-wal")
    import_jobs(jobs, tmp_path)
