"""A real platform in a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import mint
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.ids import CustomerId


class RealPlatform:
    """`inferworks up` on a free port over `data`; started, killed and started again at will."""

    def __init__(self, data: Path) -> None:
        self.folder = DataFolder(data)
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 60.0) -> Origin:
        """Start it and wait until it is ready; where its API begins."""
        command = [
            sys.executable,
            "-m",
            "inferworks",
            "up",
            "--port",
            "0",
            "--data",
            str(self.folder.path),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            instance = self.folder.instance()
            if instance is not None and instance.url and instance.pid == self._process.pid:
                return Origin.parse(instance.url)
            if self._process.poll() is not None:
                break
            time.sleep(0.02)  # readiness shows in a file; there is nothing to wait on
        raise AssertionError(f"the platform did not start:\n{self.log()}")

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        return self._end(signal.SIGTERM)

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def key(self, customer: str = "default") -> str:
        """A new key's secret; make it before the start, or wait a second until it is known."""
        self.folder.create()
        now_ns = SystemClock().now_ns()
        with closing(SqliteAccounts(self.folder.accounts)) as accounts:
            if customer not in {known.id for known in accounts.customers()}:
                accounts.add_customer(Customer(CustomerId(customer), now_ns))
            key, secret = mint(CustomerId(customer), now_ns)
            accounts.add_key(key)
        return secret

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait until it has ended; the exit status."""
        process, self._process = self._process, None
        return process.wait(timeout=60) if process else 0

    def _end(self, number: signal.Signals) -> int:
        if self._process is not None:
            self.send(number)
        return self.wait()


@contextmanager
def real_platform(data: Path) -> Iterator[RealPlatform]:
    """A platform that is stopped at the end, whatever happens."""
    platform = RealPlatform(data)
    try:
        yield platform
    finally:
        platform.stop()


def alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
