"""The data folder: paths of its files, permissions, and the lock that keeps it to one instance.

Keys, customers and usage are private to the folder's owner. A folder may have been made by somebody else (a
service manager, a volume, `mkdir`) and be open to all: its permissions are restricted before use, with all
that is in it, and a folder is refused if that fails, or if another user could place a link in it that leads
elsewhere. Files written by commands are private from the start (`cli.main` sets the umask).
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from inferworks.errors import DataFolderError

INSTANCE: Final = "instance.json"
"""File that tells which gateway runs on a folder, or has run on it before."""
LAKE_FOLDER: Final = "lake"
BACKUP_LIST: Final = "backup.json"
"""File that lists what a backup of a folder holds; a folder with it is a backup, and nobody runs on it."""
_INSTANCE_BYTES = 512
_LOOKS = 20
_LOOK_S = 0.01
_OURS = (
    "accounts.db", "accounts.pepper", "journal.db", "journal-", "books.db", "ledger.db",
    "limits.db", "slices", "instance.json", "spool", "lake", "price-books", "transcripts", "first-key",
    BACKUP_LIST,
)  # fmt: skip
"""Prefixes of the names of the files that we keep."""
_WORKER_JOURNAL = re.compile(r"journal-([1-9][0-9]*)\.db")
_OTHERS = 0o077
"""The permissions of everybody but the owner."""

_log = logging.getLogger("inferworks")


class Instance(msgspec.Struct, frozen=True):
    """The running instance, as its lock file tells it."""

    pid: int
    url: str
    """Base URL of the API; empty while the gateway is starting."""
    has_run: bool = False
    """True if a gateway has been ready on this folder before."""
    workers: int = 0
    """Most workers with a journal each that were ready on this folder at once, ever."""


class DataFolder:
    """The folder at `path` and the files in it.

    Making one makes no file. Existing files are closed to other users; DataFolderError when that fails.
    """

    def __init__(self, path: Path) -> None:
        try:
            _close_to_others(path)
        except OSError as error:
            raise _unusable(path, f"{error.strerror or error}") from error
        self.path = path
        self.accounts = path / "accounts.db"
        self.pepper = path / "accounts.pepper"
        self.journal = path / "journal.db"
        self.books = path / "books.db"
        self.ledger = path / "ledger.db"
        self.limits = path / "limits.db"
        self.slices = path / "slices"
        self.spool = path / "spool"
        self.lake = path / LAKE_FOLDER
        self.price_books = path / "price-books"
        self.transcripts = path / "transcripts"
        self._lock = path / INSTANCE

    def create(self) -> None:
        """Make the folder, for this user only; DataFolderError when that cannot be, or a journal is gone.

        Its name is durable when this returns: else a power failure could take it away with all that is
        durable in it.
        """
        self.check_no_backup()
        try:
            made = [path for path in (self.path, *self.path.parents) if not path.exists()]
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.path.stat().st_mode & _OTHERS:
                raise _unusable(self.path, "is open to others and holds other things")
            self.spool.mkdir(exist_ok=True, mode=0o700)
            for path in made or [self.path]:  # again if it is there: who made it may have died
                with suppress(PermissionError):  # a folder above ours need not let us read it
                    sync_names(path.parent)
            if self._has_run():
                self._check_not_gone(self.journal, "what happened before")
                before = self._read()
                for number in range(1, 1 + (before.workers if before else 0)):
                    journal = self.worker_journal(number)
                    self._check_not_gone(journal, "what happened before")
        except OSError as error:
            raise _unusable(self.path, f"cannot be made: {error.strerror or error}") from error

    def check_no_backup(self) -> None:
        """DataFolderError when it is a backup: to work on one would change it, and forget what it was."""
        if (self.path / BACKUP_LIST).exists():
            raise DataFolderError(
                f"{self.path} is a backup; make a data folder of it with: inferworks restore {self.path} "
                "--data FOLDER"
            )

    def worker_journal(self, number: int) -> Path:
        """The journal of worker `number`, counted from 1; one process alone writes `journal`."""
        return self.path / f"journal-{number}.db"

    def journals(self) -> list[Path]:
        """All journals: `journal`, written or not, then those of the workers that there are or were."""
        found = [
            (int(match[1]), path)
            for path in self.path.glob("journal-*.db")
            if (match := _WORKER_JOURNAL.fullmatch(path.name)) and _holds_something(path)
        ]
        return [self.journal, *(path for _, path in sorted(found))]

    def written_journals(self) -> list[Path]:
        """The journals that exist."""
        return [path for path in self.journals() if path.exists()]

    @property
    def is_begun(self) -> bool:
        """True if it was ever used as one: it has books, a journal, an archive, customers or a spool."""
        kept = (self.books, self.journal, self.lake, self.ledger, self.accounts, self.spool)
        return any(path.exists() for path in kept)

    def is_ours(self, path: Path) -> bool:
        """Return True if `path` is that of a file which we keep in the folder."""
        ours = Path(os.path.abspath(self.path))  # noqa: PTH100 - of links in it, not of their targets
        with suppress(ValueError):
            inside = Path(os.path.abspath(path)).relative_to(ours)  # noqa: PTH100
            return inside.parts[:1] != () and inside.parts[0].startswith(_OURS)
        return False

    @contextmanager
    def hold(self) -> Iterator[int]:
        """Keep every other instance out while the block runs; yield the lock's descriptor.

        A process that inherits it keeps others out, too, until it ends.
        """
        self.create()
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self.path, f"cannot be used: {error.strerror or error}") from error
        try:
            self._take(lock)
            if not self._lock.exists() or not os.path.samestat(os.fstat(lock), self._lock.stat()):
                raise _unusable(self.path, "was replaced by a restore just now; start again")
            self.tell("")
            yield lock
        finally:
            os.close(lock)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep every instance out while the block runs, also of a folder that is damaged or none."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield
            return
        except OSError as error:
            raise _unusable(self.path, f"cannot be used: {error.strerror or error}") from error
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def _take(self, lock: int) -> None:
        """Take the lock on the open file `lock`; DataFolderError when another process has it."""
        for _ in range(_LOOKS):  # a process that only checks (`instance`) also has it briefly
            if _lock(lock):
                return
            time.sleep(_LOOK_S)
        other = self._read()
        who = f"process {other.pid}" if other else "another process"
        raise DataFolderError(
            f"data folder {self.path} is in use by {who}; stop it, or name another folder with --data"
        )

    @contextmanager
    def keep_lake(self, *, changing: bool) -> Iterator[None]:
        """Protect the lake's files: they may be named or, `changing`, replaced while the block runs.

        Many may name them at once, and one may replace them while none does. DataFolderError otherwise.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(self.path, f"cannot be used: {error.strerror or error}") from error
        try:
            if not _lock(descriptor, fcntl.LOCK_EX if changing else fcntl.LOCK_SH):
                raise DataFolderError(
                    f"in {self.path} a period is being closed, or the lake is being compacted; try again "
                    "when that is done"
                )
            yield
        finally:
            os.close(descriptor)

    def keep_first_key(self, secret: str) -> Path:
        """Write the first key into a file for this user only, and return its path. OSError."""
        path = self.path / "first-key"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
            file.write(f"{secret}\n")
        return path

    def tell(self, url: str, workers: int = 0) -> None:
        """Write down the holder of the folder, its URL and its workers; DataFolderError on failure."""
        try:
            before = self._read()
            has_run = bool(url) or self._has_run()
            workers = max(workers, before.workers if before else 0)
            data = msgspec.json.encode(Instance(os.getpid(), url, has_run, workers))
            with self._lock.open("r+b") as file:  # its room is kept: the disk may be full meanwhile
                file.write(data.ljust(_INSTANCE_BYTES))
                file.truncate()
        except OSError as error:
            raise _unusable(self.path, f"cannot be written: {error.strerror or error}") from error

    def _has_run(self) -> bool:
        """Return whether a gateway has been ready on this folder."""
        before = self._read()
        return before is not None and (before.has_run or bool(before.url))

    @property
    def has_lost_accounts(self) -> bool:
        """True when a gateway has run on this folder, and its accounts are gone."""
        return self._has_run() and not _holds_something(self.accounts)

    def check_accounts(self, also: str = "") -> None:
        """DataFolderError when a gateway has run here and its accounts are gone, `also` from elsewhere."""
        if self.has_lost_accounts:
            self._check_not_gone(self.accounts, "customers and keys", also)

    def _check_not_gone(self, path: Path, what: str, also: str = "") -> None:
        """DataFolderError when `path`, which a gateway has written, is gone or empty."""
        if not _holds_something(path):
            raise DataFolderError(
                f"{path} is gone, though a gateway has run on it{also}: restore it from a backup "
                f"(docs/backup.md), or remove {self._lock} to begin without {what}"
            )

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


@contextmanager
def leaving_none_empty(path: Path) -> Iterator[None]:
    """Make a database at `path`; one that was begun and holds nothing is removed when the block fails."""
    was_there = path.exists()
    try:
        yield
    except BaseException:
        if not was_there and path.exists() and not _holds_something(path):
            path.unlink()
        raise


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _unusable(path: Path, why: str) -> DataFolderError:
    return DataFolderError(
        f"data folder {path}: {why}; correct that, or name a folder of your own with --data"
    )


def _close_to_others(folder: Path) -> None:
    """Keep others out of `folder` if it is there; DataFolderError or OSError when that cannot be.

    One that holds other things and nothing of ours is left alone: it was named by mistake.
    Once a folder is closed nobody gets to what is below, so only what lies in it directly is looked at.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        _check_link(folder, found)
        found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise _unusable(folder, "is no folder")
    names = [path.name for path in folder.iterdir()]
    ours = [folder / name for name in names if name.startswith(_OURS)]
    if names and not ours:
        return
    if found.st_uid != os.geteuid() != 0:
        raise _unusable(folder, f"belongs to another user ({found.st_uid})")
    was_open = found.st_mode & _OTHERS
    if was_open:
        _close(folder, found)
        _log.warning("data folder %s was open to others (%03o); no more", folder, was_open)
    for path in ours:
        _check_inside(path)
        if was_open:
            for parent, folders, files in os.walk(path):
                for name in (*folders, *files):
                    _check_inside(Path(parent, name))


def _check_inside(path: Path) -> None:
    """Restrict a file in a data folder to its owner, unless the file is gone by now."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            _check_link(path, found)
        elif found.st_mode & _OTHERS:
            _close(path, found)
    except FileNotFoundError:
        pass


def _check_link(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in {os.geteuid(), 0}:
        raise _unusable(path, f"is a link that another user has made ({found.st_uid})")


def _close(path: Path, found: os.stat_result) -> None:
    path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    if path.stat().st_mode & _OTHERS:
        raise _unusable(path, "is open to others, and its disk keeps no permissions")


def sync_names(folder: Path) -> None:
    """Make the names in `folder` durable. OSError when the disk fails."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock on an open file; it is released when the file is closed, however we end."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
