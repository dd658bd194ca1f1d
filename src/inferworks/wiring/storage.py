"""What happened is kept: the journal of a data folder, and old rows on their way into the lake."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress

from inferworks.clock import Clock
from inferworks.config import Lake
from inferworks.folder import DataFolder
from inferworks.meter.journal import Journal
from inferworks.meter.lake_journal import SealingJournal
from inferworks.meter.lake_seal import seal
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.recover import recover
from inferworks.meter.spool import spools
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.observe.readings import Commits
from inferworks.units import NS_PER_SECOND

_log = logging.getLogger("inferworks")


@contextmanager
def open_journal(folder: DataFolder, turn: threading.Lock, commits: Commits) -> Iterator[Journal]:
    """The journal of `folder` while the block runs; `commits` hears how long each commit takes."""
    journal = Journal(SqliteStore(folder.journal, turn), committed=commits.take)
    journal.start()
    with closing(journal):
        yield journal


async def close_left_open(journal: Journal, folder: DataFolder, clock: Clock) -> None:
    """Close what an earlier instance left open when it died."""
    found = await recover(journal, clock, spools(folder.spool))
    if found.calls:
        _log.warning("closed %d calls that an earlier instance left open", found.calls)


@asynccontextmanager
async def sealing(
    settings: Lake, lake: LakeStore, folder: DataFolder, clock: Clock, turn: threading.Lock
) -> AsyncIterator[None]:
    """Seal old rows now and then while the block runs; leaving cuts a sealing short and waits for it.

    `turn` is the lock that the journal's own writer takes for each write.
    """
    leaving, stopped = asyncio.Event(), threading.Event()

    def act() -> None:
        before_ns = clock.now_ns() - round(settings.seal_after_s * NS_PER_SECOND)
        try:
            with SealingJournal(folder.journal, turn) as journal:
                least_rows, is_set = settings.least_rows, stopped.is_set
                seal(journal, lake, before_ns, least_rows=least_rows, stopped=is_set)
        except Exception as error:  # noqa: BLE001 whatever it is, calls go on; the next one tries again
            _log.warning("could not seal old rows, which stay in the journal for now: %s", error)

    async def repeat() -> None:
        while not leaving.is_set():
            await asyncio.to_thread(act)
            with suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), settings.seal_s)

    task = asyncio.create_task(repeat()) if settings.seal_s else None
    try:
        yield
    finally:
        leaving.set()
        stopped.set()
        if task:
            await task
