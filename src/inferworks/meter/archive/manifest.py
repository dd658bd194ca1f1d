"""The manifest: the list of the segments of a lake. A file that it does not name does not exist.

Problem. Many files have to appear at once, in a store that has no transactions, while others read, and
possibly with two writers at the same time.

Decision. The manifest is a numbered log of commits, `manifest/00000001.json` and so on; each is created
on condition that its number is free. That one operation makes its segments visible: before it nobody sees
them, and of two writers of the same number one gets an error.
Every 32nd commit repeats all segments, so that a reader needs the newest such one and those after it.

A commit ends with the SHA-256 of its text, and carries the SHA-256 of the commit before. So every reader
notices a byte that the store has changed, also in a span, where it would silently leave a segment out of a
statement; and so is a commit that was removed or restored from an older copy, except the newest. The
journal (`archive.journal`) keeps the number and the hash of the newest commit that it has seen. Commits of
former versions have no hashes; they are read as they are, and the next commit's hash covers them.

Beside segments the manifest names files of sums (`archive.sums`), each of one segment; of two of a kind for
one segment the later one counts. Sums are derived, so nothing is lost with them.

A commit may replace segments by others that hold the same rows (`archive.compact`). Replaced segments hold
nothing any more, but their names stay known: rows of a journal were archived into them.

Rejected. One file that is replaced (two writers overwrite each other, unless the store can compare and
swap, and a plain folder cannot); a listing of the folder (shows what was written but never committed);
a table format such as Delta or Iceberg (the same idea with a hundred times the code; the segments are
plain Parquet, so either can be built on top by naming the files).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.errors import LakeError
from inferworks.meter.lakes.base import LakeStore

MANIFEST_FOLDER: Final = "manifest"
"""Folder of the commits."""
_COMPLETE_EVERY: Final = 32
FORMAT: Final = 4
"""Raised by one when an older program could misread a commit, or break the chain by its own."""
_UNCHECKED: Final = 1
"""The format of commits without checksums."""
_CHECKSUM: Final = b',"sha256":"%b"}'
"""End of a commit: replaces the brace that closes the hashed text."""
_CHECKSUM_BYTES: Final = len(_CHECKSUM % bytes(64))


class Segment(msgspec.Struct, frozen=True):
    """One sealed Parquet file. Times are nanoseconds since 1970-01-01 UTC."""

    name: str
    """Name of the object; a file's name is made from the hash of its content."""
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


class Sums(msgspec.Struct, frozen=True):
    """One Parquet file of sums of one segment."""

    name: str
    """Name of the object; a file's name is made from the hash of its content."""
    kind: str
    """Kind of sums: a name in `archive.sums.KINDS`."""
    of: str
    """Name of the segment whose rows are summed."""
    rows: int
    bytes: int
    sha256: str


class Replaced(msgspec.Struct, frozen=True):
    """Segments replaced by others that hold the same rows."""

    names: tuple[str, ...]
    by: tuple[str, ...]
    """The names of the others."""
    sums: tuple[str, ...]
    """Objects with the sums of the replaced segments."""
    at_ns: int


class Commit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One numbered entry of the log."""

    format: int
    version: int
    complete: bool
    """True if `segments` are all there are, and not only what this commit adds."""
    segments: tuple[Segment, ...]
    previous: str = ""
    """The SHA-256 of the commit before, of its whole object; empty in the first, and in format 1."""
    sums: tuple[Sums, ...] = ()
    """Files of sums: all valid ones in a complete commit, the added ones in another."""
    replaced: tuple[Replaced, ...] = ()
    """Replacements: all there ever were in a complete commit, the new ones in another."""

    @property
    def is_checked(self) -> bool:
        """True if the commit carries checksums."""
        return self.format != _UNCHECKED


class Head(NamedTuple):
    """Number and hash of a commit of a lake, as last seen."""

    version: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The lake's segments as of commit number `version`, in the order they were added."""

    version: int = 0
    segments: tuple[Segment, ...] = ()
    hashes: Mapping[int, str] = {}
    """The SHA-256 of the newest commits, by number; of those that had to be read."""
    sums: tuple[Sums, ...] = ()
    """The files of sums that count: one of a kind and segment."""
    replaced: tuple[Replaced, ...] = ()

    @property
    def gone(self) -> frozenset[str]:
        """The names of the segments that were replaced."""
        return frozenset(name for one in self.replaced for name in one.names)

    @property
    def head(self) -> Head:
        """The newest commit."""
        return Head(self.version, self.hashes.get(self.version, ""))


def read_manifest(store: LakeStore) -> Manifest:
    """Read the newest state of the lake; LakeError when a commit is missing, damaged or unreadable."""
    newest = newest_version(store)
    commits: list[Commit] = []
    hashes: dict[int, str] = {}
    while newest > len(commits):
        commit, sha256 = read_commit(store, newest - len(commits))
        if commits:
            check_follows(store, commits[-1], sha256)
        commits.append(commit)
        hashes[commit.version] = sha256
        if commit.complete:
            break
    commits.reverse()
    return manifest_of(newest, commits, hashes)


def manifest_of(version: int, commits: Sequence[Commit], hashes: Mapping[int, str]) -> Manifest:
    """Merge `commits`, given in order, into one manifest; a complete commit repeats what is known."""
    replaced = tuple(dict.fromkeys(one for commit in commits for one in commit.replaced))
    gone = {name for one in replaced for name in one.names}
    named = {segment.name: segment for commit in commits for segment in commit.segments}
    sums = {(one.of, one.kind): one for commit in commits for one in commit.sums}
    return Manifest(
        version,
        tuple(segment for name, segment in named.items() if name not in gone),
        hashes,
        tuple(one for (of, _), one in sums.items() if of not in gone),
        replaced,
    )


def newest_version(store: LakeStore) -> int:
    """The number of the newest commit; zero when there is none."""
    numbers = (
        name.removeprefix(f"{MANIFEST_FOLDER}/").partition(".")[0]
        for name in store.names(MANIFEST_FOLDER)
    )
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def add_segments(
    store: LakeStore,
    manifest: Manifest,
    added: Sequence[Segment],
    sums: Sequence[Sums] = (),
    replaced: Sequence[Replaced] = (),
) -> bool:
    """Commit all three on top of `manifest`; return False when another writer committed first.

    After a LakeError the commit may or may not exist; the manifest shows it.
    """
    version = manifest.version + 1
    complete = version % _COMPLETE_EVERY == 0
    commit = Commit(
        FORMAT, version, complete, tuple(added), manifest.head.sha256, tuple(sums), tuple(replaced)
    )
    if complete:
        before = Commit(
            FORMAT, manifest.version, True, manifest.segments, "", manifest.sums, manifest.replaced
        )
        whole = manifest_of(version, [before, commit], {})
        commit = msgspec.structs.replace(
            commit, segments=whole.segments, sums=whole.sums, replaced=whole.replaced
        )
    body = msgspec.json.encode(commit)
    checksum = hashlib.sha256(body).hexdigest().encode()
    return store.create(commit_name(version), body[:-1] + _CHECKSUM % checksum)


def read_commit(store: LakeStore, version: int) -> tuple[Commit, str]:
    """Read the commit numbered `version`, and the SHA-256 of its object.

    LakeError when it is missing, damaged, or of a newer format.
    """
    name = commit_name(version)
    data = store.get(name)
    try:
        commit = msgspec.json.decode(data, type=Commit)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LakeError(f"{name}: is no commit of the lake {store.url}: {error}") from error
    if commit.format > FORMAT:
        raise LakeError(
            f"{name}: is of format {commit.format}, this program reads {FORMAT}; "
            "use a newer version of inferworks"
        )
    checksum = _CHECKSUM % hashlib.sha256(data[:-_CHECKSUM_BYTES] + b"}").hexdigest().encode()
    is_whole = data.endswith(checksum)
    if not commit.is_checked:  # format 1 has none
        is_whole = b'"sha256":"' not in data[-_CHECKSUM_BYTES:]
    if commit.version != version or not is_whole:
        raise LakeError(
            f"{name}: is not what was written in the lake {store.url}: its checksum differs; "
            "restore it from a backup"
        )
    return commit, hashlib.sha256(data).hexdigest()


def check_follows(store: LakeStore, commit: Commit, previous: str) -> None:
    """Raise LakeError when `commit` does not follow the commit whose SHA-256 is `previous`."""
    if commit.is_checked and commit.previous != previous:
        raise LakeError(
            f"{commit_name(commit.version - 1)}: is not the commit that the next one follows in the "
            f"lake {store.url}; restore it from a backup"
        )


def commit_name(version: int) -> str:
    """The object that keeps the commit numbered `version`."""
    return f"{MANIFEST_FOLDER}/{version:08d}.json"
