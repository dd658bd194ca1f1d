"""Options that every section is given, and the measuring of CPU time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Options(NamedTuple):
    """Options of a run."""

    folder: Path
    """Temporary folder of the section, empty."""
    count: int
    """Number of keys."""
    customers: int
    seconds: float | None
    """Length of each load, where a section has any; None for its own."""
    peers: Path
    """Folder in which other gateways are installed."""


def cpu_us(act: Callable[[T], object], inputs: Sequence[T]) -> float:
    """Return the CPU time of this thread for `act` on one of `inputs`, on average."""
    begun_ns = time.thread_time_ns()
    for one in inputs:
        act(one)
    return (time.thread_time_ns() - begun_ns) / len(inputs) / 1000
