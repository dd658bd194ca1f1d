"""A simulated machine without a gateway on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferworks.simulation.database import DiskVfs
from inferworks.simulation.disk import Disk
from inferworks.simulation.network import Network
from inferworks.simulation.stand_in import standing_in
from inferworks.simulation.turns import Turns

_NOW_NS = 1_790_000_000 * 10**9


@pytest.fixture
def turns() -> Turns:
    """Simulated time, which this thread has the first turn in."""
    return Turns(1, _NOW_NS)


@pytest.fixture
def disk(turns: Turns, tmp_path: Path) -> Iterator[Disk]:
    """A disk, below `tmp_path`, that stands in for the system's while the test runs."""
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(turns, root, 1)
    vfs = DiskVfs(disk)
    with standing_in(turns, disk, Network(turns, 1), 1):
        yield disk
    vfs.unregister()
