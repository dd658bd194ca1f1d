"""The data folder: what lies where, and the lock that keeps it to one running instance."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from inferworks.errors import DataFolderError

_LOOKS = 20
_LOOK_S = 0.01


class Instance(msgspec.Struct, frozen=True):
    """The running instance, as its lock file tells it."""

    pid: int
    url: str
    """Where its API begins; empty while it is starting."""


class DataFolder:
    """The folder at `path` and the files in it. Making one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accounts = path / "accounts.db"
        self.journal = path / "journal.db"
        self.books = path / "books.db"
        self.ledger = path / "ledger.db"
        self.spool = path / "spool"
        self.lake = path / "lake"
        self.price_books = path / "price-books"
        self.transcripts = path / "transcripts"
        self._lock = path / "instance.json"

    def create(self) -> None:
        """Make the folder, for this user only; DataFolderError when that cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.spool.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise DataFolderError(f"data folder {self.path}: cannot be made: {error}") from error

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every other instance out while the block runs."""
        self.create()
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(f"data folder {self.path}: cannot be used: {error}") from error
        try:
            if not _lock_in_time(lock):
                other = self._read()
                who = f"process {other.pid}" if other else "another process"
                raise DataFolderError(
                    f"data folder {self.path} is in use by {who}; stop it, or name another "
                    "folder with --data"
                )
            self.tell("")
            yield
        finally:
            os.close(lock)

    def tell(self, url: str) -> None:
        """Write down who holds the folder and where it answers."""
        self._lock.write_bytes(msgspec.json.encode(Instance(os.getpid(), url)))

    def instance(self) -> Instance | None:
        """The instance that holds the folder now, if one does."""
        try:
            lock = os.open(self._lock, os.O_RDWR)
        except OSError:
            return None
        try:
            return None if _lock(lock) else self._read()
        finally:
            os.close(lock)

    def _read(self) -> Instance | None:
        try:
            return msgspec.json.decode(self._lock.read_bytes(), type=Instance)
        except (OSError, msgspec.DecodeError):
            return None


def _lock_in_time(descriptor: int) -> bool:
    """Take the lock; whoever only looks whether it is held (`instance`) has it for a moment, too."""
    for _ in range(_LOOKS):
        if _lock(descriptor):
            return True
        time.sleep(_LOOK_S)
    return False


def _lock(descriptor: int) -> bool:
    """Take the lock on an open file; it is released when the file is closed, however we end."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
