"""The manifest: a chain of commits, in which a byte that was changed is seen."""

from __future__ import annotations

import msgspec
import pytest

from inferworks.errors import LakeError
from inferworks.meter.archive.manifest import (
    FORMAT,
    Manifest,
    Replaced,
    Segment,
    Sums,
    add_segments,
    commit_name,
    newest_version,
    read_manifest,
)
from inferworks.meter.lakes.stub import MemoryLake


def segment(name: str) -> Segment:
    """A segment of one row."""
    return Segment(name, "usage", "2026-11-21", 1, 10, "0" * 64, 0, 1, ("a",), ("b",), "journal")


def sums(name: str, of: str, kind: str = "calls") -> Sums:
    """A file of sums of a segment."""
    return Sums(name, kind, of, 1, 10, "0" * 64)


def lake_of(count: int) -> MemoryLake:
    """A lake of so many commits, each of a segment."""
    lake, manifest = MemoryLake(), Manifest()
    for number in range(count):
        assert add_segments(lake, manifest, [segment(f"s{number}")])
        manifest = read_manifest(lake)
    return lake


def names(lake: MemoryLake) -> list[str]:
    """The segments that count."""
    return [one.name for one in read_manifest(lake).segments]


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 70])
def test_segments_are_those_of_all_commits_in_order(count: int) -> None:
    """Before, at and after the commits that repeat all."""
    lake = lake_of(count)
    manifest = read_manifest(lake)
    assert manifest.version == newest_version(lake) == count
    assert names(lake) == [f"s{number}" for number in range(count)]


def test_of_two_writers_of_a_number_one_is_told() -> None:
    """The other's segments are not there, and it may try again."""
    lake = lake_of(1)
    before = read_manifest(lake)
    assert add_segments(lake, before, [segment("mine")])
    assert not add_segments(lake, before, [segment("theirs")])
    assert names(lake) == ["s0", "mine"]
    assert add_segments(lake, read_manifest(lake), [segment("theirs")])


def test_replaced_segments_hold_nothing_any_more() -> None:
    """Nor do their sums; their names stay known, also beyond a commit that repeats all."""
    lake = lake_of(30)
    add_segments(lake, read_manifest(lake), [], [sums("x", "s0"), sums("y", "s5")])
    swap = Replaced(("s0", "s1"), ("new",), ("x",), 7)
    add_segments(lake, read_manifest(lake), [segment("new")], (), [swap])
    for _ in range(3):
        manifest = read_manifest(lake)
        assert manifest.gone == {"s0", "s1"}
        assert "new" in names(lake)
        assert not manifest.gone & set(names(lake))
        assert [one.name for one in manifest.sums] == ["y"]
        add_segments(lake, manifest, [segment(f"later-{manifest.version}")])


def test_of_two_sums_of_a_kind_the_later_counts() -> None:
    """Sums of another kind stand beside."""
    lake = lake_of(1)
    for found in ([sums("a", "s0"), sums("b", "s0", "steps")], [sums("c", "s0")]):
        add_segments(lake, read_manifest(lake), [], found)
    assert [one.name for one in read_manifest(lake).sums] == ["c", "b"]


def test_every_changed_byte_is_seen() -> None:
    """Of the newest commit and of any before it, whichever byte it is."""
    lake = lake_of(3)
    for version in (1, 2, 3):
        whole = lake.objects[commit_name(version)]
        for at in range(0, len(whole), 7):
            lake.objects[commit_name(version)] = (
                whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            )
            with pytest.raises(LakeError, match=commit_name(version)):
                read_manifest(lake)
        lake.objects[commit_name(version)] = whole
    assert len(names(lake)) == 3


def test_a_commit_that_was_removed_or_exchanged_is_missed() -> None:
    """One that is sound in itself and follows another one."""
    lake, other = lake_of(3), MemoryLake()
    add_segments(other, Manifest(), [segment("other")])
    kept = lake.objects.pop(commit_name(2))
    with pytest.raises(LakeError, match="is missing"):
        read_manifest(lake)
    lake.objects[commit_name(2)] = kept
    lake.objects[commit_name(1)] = other.objects[commit_name(1)]
    with pytest.raises(LakeError, match="is not the commit that the next one follows"):
        read_manifest(lake)


def test_a_commit_of_a_newer_program_is_left_to_it() -> None:
    """The error says what to do; what is no commit at all is another error."""
    lake = lake_of(1)
    body = msgspec.json.decode(lake.objects[commit_name(1)])
    lake.objects[commit_name(1)] = msgspec.json.encode({**body, "format": FORMAT + 1})
    with pytest.raises(LakeError, match="use a newer version of inferworks"):
        read_manifest(lake)
    lake.objects[commit_name(1)] = b"[]"
    with pytest.raises(LakeError, match="is no commit of the lake"):
        read_manifest(lake)


def test_other_files_beside_the_commits_are_none() -> None:
    """A number is the name of a commit, and nothing else is."""
    lake = lake_of(2)
    lake.objects["manifest/notes.txt"] = b"x"
    assert newest_version(lake) == 2
