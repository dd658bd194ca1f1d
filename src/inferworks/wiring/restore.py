"""A data folder made of a backup: verified before it is put in place, and then at once or not at all.

Problem. A restore is done in a hurry, by people who have lost something. A copy that was damaged since, one
of a newer program, one that is cut off half-way, or one on top of a folder that somebody still needs, makes
the loss larger. And a copy does not know that it is one: the gateway that it was made of may live, and both
would then spend the same budget.

Decision. The backup is copied into a folder beside the one that is wanted, each file compared with the list
of the backup; there it is read whole, as `inferworks scrub` does, with the chain of the audit log and the
seals of the books. What runs of the original hold of the limits counts as used in the copy (`bury_all`).
Only then is it renamed to its name. A folder that is in use is refused; one that is not is replaced only
when that is asked for, by an exchange of the two names, and kept.

Killed before the rename, nothing has changed but for the folder beside, which the next restore removes.
Where the system cannot exchange names, the old folder is renamed first: killed between the two, both are
beside.

Rejected. Copying into the place itself (killed half-way, it looks like a folder); `rename` over the old one
(no system does that to a folder that is not empty).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from inferworks.accounts.audit import verify
from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.clock import Clock
from inferworks.errors import DamagedError, DataFolderError, UserError
from inferworks.files import regular_file
from inferworks.folder import DataFolder, sync_names
from inferworks.limits.ledger import bury_all
from inferworks.limits.stores.sqlite import SqliteLimits
from inferworks.meter.lakes.detect import lake_at
from inferworks.meter.reader import reading
from inferworks.meter.shipping.outbox import run_of
from inferworks.sqlite import connect
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.backup import BackedUp, BackupList, read_list
from inferworks.wiring.scrub import Scrubbed, scrub, summed

_BLOCK_BYTES: Final = 1 << 20
_HERE: Final = -100
"""AT_FDCWD."""
_EXCHANGE: Final = 2
"""RENAME_EXCHANGE."""
_CANNOT: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class Restored(msgspec.Struct):
    """Outcome of a restore."""

    sound: bool
    """False when something in the backup is damaged: then nothing was put in place."""
    parts: list[Scrubbed]
    data: str
    """Path of the data folder."""
    backup: BackupList
    kept: str = ""
    """Path of the folder that was replaced."""
    slices: int = 0
    """Slices of limits that were open, and now count as used."""
    ships_as: str = ""
    """Node as which its records are shipped to a hub."""


def restore(
    backup: Path, to: Path, clock: Clock, *, lake_url: str = "", replace: bool = False
) -> Restored:
    """Make a data folder at `to` of the one at `backup`; with `replace`, in place of what is there.

    DataFolderError when it cannot be made, or is not as it was written.
    """
    listed = read_list(backup)
    target = to.resolve()
    _check_place(backup.resolve(), target, replace=replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _stage(target) as stage:
            for name, expected in sorted(listed.files.items()):
                _copy_checked(backup / name, stage / name, expected)
            folder = DataFolder(stage)
            parts = summed(scrub(folder, lake_at(lake_url or str(folder.lake)), thorough=True))
            _check_audit(folder, parts)
            if any(part.findings for part in parts):
                return Restored(False, parts, str(to), listed)
            slices = _count_as_used(folder)
            ships_as = _ships_as(folder)
            for path in (*stage.rglob("*"), stage):
                if path.is_dir():
                    sync_names(path)
            with DataFolder(target).stopped():
                kept = _put(stage, target, clock)
    except OSError as error:
        text = f"{backup} cannot be restored to {to}: {error.strerror or error}"
        raise DataFolderError(text) from error
    return Restored(True, parts, str(to), listed, str(kept or ""), slices, ships_as)


def _check_place(backup: Path, target: Path, *, replace: bool) -> None:
    """DataFolderError when a folder cannot be put at `target`, or that would lose something."""
    if backup == target or backup in target.parents or target in backup.parents:
        raise DataFolderError(f"{target} and the backup are in one another; name another folder")
    if target.is_mount():
        raise DataFolderError(
            f"{target} is where a disk is mounted, and cannot be put in place at once; name a folder in it "
            f"with --data: {target / 'data'}"
        )
    if target.exists() and not target.is_dir():
        raise DataFolderError(f"{target} is no folder; name another with --data")
    if target.is_dir() and any(target.iterdir()) and not replace:
        raise DataFolderError(
            f"{target} is not empty; name a new folder with --data, or put the backup in its place with "
            "--replace, which keeps the old one beside"
        )


@contextmanager
def _stage(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` for what is to be put there; removed in the end, if it is there."""
    stage = target.with_name(f".{target.name}.restoring")
    stage.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        busy = DataFolderError(f"another restore to {target} is at work; try again when it is done")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        if not stage.exists() or not os.path.samestat(os.fstat(lock), stage.stat()):
            raise busy  # that one has just put it in place
        for path in stage.iterdir():  # of a restore that was killed
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        try:
            yield stage
        finally:
            if stage.exists():
                shutil.rmtree(stage, ignore_errors=True)
    finally:
        os.close(lock)


def _copy_checked(source: Path, target: Path, expected: BackedUp) -> None:
    """Copy a file durably; DamagedError when it is not what was backed up."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    size, digest = 0, hashlib.sha256()
    try:
        with regular_file(source) as file:
            made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(made, "wb") as copy:
                while block := file.read(_BLOCK_BYTES):
                    size += len(block)
                    digest.update(block)
                    copy.write(block)
                copy.flush()
                os.fsync(made)
    except FileNotFoundError:
        raise DamagedError(f"{source} is gone from the backup; restore another one") from None
    if BackedUp(size, digest.hexdigest()) != expected:
        raise DamagedError(
            f"{source} is not what was backed up: its checksum differs; restore another backup"
        )


def _check_audit(folder: DataFolder, parts: list[Scrubbed]) -> None:
    """Add what is wrong with the log of changes of the accounts."""
    if not folder.accounts.exists():
        return
    part = Scrubbed("audit log")
    try:
        with closing(SqliteAccounts(folder.accounts, read_only=True)) as accounts:
            part.rows = verify(accounts.audit(), accounts.audit_head())
    except UserError as error:
        part.findings = [str(error)]
    parts.append(part)


def _count_as_used(folder: DataFolder) -> int:
    """Count as used what gateways held of the limits; return the number of their slices."""
    if not folder.limits.exists():
        return 0
    with closing(SqliteLimits(folder.limits)) as limits:
        return len(limits.transact(bury_all))


def _ships_as(folder: DataFolder) -> str:
    """Return the name of the node as which its records are shipped; empty when they are not."""
    if not folder.journal.exists():
        return ""
    with reading(folder.journal), closing(connect(folder.journal, "ro")) as journal:
        run = run_of(journal)
    return run.node if run else ""


def _put(stage: Path, target: Path, clock: Clock) -> Path | None:
    """Rename `stage` to `target`; return where what was there is kept, if anything was."""
    if not target.exists() or not any(target.iterdir()):
        stage.rename(target)
        sync_names(target.parent)
        return None
    at = datetime.fromtimestamp(clock.now_ns() // NS_PER_SECOND, UTC)
    name = f"{target.name}.before-{at:%Y%m%dT%H%M%SZ}"
    names = (target.with_name(f"{name}{end}") for end in ("", *(f"-{n}" for n in range(2, 1000))))
    kept = next(path for path in names if not path.exists())
    stage.rename(kept)
    try:
        _exchange(kept, target)
    except BaseException:
        if not stage.exists():
            kept.rename(stage)
        raise
    sync_names(target.parent)
    return kept


def _exchange(one: Path, other: Path) -> None:
    """Exchange the names of two folders, at once where the system can. OSError."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None:
        if not rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
            return
        if ctypes.get_errno() not in _CANNOT:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    between = one.with_name(f"{one.name}.old")
    other.rename(between)
    try:
        one.rename(other)
    except OSError:
        between.rename(other)
        raise
    between.rename(one)
