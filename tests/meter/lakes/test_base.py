"""Lakes of sealed segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.lakes.object import ObjectLake
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.testing.lakes import check_lake_store

LAKES: dict[str, Callable[[Path], LakeStore]] = {
    "stub": lambda _: MemoryLake(),
    "local": LocalLake,
    "obstore memory": lambda _: ObjectLake(MemoryStore(), "memory://"),
    "obstore local": lambda path: ObjectLake(LocalStore(path, mkdir=True), path.as_uri()),
    "path": lambda path: lake_at(str(path)),
    "file": lambda path: lake_at(path.as_uri()),
    "memory": lambda _: lake_at("memory://"),
}


@pytest.mark.parametrize("make", LAKES.values(), ids=LAKES.keys())
def test_conforms(make: Callable[[Path], LakeStore], tmp_path: Path) -> None:
    """Every lake keeps the promises of the seam."""
    check_lake_store(make(tmp_path / "a lake"))
