"""A real platform in a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inferworks.accounts.customer import Customer
from inferworks.accounts.key import mint
from inferworks.accounts.pepper import load_pepper
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.clock import SystemClock
from inferworks.folder import DataFolder
from inferworks.http.client import Origin
from inferworks.ids import CustomerId

_GREETED = "Ctrl-C stops."
"""The last that it prints when it is ready."""


class RealPlatform:
    """`inferworks up` on a free port over `data`; started, killed and started again at will.

    It runs in `cwd`, where its configuration is, or else in the folder of this process.
    """

    def __init__(self, data: Path, cwd: Path | None = None) -> None:
        self.folder = DataFolder(data)
        self._cwd = cwd
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 60.0, *, ulimit: str = "") -> Origin:
        """Start it and wait until it is ready and has said so; where its API begins.

        `ulimit` limits it as the shell's command of that name does: `-n 256`.
        """
        limited = ["sh", "-c", f'ulimit {ulimit}; exec "$@"', "sh"] if ulimit else []
        command = [
            *limited,
            sys.executable,
            "-m",
            "inferworks",
            "up",
            "--port",
            "0",
            "--data",
            str(self.folder.path),
        ]
        before = len(self.log())
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._cwd)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            instance = self.folder.instance()
            url = instance.url if instance and instance.pid == self._process.pid else ""
            if url and _GREETED in self.log()[before:]:
                return Origin.parse(url)
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
        """Read the output printed so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def key(self, customer: str = "default") -> str:
        """A new key's secret; make it before the start, or wait a second until it is known."""
        self.folder.create()
        now_ns = SystemClock().now_ns()
        with closing(SqliteAccounts(self.folder.accounts)) as accounts:
            if not accounts.has_customer(CustomerId(customer)):
                accounts.add_customer(Customer(CustomerId(customer), now_ns))
            pepper = load_pepper(accounts, self.folder.pepper)
            key, secret = mint(CustomerId(customer), now_ns, pepper=pepper)
            accounts.add_key(key)
        return secret

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)

    @contextmanager
    def limited(self, kind: int, most: int) -> Iterator[None]:
        """Give it at most so much of a resource (`resource.RLIMIT_...`) while the block runs."""
        assert self._process is not None, "it is not running"
        before, hard = resource.prlimit(self._process.pid, kind)
        resource.prlimit(self._process.pid, kind, (most, hard))
        try:
            yield
        finally:
            resource.prlimit(self._process.pid, kind, (before, hard))

    def wait(self) -> int:
        """Wait until it has ended; the exit status."""
        process, self._process = self._process, None
        return process.wait(timeout=60) if process else 0

    def _end(self, number: signal.Signals) -> int:
        if self._process is not None:
            self.send(number)
        return self.wait()


@contextmanager
def real_platform(data: Path, cwd: Path | None = None) -> Iterator[RealPlatform]:
    """Run a platform that is stopped at the end in any case."""
    platform = RealPlatform(data, cwd)
    try:
        yield platform
    finally:
        platform.stop()


def alive(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
