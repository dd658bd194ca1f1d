"""A lake in a folder.

An object is written beside its place, made durable, and only then given its name: by a rename where it may
replace, by a hard link where it must be the first, since of several links to one name the system lets one
win. So under its name an object is always whole. The folder's own entry is made durable last, up to the
folder that was there before. Leftovers of a killed writer lie in `.tmp`, which no reader looks at, and are
removed when they are an hour old.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from inferworks.errors import LakeError

_TEMPORARY: Final = ".tmp"
_STALE_S: Final = 3600.0


class Files:
    """The operations on files that a lake is made of, one method each, so that a test can fail them."""

    def write(self, path: Path, data: bytes) -> None:
        """Make the file at `path` from `data`, durably."""
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Rename `source` to `target`, replacing it."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give `source` the further name `target`; FileExistsError when it is taken."""
        target.hardlink_to(source)

    def remove(self, path: Path) -> None:
        """Take the file's name away, if it has one."""
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Make one folder, if it is not there."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LocalLake:
    """Keeps objects as files below `root`, which is made by the first `put`."""

    def __init__(self, root: Path, files: Files | None = None) -> None:
        self._root = root
        self._files = files or Files()
        self._instance = os.urandom(8).hex()
        """Random, since one that was killed may have had the same process id."""
        self._numbers = itertools.count()
        self._durable: set[Path] = set()
        """Folders whose names this instance has made durable."""

    @property
    def url(self) -> str:
        """Path of the lake's folder."""
        return str(self._root)

    def put(self, name: str, data: bytes) -> None:
        """Keep `data` as `name`; see `LakeStore.put`."""
        with self._told("cannot be written", name), self._temporary(data) as temporary:
            target = self._place(name)
            self._files.rename(temporary, target)
            self._files.sync_folder(target.parent)

    def create(self, name: str, data: bytes) -> bool:
        """Keep `data` as `name` if there is none yet; see `LakeStore.create`."""
        with self._told("cannot be written", name), self._temporary(data) as temporary:
            target = self._place(name)
            try:
                self._files.link(temporary, target)
                created = True
            except FileExistsError:
                created = False
            self._files.sync_folder(target.parent)  # whoever was first may have died before this
            return created

    def get(self, name: str) -> bytes:
        """The bytes of `name`."""
        with self._told("cannot be read", name):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                raise LakeError(f"{name}: is missing from the lake {self.url}") from None

    def remove(self, name: str) -> None:
        """Take `name` away."""
        with self._told("cannot be removed", name):
            self._files.remove(self._root / name)

    def names(self, folder: str) -> Sequence[str]:
        """The names below `folder`."""
        with self._told("cannot be read", folder):
            paths = [path for path in (self._root / folder).rglob("*") if path.is_file()]
        return sorted(path.relative_to(self._root).as_posix() for path in paths)

    def locate(self, name: str) -> str:
        """The path of `name`."""
        return str((self._root / name).absolute())

    def _place(self, name: str) -> Path:
        """The path of `name`, in a folder that is there."""
        target = self._root / name
        self._make(target.parent)
        return target

    def _make(self, folder: Path) -> None:
        """Make `folder` and its parents, durably.

        One of the lake that is there may not be durable: whoever made it may have died too soon.
        """
        is_there = folder.is_dir()
        if is_there and (folder in self._durable or folder in self._root.parents):
            return
        self._make(folder.parent)
        if not is_there:
            self._files.make_folder(folder)
        try:
            self._files.sync_folder(folder.parent)
        except OSError:
            if not is_there:  # after a sync that failed the next one promises nothing: make it anew
                with suppress(OSError):  # another writer uses it by now
                    folder.rmdir()
            raise
        self._durable.add(folder)

    @contextmanager
    def _temporary(self, data: bytes) -> Iterator[Path]:
        """A durable file that holds `data` and has no name in the lake yet."""
        folder = self._root / _TEMPORARY
        self._make(folder)
        number = next(self._numbers)
        for left in folder.iterdir() if number == 0 else ():
            try:
                is_stale = left.stat().st_mtime < time.time() - _STALE_S
            except FileNotFoundError:  # its owner was quicker
                continue
            if is_stale:  # of a process that was killed long ago
                self._files.remove(left)
        path = folder / f"{self._instance}-{number}"
        try:
            self._files.write(path, data)
            yield path
        finally:
            self._files.remove(path)

    @contextmanager
    def _told(self, what: str, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise LakeError(f"{name}: {what} in the lake {self.url}: {reason}") from error
