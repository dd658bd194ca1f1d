"""Instructions of a process tree, counted by the processor: a figure without noise.

Needs `perf` and a machine that lets one count; virtual machines often do not.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_EVENT = "instructions:u"


@dataclass
class Count:
    """Known when the block is left."""

    instructions: int | None = None


def are_countable() -> bool:
    """Return whether this machine counts instructions."""
    if shutil.which("perf") is None:
        return False
    result = subprocess.run(
        ["perf", "stat", "-x,", "-e", _EVENT, "true"], capture_output=True, text=True, check=False
    )
    return read_perf(result.stderr) is not None


def read_perf(text: str) -> int | None:
    """Sum the counts in `perf stat -x,`; None where it could not count. Source: perf-stat(1)."""
    rows = [line.split(",") for line in text.splitlines() if f",{_EVENT}" in line]
    counts = [int(row[0]) for row in rows if row[0].isdigit()]
    return sum(counts) if counts else None


@contextmanager
def counted(pids: Sequence[int]) -> Iterator[Count]:
    """Count the instructions of `pids`, outside the kernel, while the block runs."""
    command = ["perf", "stat", "-x,", "-e", _EVENT, "-p", ",".join(map(str, pids))]
    count = Count()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as perf:
        try:
            yield count
        finally:
            perf.send_signal(signal.SIGINT)
            _, said = perf.communicate(timeout=10)
            count.instructions = read_perf(said)
