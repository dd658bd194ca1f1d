"""Processes that are measured, and that are gone afterwards whatever happens.

A gateway may be one process or several, so CPU time and memory are summed over the whole tree below the
one we started, from `/proc` (Linux). A process that ended counts through its parent, as the kernel does.

Nothing outlives the benchmark: each process leads a session of its own, which is ended on the way out,
and `setpriv --pdeathsig` has the kernel end it should the benchmark itself be killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOOK_EVERY_S = 0.05
_TAIL_LINES = 12


class NotRunning(Exception):
    """Process that did not come up, or did not stay; the message has its last output."""


@dataclass(frozen=True)
class Stat:
    """Values of `/proc/PID/stat` for one process."""

    pid: int
    parent: int
    cpu_ticks: int
    """User and system time, its own and that of children it waited for."""
    rss_pages: int


def parse_stat(text: str) -> Stat:
    """A line of `/proc/PID/stat`; the name in it may hold spaces and parentheses. Source: proc(5)."""
    pid = int(text.split(maxsplit=1)[0])
    fields = text.rpartition(")")[2].split()
    return Stat(pid, int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))


def tree(root: int, stats: Sequence[Stat]) -> list[Stat]:
    """The process `root` and all below it."""
    found = [stat for stat in stats if stat.pid == root]
    for parent in found:  # which grows while we walk it
        found += [stat for stat in stats if stat.parent == parent.pid]
    return found


def _all_stats() -> list[Stat]:
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            stats.append(parse_stat(path.read_text(encoding="utf-8", errors="replace")))
    return stats


class Process:
    """A running process tree."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self._child = child
        self._log = log

    @property
    def pid(self) -> int:
        """The process at the root."""
        return self._child.pid

    def pids(self) -> list[int]:
        """Every process of the tree."""
        return [stat.pid for stat in tree(self.pid, _all_stats())]

    def cpu_s(self) -> float:
        """CPU seconds used so far, by all of the tree; NotRunning when it has ended."""
        self.check()
        return sum(stat.cpu_ticks for stat in tree(self.pid, _all_stats())) / _TICKS_PER_S

    def rss_mb(self) -> float:
        """Resident memory of the tree in 10^6 bytes; pages shared within it count more than once."""
        return sum(stat.rss_pages for stat in tree(self.pid, _all_stats())) * _PAGE_BYTES / 1e6

    def check(self) -> None:
        """Raise NotRunning when it has ended."""
        if self._child.poll() is not None:
            raise NotRunning(f"it ended with status {self._child.returncode}; {self._said()}")

    def wait_until(self, ready: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Wait until `ready()`; NotRunning when that does not come."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise NotRunning(f"it was not ready within {timeout_s:g} s; {self._said()}")
            time.sleep(_LOOK_EVERY_S)

    def log(self) -> str:
        """Read the output printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _said(self) -> str:
        lines = self.log().splitlines()
        return "it said:\n" + "\n".join(lines[-_TAIL_LINES:]) if lines else "it said nothing"


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    stop_s: float = 10.0,
) -> Iterator[Process]:
    """Run `command` while the block runs, its output in `log`, with `environment` over ours.

    Then it is asked to stop, and killed with all it started when `stop_s` have passed.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("INFERWORKS_")}
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**inherited, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield Process(child, log)
    finally:
        _end(child, stop_s)


def _end(child: subprocess.Popen[bytes], stop_s: float) -> None:
    """Ask the whole session to end; insist after a while."""
    _signal(child.pid, signal.SIGTERM)
    try:
        child.wait(stop_s)
    except subprocess.TimeoutExpired:
        pass  # what follows does not ask
    finally:
        _signal(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdin:
            child.stdin.close()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def free_port() -> int:
    """Return a port without a listener at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
