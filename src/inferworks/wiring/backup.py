"""A copy of a data folder that may be in use, from which everything can go on.

Problem. `cp -r` of a folder in use copies a database and its write-ahead log at two moments, and between
them SQLite may have moved pages from one to the other. And the files refer to each other: a copy in which
the ledger names what the books do not have yet is refused when it is verified.

Decision. Each database is copied by SQLite's own backup, as of one moment. A file is copied before the
files that it refers to, so that each copy has all that those before it name: the ledger, then the books
and accounts, whose hashes it has; the open calls, then the journal, in which they may have ended since;
and last the lake, which may know more than the journal, but not less. Of the lake, the list of commits
comes first, then the segments, which are all there by then, then those commits.

A copy is read whole (`wiring.scrub`) before it is called a backup.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from inferworks.errors import DataFolderError
from inferworks.folder import DataFolder
from inferworks.meter.archive.manifest import MANIFEST_FOLDER
from inferworks.meter.archive.schema import LAKE_TABLES
from inferworks.meter.archive.sums import SUMS_FOLDER
from inferworks.meter.inflight_log import opening_files
from inferworks.sqlite import connect

_LOG_SUFFIXES: Final = ("-wal", "-shm", "-journal")


def back_up(folder: DataFolder, to: DataFolder) -> None:
    """Copy all of `folder` into `to`, which must be new or empty; a lake elsewhere is not in it.

    DataFolderError when it cannot be read or written. Nothing is left then: half a copy is no backup.
    """
    if to.path.exists() and (not to.path.is_dir() or any(to.path.iterdir())):
        raise DataFolderError(f"{to.path} is there already; name a new folder for the backup")
    if folder.path.resolve() in to.path.resolve().parents:
        raise DataFolderError(f"{to.path} is in the data folder; name a folder elsewhere")
    try:
        to.create()
        for name in ("ledger", "accounts", "books"):
            _copy_database(getattr(folder, name), getattr(to, name))
        journals = folder.journals()
        for journal in journals:
            _copy(folder.path, to.path, opening_files(journal))
            _copy_database(journal, to.path / journal.name)
        databases = (folder.ledger, folder.accounts, folder.books, *journals)
        apart = {path.name + end for path in databases for end in ("", *_LOG_SUFFIXES)}
        apart.add("instance.json")
        openings = {path for journal in journals for path in opening_files(journal)}
        others = [p for p in _files(folder.path) if p.name not in apart and p not in openings]
        _copy(folder.path, to.path, [path for path in others if folder.lake not in path.parents])
        commits = _files(folder.lake / MANIFEST_FOLDER)
        folders = (*LAKE_TABLES, SUMS_FOLDER)
        segments = [path for name in folders for path in _files(folder.lake / name)]
        _copy(folder.path, to.path, [*segments, *commits])
        os.sync()
    except BaseException as error:
        shutil.rmtree(to.path, ignore_errors=True)
        if isinstance(error, OSError | sqlite3.Error):
            message = f"{folder.path} cannot be copied to {to.path}: {error}"
            raise DataFolderError(message) from error
        raise


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
    with (
        closing(connect(path, "ro")) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
    to.chmod(0o600)
