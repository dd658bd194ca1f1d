"""Durable storage: the journal of a data folder, and old rows on their way into the lake."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

from inferworks.clock import Clock
from inferworks.config import Lake
from inferworks.extras import check_installed, install, is_installed
from inferworks.folder import DataFolder
from inferworks.meter.archive.manifest import read_manifest
from inferworks.meter.archive.seal import check_journal, seal_all
from inferworks.meter.inflight_log import damaged_inflight_lines
from inferworks.meter.journal import Journal
from inferworks.meter.lakes.base import LakeStore
from inferworks.meter.lakes.local import LocalLake
from inferworks.meter.recover import recover
from inferworks.meter.scrub import check_start
from inferworks.meter.spool import spools
from inferworks.meter.stores.sqlite import SqliteStore
from inferworks.meter.usage import Usage
from inferworks.observe.gauges import Commits
from inferworks.supervise import Supervisor, Work
from inferworks.units import NS_PER_SECOND

_log = logging.getLogger("inferworks")


@contextmanager
def open_journal(
    folder: DataFolder,
    turn: threading.Lock,
    commits: Commits,
    ships_as: str = "",
    path: Path | None = None,
) -> Iterator[Journal]:
    """Open the journal of `folder`, or the one of a worker at `path`, while the block runs.

    `commits` gets the duration of each commit. With `ships_as` its records are entered for shipping, as the
    node of that name. DamagedError when it is damaged, as far as a start can see; LakeError when the first
    one is gone, and the lake beside it is not.
    """
    if path is None:
        path = folder.journal
        check_journal(path, LocalLake(folder.lake))
    check_start(path)
    damaged = damaged_inflight_lines(path)
    journal = Journal(SqliteStore(path, turn, ships_as=ships_as), committed=commits.take)
    journal.start()
    with closing(journal):
        for line in damaged:
            _log.error("%s: a line is not what was written; it is in quarantine", line.key)
            journal.append(line)
        yield journal


async def close_left_open(
    journal: Journal, folder: DataFolder, clock: Clock, traced: Journal | None = None
) -> list[Usage]:
    """Close the calls that an earlier instance left open when it died, and return their usages.

    `journal` is the first one of `folder`, or a worker's, with the steps in `traced`.
    """
    leftover = spools(folder.spool) if traced is None else ()
    found = await recover(journal, clock, leftover, traced=traced)
    if found.usages:
        _log.warning("closed %d calls that an earlier instance left open", len(found.usages))
    return list(found.usages)


async def close_former(
    journal: Journal, folder: DataFolder, clock: Clock, workers: int, ships_as: str
) -> list[Usage]:
    """Close the calls that workers of higher numbers than there are now left open; return their usages.

    Their journals stay: they are read with the others, archived until they are empty, and shipped.
    """
    usages: list[Usage] = []
    present = {folder.worker_journal(number) for number in range(1, workers + 1)}
    for path in folder.journals()[1:]:
        if path not in present:
            with open_journal(folder, threading.Lock(), Commits(), ships_as, path) as former:
                usages += await close_left_open(former, folder, clock, journal)
    return usages


def can_seal(settings: Lake, lake: LakeStore) -> bool:
    """Return True if old rows are to be sealed, and Parquet is installed.

    It is loaded by the thread that seals, when there is something to seal: a start would wait for it for a
    second, and a call that is served meanwhile waits for 50 ms at most. ExtraError when it is not, and a
    lake was set or has rows that somebody will want to read.
    """
    if is_installed("pyarrow") or settings.url or read_manifest(lake).segments:
        check_installed("pyarrow", "parquet", "Parquet")
        return bool(settings.seal_s)
    if settings.seal_s:
        _log.warning(
            "old calls stay in the journal: sealing them needs the package pyarrow: %s "
            "(lake.seal_s = 0 says that this is meant)",
            install("parquet"),
        )
    return False


@asynccontextmanager
async def sealing(
    settings: Lake,
    lake: LakeStore,
    folder: DataFolder,
    clock: Clock,
    turn: threading.Lock,
    supervisor: Supervisor,
) -> AsyncIterator[None]:
    """Seal old rows now and then while the block runs; leaving cuts a sealing short and waits for it.

    `turn` is the lock that the first journal's own writer takes for each write. ExtraError when there is a
    lake and Parquet is not installed.
    """
    seals = can_seal(settings, lake)
    leaving, stopped = asyncio.Event(), threading.Event()

    def act() -> None:
        before_ns = clock.now_ns() - round(settings.seal_after_s * NS_PER_SECOND)
        journals, least_rows = folder.written_journals(), settings.least_rows
        seal_all(
            journals, lake, before_ns, turn=turn, least_rows=least_rows, stopped=stopped.is_set
        )

    async def repeat(work: Work) -> None:
        while not leaving.is_set():
            try:
                await asyncio.to_thread(act)
            except Exception as error:  # noqa: BLE001 the rows stay in the journal; the next turn tries again
                work.failed(error)
            else:
                work.succeeded()
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.seal_s):
                    await leaving.wait()

    task = supervisor.task("sealing", repeat) if seals else None
    try:
        yield
    finally:
        leaving.set()
        stopped.set()
        if task:
            await task
