"""The conformance suite of the lake seam: `check_lake_store(MyLake())`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from inferworks.errors import LakeError
from inferworks.meter.lakes.base import LakeStore


def check_lake_store(store: LakeStore) -> None:
    """Put an empty `store` to the test; AssertionError when it breaks the seam's promises.

    The store holds some objects afterwards.
    """
    assert store.url, "a lake must say where it is"
    assert list(store.names("a")) == [], "there is nothing in a folder that is not there"
    _missing(store, "a/none")

    large = bytes(range(256)) * 4096
    for name, data in (("a/empty", b""), ("a/large", large), ("a/day=2026-11-21/x.y", b"deep")):
        store.put(name, data)
        assert store.get(name) == data, "an object must come back as it was put"
    store.put("a/large", b"small")
    assert store.get("a/large") == b"small", "a put must replace what was there, to its end"

    assert store.create("b/1", b"first") is True, "a free name can be created"
    assert store.create("b/1", b"second") is False, "a name that is taken cannot be created"
    assert store.get("b/1") == b"first", "a refused create must change nothing"

    bodies = [str(number).encode() for number in range(8)]
    with ThreadPoolExecutor(len(bodies)) as racers:
        won = list(racers.map(lambda body: store.create("b/2", body), bodies))
    assert won.count(True) == 1, "of several that create one name, one must win"
    assert store.get("b/2") == bodies[won.index(True)], "the winner's bytes must be kept"

    names = ["a/day=2026-11-21/x.y", "a/empty", "a/large"]
    assert list(store.names("a")) == names, "names must be whole, in order, and of the folder alone"
    assert list(store.names("b")) == ["b/1", "b/2"], "losers must leave nothing behind"
    assert store.locate("b/1").endswith("/b/1"), "others must be able to find an object"

    store.remove("a/large")
    store.remove("a/large")
    _missing(store, "a/large")
    assert "a/large" not in store.names("a"), "what was removed has no name any more"
    assert store.create("a/large", b"again") is True, "and its name is free"


def _missing(store: LakeStore, name: str) -> None:
    told = ""
    try:
        store.get(name)
    except LakeError as error:
        told = str(error)
    assert name in told, "what is not there must be refused with a LakeError that names it"
