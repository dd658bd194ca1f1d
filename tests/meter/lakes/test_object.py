"""A lake in an object store: its errors name the object and the lake, and never a traceback of Rust."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from obstore.store import MemoryStore

from inferworks.errors import LakeError
from inferworks.meter.lakes.object import ObjectLake


class Broken:
    """A store of which each operation raises `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail


def broken(error: Exception) -> ObjectLake:
    """A lake in such a store."""
    return ObjectLake(cast("Any", Broken(error)), "s3://bucket/lake")


OPERATIONS: dict[str, tuple[Callable[[ObjectLake], object], str]] = {
    "put": (lambda lake: lake.put("a/b", b""), "written"),
    "create": (lambda lake: lake.create("a/b", b""), "written"),
    "get": (lambda lake: lake.get("a/b"), "read"),
    "remove": (lambda lake: lake.remove("a/b"), "removed"),
    "names": (lambda lake: lake.names("a/b"), "read"),
}


@pytest.mark.parametrize("error", [GenericError("no\n  route"), OSError("no   route")])
@pytest.mark.parametrize(("act", "what"), OPERATIONS.values(), ids=OPERATIONS)
def test_a_failure_is_one_line(
    act: Callable[[ObjectLake], object], what: str, error: Exception
) -> None:
    """The object, the lake and the reason, however many lines that had; the error itself is the cause."""
    with pytest.raises(LakeError) as failed:
        act(broken(error))
    assert str(failed.value) == f"a/b: cannot be {what} in the lake s3://bucket/lake: no route"
    assert failed.value.__cause__ is error


@pytest.mark.parametrize("error", [AlreadyExistsError("is there"), PreconditionError("412")])
def test_a_taken_name_is_no_failure(error: Exception) -> None:
    """Stores say it in two ways, by their dialect."""
    assert broken(error).create("a/b", b"") is False


def test_what_is_gone_is_removed() -> None:
    """A store that tells of a missing object when it is to remove it has nothing left to do."""
    broken(FileNotFoundError("a/b")).remove("a/b")


def test_what_is_missing_is_told_in_our_words() -> None:
    """The line is that of every lake, without the store's own words."""
    with pytest.raises(LakeError) as failed:
        ObjectLake(MemoryStore(), "memory://lake").get("a/b")
    assert str(failed.value) == "a/b: is missing from the lake memory://lake"
    assert failed.value.__suppress_context__


def test_a_url_has_no_slash_at_its_end() -> None:
    """Names are joined by one slash, however the URL was written."""
    for url in ("s3://bucket/lake", "s3://bucket/lake/", "s3://bucket/lake//"):
        lake = ObjectLake(MemoryStore(), url)
        assert lake.url == "s3://bucket/lake"
        assert lake.locate("a/b") == "s3://bucket/lake/a/b"


def test_names_are_in_order_over_all_pages() -> None:
    """A store lists in pages of a thousand, in whatever order; names of other folders are not there."""
    lake = ObjectLake(MemoryStore(), "memory://")
    numbers = [f"{number:04}" for number in range(1001)]
    for number in reversed(numbers):
        lake.put(f"a/{number}", b"")
    lake.put("ab/0", b"")
    assert list(lake.names("a")) == [f"a/{number}" for number in numbers]
    assert list(lake.names("b")) == []
