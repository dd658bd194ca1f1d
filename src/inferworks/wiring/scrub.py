"""Scrubbing of a data folder, part by part: at once, or a little all the time."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from inferworks.accounts.stores.sqlite import SqliteAccounts
from inferworks.config import Scrub
from inferworks.errors import BooksError, DamagedError, UserError
from inferworks.folder import DataFolder
from inferworks.limits.stores.sqlite import check_limits
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.scrub import Piece, scrub_journal, scrub_lake
from inferworks.supervise import Supervisor, Work

_LEAVE_S = 5.0
"""Seconds that leaving waits for a piece being read; then an unresponsive lake is left behind."""

_ACCOUNTS_ROW_BYTES = 300
"""About the bytes of a row of accounts."""


class Scrubbed(msgspec.Struct):
    """Amount read of one part of a data folder, so far."""

    part: str
    rows: int = 0
    bytes: int = 0
    unchecked: int = 0
    """Rows and commits without a checksum, of before there were any."""
    findings: list[str] = []

    def add(self, piece: Piece) -> None:
        """Count `piece` in."""
        self.rows += piece.rows
        self.bytes += piece.bytes
        self.unchecked += piece.unchecked
        self.findings += piece.findings


def scrub(folder: DataFolder, lake: LakeStore, *, thorough: bool) -> Generator[Piece, None, None]:
    """Read everything in `folder` and `lake` again, a piece at a time; see `meter.scrub`."""
    journals = folder.journals()
    for journal in journals:
        if journal.exists():
            yield from scrub_journal(journal, thorough=thorough)
    yield from scrub_lake(lake, *journals)
    if folder.accounts.exists():
        yield from _scrub_accounts(folder.accounts)
    if folder.limits.exists():
        rows, findings = check_limits(folder.limits, thorough=thorough)
        yield Piece("limits", rows, folder.limits.stat().st_size, tuple(findings), unchecked=rows)
    for part in ("books", "ledger"):
        path: Path = getattr(folder, part)
        if path.exists():
            try:
                rows, findings = _checked(part, path)
            except (UserError, BooksError) as error:
                rows, findings = 0, [str(error)]
            yield Piece(part, rows, path.stat().st_size, tuple(findings))


def _scrub_accounts(path: Path) -> Generator[Piece, None, None]:
    """Read the accounts again, some rows at a time: a million keys take half a minute of a processor."""
    left = path.stat().st_size
    try:
        with closing(SqliteAccounts(path, read_only=True)) as accounts:
            for rows, findings in accounts.check_pieces():
                size = min(left, rows * _ACCOUNTS_ROW_BYTES)
                left -= size
                yield Piece("accounts", rows, size, tuple(findings))
    except UserError as error:
        yield Piece("accounts", 0, 0, (str(error),))
    yield Piece("accounts", 0, left)


def _checked(part: str, path: Path) -> tuple[int, list[str]]:
    """The number of rows of one of our databases, and what is damaged there."""
    from inferworks.books.closing.audit import audit_kept  # a start does without the books
    from inferworks.books.closing.ledger import Ledger
    from inferworks.books.repository.store import BookStore

    if part == "books":
        with BookStore(path, read_only=True) as books:
            return books.check()
    with Ledger(path, read_only=True) as ledger:
        records = len(ledger.chain())
        broken = [f"{path} is damaged: {finding}" for finding in audit_kept(ledger)]
        return records, [*ledger.check(), *broken]


def summed(pieces: Iterable[Piece]) -> list[Scrubbed]:
    """Sum `pieces` part by part."""
    parts: dict[str, Scrubbed] = {}
    for piece in pieces:
        parts.setdefault(piece.part, Scrubbed(piece.part)).add(piece)
    return list(parts.values())


@contextmanager
def scrubbing(
    settings: Scrub, folder: DataFolder, lake: LakeStore, supervisor: Supervisor
) -> Iterator[None]:
    """Scrub again and again while the block runs, within the bytes per second that `settings` allow.

    Reads in a thread of its own. Damage makes the work `scrub` ill until a whole pass finds none, so health
    and metrics report it.
    """
    stopped = threading.Event()

    def life(work: Work) -> None:
        while not stopped.is_set():
            is_sound = True
            with closing(scrub(folder, lake, thorough=False)) as pieces:
                for piece in pieces:
                    for finding in piece.findings:
                        is_sound = False
                        work.failed(DamagedError(finding))
                    if stopped.wait(piece.bytes / settings.bytes_per_s):
                        return
            if is_sound:
                work.succeeded()
            stopped.wait(settings.every_s)

    thread = supervisor.thread("scrub", life, patience_s=0.0) if settings.every_s else None
    try:
        yield
    finally:
        stopped.set()
        if thread:
            thread.join(_LEAVE_S)
