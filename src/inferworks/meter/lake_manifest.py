"""The manifest: which segments a lake has. What it does not name does not exist.

Problem. Many files have to come into being at once, in a store that has no transactions, while others
read, and though two may try at the same time.

Decision. The manifest is a numbered log of commits, `manifest/00000001.json` and so on; each is created
on condition that its number is free. That one operation is the moment at which its segments come into
being: before it nobody sees them, and of two that try for the same number one loses and learns of it.
Every 32nd commit repeats all segments, so that a reader needs the newest such one and those after it.

Rejected. One file that is replaced (two writers overwrite each other, unless the store can compare and
swap, and a plain folder cannot); a listing of the folder (shows what was written but never committed);
a table format such as Delta or Iceberg (the same idea with a hundred times the code; the segments are
plain Parquet, so either can be built on top by naming the files).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from inferworks.errors import LakeError
from inferworks.meter.lakes.base import LakeStore

_FOLDER: Final = "manifest"
_COMPLETE_EVERY: Final = 32
FORMAT: Final = 1
"""Raised by one when an older program could misread a commit."""


class Segment(msgspec.Struct, frozen=True):
    """One sealed Parquet file. Times are nanoseconds since 1970-01-01 UTC."""

    name: str
    """Its object's name; the file's is made from the hash of its content."""
    table: str
    day: str
    """The UTC day its rows are filed under, `YYYY-MM-DD`."""
    rows: int
    bytes: int
    sha256: str
    start_ns: int
    """The earliest moment one of its rows is about."""
    end_ns: int
    """Just after the latest."""
    first_key: tuple[str | int, ...]
    """The key of its first row in the journal."""
    last_key: tuple[str | int, ...]
    journal: str
    """The journal it was sealed from."""


class Commit(msgspec.Struct, frozen=True):
    """One numbered entry of the log."""

    format: int
    version: int
    complete: bool
    """Whether `segments` are all there are, and not only what this commit adds."""
    segments: tuple[Segment, ...]


class Manifest(msgspec.Struct, frozen=True):
    """The lake's segments as of commit number `version`, in the order they were added."""

    version: int = 0
    segments: tuple[Segment, ...] = ()


def read_manifest(store: LakeStore) -> Manifest:
    """What the lake holds now; LakeError when a commit is missing or cannot be read."""
    newest = len(store.names(_FOLDER))
    commits: list[Commit] = []
    while newest > len(commits):
        commits.append(_read(store, newest - len(commits)))
        if commits[-1].complete:
            break
    segments = tuple(segment for commit in reversed(commits) for segment in commit.segments)
    return Manifest(newest, segments)


def add_segments(store: LakeStore, manifest: Manifest, added: Sequence[Segment]) -> bool:
    """Commit `added` on top of `manifest`; False when somebody else committed first.

    LakeError leaves open whether it was committed; the manifest tells.
    """
    version = manifest.version + 1
    complete = version % _COMPLETE_EVERY == 0
    segments = (*manifest.segments, *added) if complete else tuple(added)
    body = msgspec.json.encode(Commit(FORMAT, version, complete, segments))
    return store.create(_name(version), body)


def _name(version: int) -> str:
    return f"{_FOLDER}/{version:08d}.json"


def _read(store: LakeStore, version: int) -> Commit:
    name = _name(version)
    try:
        commit = msgspec.json.decode(store.get(name), type=Commit)
    except msgspec.DecodeError as error:
        raise LakeError(f"{name}: is no commit of the lake {store.url}: {error}") from error
    if (commit.format, commit.version) != (FORMAT, version):
        raise LakeError(
            f"{name}: is of format {commit.format}, this program reads {FORMAT}; "
            "use a newer version of inferworks"
        )
    return commit
