"""A copy of a data folder that may be in use, from which everything can go on.

Problem. `cp -r` of a folder in use copies a database and its write-ahead log at two moments, and between
them SQLite may have moved pages from one to the other. And the files refer to each other: a copy in which
the ledger names what the books do not have yet is refused when it is verified.

Decision. Each database is copied by SQLite's own backup, as of one moment. What is a database is told by
its first bytes and not by a list, so that a new one cannot be forgotten. A file is copied before the files
that it refers to, so that each copy has all that those before it name: the ledger, then the books and
accounts, whose hashes it has; the open calls, then the journal, in which they may have ended since; then
the limits, which have counted every call of that journal; and last the lake, which may know more than the
journal, but not less. Of the lake, the list of commits comes first, then the segments, which are all there
by then, then those commits.

Two things stay behind: the lock, and the logs of slices. What a log says of a gateway that lives is true
only at the moment of the copy, and who went on from it would spend again what has been spent since.

The last file is a list of all others with their checksums (`backup.json`). A copy without it was cut off,
and a folder with it is a backup: no gateway runs on it, and `wiring.restore` makes a data folder of it.

A copy is read whole (`wiring.scrub`) before it is called a backup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import msgspec

from inferworks import __version__
from inferworks.clock import Clock
from inferworks.errors import DataFolderError
from inferworks.files import read_bytes, regular_file
from inferworks.folder import BACKUP_LIST, INSTANCE, DataFolder, sync_names
from inferworks.meter.archive.manifest import MANIFEST_FOLDER
from inferworks.meter.archive.schema import LAKE_TABLES
from inferworks.meter.archive.sums import SUMS_FOLDER
from inferworks.meter.inflight_log import opening_files
from inferworks.sqlite import connect

FORMAT: Final = 1
"""Version of the list."""
_LIST_BYTES: Final = 1 << 30
"""More than the list of a lake of three million files has."""
_LOG_SUFFIXES: Final = ("-wal", "-shm", "-journal")
_MAGIC: Final = b"SQLite format 3\0"
_BLOCK_BYTES: Final = 1 << 20


class BackedUp(msgspec.Struct, frozen=True):
    """File in a backup."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class BackupList(msgspec.Struct, frozen=True):
    """Content of a backup."""

    format: int
    program: str
    """Version of the program that made it."""
    made_ns: int
    source: str
    """Path of the data folder that it is a copy of."""
    lake_url: str
    """Place of the lake, when it is elsewhere and not in the backup; else empty."""
    store_url: str
    """Database that the gateway shares with others, which is not in the backup; else empty."""
    files: dict[str, BackedUp]
    """By path in the folder, with slashes."""


def back_up(
    folder: DataFolder, to: DataFolder, clock: Clock, *, lake_url: str = "", store_url: str = ""
) -> BackupList:
    """Copy all of `folder` into `to`, which must be new or empty, and return what is there.

    What is elsewhere, at `lake_url` and `store_url`, is not in it. DataFolderError when it cannot be read
    or written. Nothing is left then: half a copy is no backup.
    """
    if to.path.exists() and (not to.path.is_dir() or any(to.path.iterdir())):
        raise DataFolderError(f"{to.path} is there already; name a new folder for the backup")
    if folder.path.resolve() in to.path.resolve().parents:
        raise DataFolderError(f"{to.path} is in the data folder; name a folder elsewhere")
    folder.check_no_backup()
    made_ns = clock.now_ns()
    try:
        to.create()
        _copy_all(folder, to)
        os.sync()
        source, program = str(folder.path.absolute()), __version__
        listed = {path.relative_to(to.path).as_posix(): checked(path) for path in _files(to.path)}
        made = BackupList(FORMAT, program, made_ns, source, lake_url, store_url, listed)
        _write_list(made, to)
    except BaseException as error:
        shutil.rmtree(to.path, ignore_errors=True)
        if isinstance(error, OSError | sqlite3.Error):
            message = f"{folder.path} cannot be copied to {to.path}: {error}"
            raise DataFolderError(message) from error
        raise
    return made


def read_list(backup: Path) -> BackupList:
    """Return what the backup at `backup` holds; DataFolderError when it is none, or of a newer version."""
    path = backup / BACKUP_LIST
    try:
        data = read_bytes(path, _LIST_BYTES)
    except FileNotFoundError:
        raise DataFolderError(
            f"{backup} is no whole backup: it has no {BACKUP_LIST}, which is written last. Make one with: "
            "inferworks backup (a snapshot or a plain copy, too: inferworks backup TO --data COPY)"
        ) from None
    except OSError as error:
        raise DataFolderError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        found = msgspec.json.decode(data)
        newer = found["format"]
        if isinstance(newer, int) and newer > FORMAT:
            raise DataFolderError(
                f"{backup} is a backup of format {newer}, made by inferworks {found.get('program')}; this "
                f"program reads format {FORMAT}: restore it with the version that made it"
            )
        made = msgspec.convert(found, BackupList)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        raise DataFolderError(f"{path} is damaged: {error}; restore another backup") from error
    for name in made.files:
        parts = PurePosixPath(name).parts
        if not parts or "/" in parts or ".." in parts or "\0" in name or parts[0] in _NOT_COPIED:
            raise DataFolderError(f"{path} is damaged: no file is called {name[:80]!a} in a backup")
    return made


def checked(path: Path) -> BackedUp:
    """Return size and checksum of the file at `path`; OSError when it cannot be read."""
    size, digest = 0, hashlib.sha256()
    with regular_file(path) as file:
        while block := file.read(_BLOCK_BYTES):
            size += len(block)
            digest.update(block)
    return BackedUp(size, digest.hexdigest())


_NOT_COPIED: Final = frozenset({INSTANCE, BACKUP_LIST, "slices"})
"""Names in a data folder that are not of a backup."""


def _copy_all(folder: DataFolder, to: DataFolder) -> None:
    """Copy everything, in the order in which the files refer to each other."""
    journals = folder.journals()
    openings = {path for journal in journals for path in opening_files(journal)}
    kept = [
        path
        for path in _files(folder.path)
        if path.relative_to(folder.path).parts[0] not in _NOT_COPIED
    ]
    ours = [folder.ledger, folder.accounts, folder.books, folder.limits, *journals]
    outside = [path for path in kept if folder.lake not in path.parents]
    unknown = [path for path in outside if path not in ours and _is_database(path)]
    databases = {*ours, *unknown}
    for path in (*unknown, folder.ledger, folder.accounts, folder.books):
        _copy_database(path, to.path / path.relative_to(folder.path))
    for journal in journals:
        _copy(folder.path, to.path, opening_files(journal))
        _copy_database(journal, to.path / journal.name)
    _copy_database(folder.limits, to.limits)
    logs = {path.with_name(path.name + end) for path in databases for end in _LOG_SUFFIXES}
    copied = databases | logs | openings
    _copy(folder.path, to.path, [path for path in outside if path not in copied])
    commits = _files(folder.lake / MANIFEST_FOLDER)
    segments = [p for name in (*LAKE_TABLES, SUMS_FOLDER) for p in _files(folder.lake / name)]
    _copy(folder.path, to.path, [*segments, *commits])


def _is_database(path: Path) -> bool:
    """Return whether the file at `path` is SQLite's, also one that was made just now and is empty."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except FileNotFoundError:
        return False
    return begin == _MAGIC or (not begin and path.suffix == ".db")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _copy(root: Path, to: Path, files: Iterable[Path]) -> None:
    """Copy `files` to the same places below `to`; one that is gone by now belonged to work that is over."""
    for path in files:
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copy2(path, target)
        except FileNotFoundError:
            continue


def _copy_database(path: Path, to: Path) -> None:
    """Copy the database at `path` as of one moment, if there is one."""
    if not path.exists():
        return
    to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        closing(connect(path, "ro")) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
    to.chmod(0o600)


def _write_list(made: BackupList, to: DataFolder) -> None:
    """Write the list durably under its name, whole or not at all."""
    path = to.path / BACKUP_LIST
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(made), indent=1))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_names(to.path)
