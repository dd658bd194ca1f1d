"""Standard streams that nobody reads: whoever writes waits for nothing, and nothing is dropped unseen."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.outlet import Outlet


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: its end to read and its end to write."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def fill(descriptor: int) -> int:
    """Write into a pipe until it takes no more, and leave it blocking; how many bytes it took."""
    os.set_blocking(descriptor, False)
    n = 0
    try:
        while True:
            n += os.write(descriptor, b"." * 1024)
    except BlockingIOError:
        return n
    finally:
        os.set_blocking(descriptor, True)


def read(descriptor: int, until: bytes) -> bytes:
    """Bytes read until `until` is among them."""
    data = b""
    while until not in data:
        data += os.read(descriptor, 1 << 16)
    return data


def test_nobody_waits_for_a_reader_and_drops_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """A full pipe takes nothing, writers go on, and what found no place is counted and said later."""
    with pipe() as (out, into):
        fill(into)
        outlet = Outlet(into, "standard error", "utf-8", "strict")
        for number in range(5000):
            print(f"line {number}", file=outlet)
        assert outlet.dropped > 3000
        assert not outlet.drained(0.0), "the end waits no longer than it is told to"
        dropped = outlet.dropped
        with caplog.at_level(logging.WARNING):
            assert b"line 100\n" in read(out, b"line 100\n")
            os.set_blocking(out, False)
            while not outlet.drained(0.01):
                with suppress(BlockingIOError):
                    os.read(out, 1 << 16)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "inferworks.outlet"]
    assert said == f"{dropped} lines found no place in standard error and were dropped"


def test_what_hangs_is_told_to_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that does not come to its end is seen, and so is that it has."""
    with pipe() as (out, into):
        n = fill(into)
        outlet = Outlet(into, "standard error", "utf-8", "strict")
        outlet.check()
        outlet.write("x\n")
        while outlet._since_s is None:
            time.sleep(0)  # until the thread has begun
        later_s = time.monotonic() + 11
        with monkeypatch.context() as patch:
            patch.setattr("inferworks.outlet.time.monotonic", lambda: later_s)
            with pytest.raises(TimeoutError, match=r"nobody has taken .* for 11 s"):
                outlet.check()
        while n > 0:
            n -= len(os.read(out, 1 << 16))
        assert outlet.drained(10.0)
        outlet.check()


def test_a_disk_that_is_full_costs_lines_alone() -> None:
    """Lines that cannot be written are counted, and their writer does not hear of it."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        outlet = Outlet(full.fileno(), "standard output", "utf-8", "strict")
        outlet.write("a\n")
        outlet.write("b\n")
        assert outlet.drained(10.0)
        assert outlet.dropped == 2
        with pytest.raises(TypeError):
            outlet.write(b"bytes")  # type: ignore[arg-type]


def ready(data: Path, running: subprocess.Popen[bytes]) -> Origin:
    """Wait until the gateway on `data` says in its folder where it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        instance = DataFolder(data).instance()
        if instance and instance.pid == running.pid and instance.url:
            return Origin.parse(instance.url)
        time.sleep(0.02)  # it shows in a file; there is nothing to wait on
    raise AssertionError("it did not get ready")


@pytest.mark.slow
def test_a_gateway_whose_errors_nobody_reads_serves_and_stops(tmp_path: Path) -> None:
    """With both standard streams full from the start it gets ready, answers, warns, and ends when told."""
    file, data = tmp_path / "inferworks.toml", tmp_path / "data"
    file.write_text('[log]\naccess = "json"\n[engine]\nreplicas = 0\n')
    command = [sys.executable, "-m", "inferworks", "up", "--port", "0", "--data", str(data)]
    with pipe() as (_, into):
        fill(into)
        with subprocess.Popen(command, stdout=into, stderr=into, cwd=tmp_path) as running:
            try:
                origin = ready(data, running)
                for number in range(3):
                    with closing(HTTPConnection(origin.host, origin.port, 10)) as client:
                        client.request("GET", f"/v1/models/{number}")
                        assert client.getresponse().status == 401, "and a line of the access log"
                    file.write_text(f"no TOML {number}")
                    running.send_signal(signal.SIGHUP)  # has it log an error
                running.send_signal(signal.SIGTERM)
                assert running.wait(30) == 0
            finally:
                running.kill()
