"""The conformance suite of lakes finds a lake that breaks a promise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from inferworks.errors import LakeError
from inferworks.meter.lakes.stub import MemoryLake
from inferworks.testing.lakes import check_lake_store


class Overwrites(MemoryLake):
    """Creates a name that is taken."""

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` in any case."""
        self.put(name, data)
        return True


class RefusesButWrites(MemoryLake):
    """Says that a name is taken, and takes it."""

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` in any case, and tell the truth about before."""
        is_free = name not in self.objects
        self.put(name, data)
        return is_free


class Appends(MemoryLake):
    """Leaves the end of what was there."""

    def put(self, name: str, data: bytes) -> None:
        """Write over the beginning."""
        super().put(name, data + self.objects.get(name, b"")[len(data) :])


class Unordered(MemoryLake):
    """Names as they come, the newest first."""

    def names(self, folder: str) -> Sequence[str]:
        """The names below `folder`, backwards."""
        return list(reversed(super().names(folder)))


class NamesNeighbours(MemoryLake):
    """Names all there are."""

    def names(self, folder: str) -> Sequence[str]:
        """The names of every folder."""
        return sorted(self.objects)


class Silent(MemoryLake):
    """Refuses without a name."""

    def get(self, name: str) -> bytes:
        """The bytes of `name`, or an error that helps nobody."""
        if name not in self.objects:
            raise LakeError("not found")
        return super().get(name)


class Empty(MemoryLake):
    """Has nothing where something is missing."""

    def get(self, name: str) -> bytes:
        """The bytes of `name`, or none."""
        return self.objects.get(name, b"")


class Keeps(MemoryLake):
    """Removes nothing."""

    def remove(self, name: str) -> None:
        """Do nothing."""


class Nowhere(MemoryLake):
    """Tells no other where its objects are."""

    def locate(self, name: str) -> str:
        """The URL of all of it."""
        return self.url


class Homeless(MemoryLake):
    """Does not say where it is."""

    @property
    def url(self) -> str:
        """No URL."""
        return ""


def test_the_lake_in_memory_passes() -> None:
    """A lake that keeps its promises holds some objects afterwards."""
    lake = MemoryLake()
    check_lake_store(lake)
    assert lake.objects["a/large"] == b"again"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Overwrites, "a name that is taken cannot be created"),
        (RefusesButWrites, "a refused create must change nothing"),
        (Appends, "a put must replace what was there, to its end"),
        (Unordered, "names must be whole, in order, and of the folder alone"),
        (NamesNeighbours, "names must be whole, in order, and of the folder alone"),
        (Silent, "must be refused with a LakeError that names it"),
        (Empty, "must be refused with a LakeError that names it"),
        (Keeps, "must be refused with a LakeError that names it"),
        (Nowhere, "others must be able to find an object"),
        (Homeless, "a lake must say where it is"),
    ],
)
def test_a_lake_that_breaks_a_promise_is_found(kind: type[MemoryLake], words: str) -> None:
    """The promise that was broken is named."""
    with pytest.raises(AssertionError, match=words):
        check_lake_store(kind())


def test_a_lake_that_is_dead_is_no_lake() -> None:
    """An error of the lake's own is passed on."""
    with pytest.raises(LakeError, match="the lake in memory is broken"):
        check_lake_store(MemoryLake(steps=3))
