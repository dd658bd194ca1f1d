"""The lake in memory: its death after so many changes, and what a test may look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inferworks.errors import LakeError
from inferworks.meter.lakes.stub import MemoryLake

CHANGES: dict[str, Callable[[MemoryLake], object]] = {
    "put": lambda lake: lake.put("a/b", b"new"),
    "create": lambda lake: lake.create("a/c", b"new"),
    "remove": lambda lake: lake.remove("a/b"),
}
READS: dict[str, Callable[[MemoryLake], object]] = {
    "get": lambda lake: lake.get("a/b"),
    "names": lambda lake: lake.names("a"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("call", [*CHANGES.values(), *READS.values()], ids=[*CHANGES, *READS])
def test_a_dead_lake_does_nothing_any_more(
    change: Callable[[MemoryLake], object], call: Callable[[MemoryLake], object]
) -> None:
    """The last change is done whole; each call after it raises, and changes nothing."""
    lake = MemoryLake(steps=1)
    lake.objects["a/b"] = b"old"
    change(lake)
    after = dict(lake.objects)
    with pytest.raises(LakeError, match="the lake in memory is broken"):
        call(lake)
    assert lake.objects == after


def test_reading_takes_no_step() -> None:
    """Only changes count, so a death falls between the same two of them whatever is read."""
    lake = MemoryLake(steps=2)
    lake.put("a/b", b"1")
    for _ in range(5):
        assert lake.get("a/b") == b"1"
        assert list(lake.names("a")) == ["a/b"]
    assert lake.create("a/b", b"2") is False, "a refused create is a step, too"
    with pytest.raises(LakeError):
        lake.names("a")


def test_a_death_of_ones_own() -> None:
    """A test may have it raise what kills a process."""
    lake = MemoryLake(steps=0, death=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        lake.get("a/b")


def test_a_lake_without_steps_lives() -> None:
    """No number of changes breaks it."""
    lake = MemoryLake()
    for number in range(1000):
        lake.put(f"a/{number}", b"")
    assert len(lake.names("a")) == 1000


def test_a_folder_is_more_than_a_beginning_of_names() -> None:
    """Objects of a folder with a longer name, and one of the folder's own name, are not in it."""
    lake = MemoryLake()
    for name in ("a", "ab/c", "a/b/c", "a/a"):
        lake.put(name, b"")
    assert list(lake.names("a")) == ["a/a", "a/b/c"]
    assert list(lake.names("a/b")) == ["a/b/c"]
    assert lake.locate("a/a") == "memory:///a/a"


def test_create_of_the_same_bytes_is_refused() -> None:
    """The name is taken, whatever is in it, also by the very same object."""
    lake = MemoryLake()
    data = b"bytes"
    assert lake.create("a", data) is True
    assert lake.create("a", bytes(bytearray(data))) is False
    assert lake.create("a", data) is False
