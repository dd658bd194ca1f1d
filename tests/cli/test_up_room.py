"""A start waits for room on its disk, and for nothing else."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from inferworks.cli import up
from inferworks.config import Config
from inferworks.errors import DataFolderError, JournalError
from inferworks.folder import DataFolder
from inferworks.wiring import ConfigSource, Platform

PLATFORM = cast(Platform, object())
SOURCE = ConfigSource(Path("inferworks.toml"), Config)


def full_database() -> Exception:
    """Error that SQLite raises when it finds no room."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def caused(error: Exception, by: Exception) -> Exception:
    """`error`, raised from another."""
    error.__cause__ = by
    return error


FULL: list[Callable[[], Exception]] = [
    lambda: OSError(errno.ENOSPC, "No space left on device"),
    lambda: caused(DataFolderError("x"), OSError(errno.EDQUOT, "Disk quota exceeded")),
    lambda: caused(JournalError("x"), caused(JournalError("y"), full_database())),
]
OTHER: list[Callable[[], Exception]] = [
    lambda: OSError(errno.EACCES, "Permission denied"),
    lambda: caused(JournalError("x"), sqlite3.OperationalError("database is locked")),
    lambda: ValueError("none of the disk's"),
]


def opening(*errors: Exception) -> Callable[..., Any]:
    """A platform that opens once these errors have been raised, each at one try."""
    left = list(errors)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Platform]:
        if left:
            raise left.pop(0)
        yield PLATFORM

    return opened


async def started(stopping: asyncio.Event) -> Platform | None:
    """Result of a start."""
    async with AsyncExitStack() as gateway:
        return await up._opened(gateway, Config(), SOURCE, stopping)


def test_a_start_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start tries again until it succeeds, however the lack of room was found."""
    monkeypatch.setattr(up, "_ROOM_S", 0.0)
    monkeypatch.setattr(up, "open_platform", opening(*(error() for error in FULL)))
    assert asyncio.run(started(asyncio.Event())) is PLATFORM


@pytest.mark.parametrize("error", [error() for error in OTHER], ids=repr)
def test_a_start_waits_for_nothing_else(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """An error that waiting does not mend ends the start."""
    monkeypatch.setattr(up, "open_platform", opening(error))
    with pytest.raises(type(error)):
        asyncio.run(started(asyncio.Event()))


def test_a_start_that_waits_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is stopped while it waits ends at once, and opens nothing."""
    monkeypatch.setattr(up, "_ROOM_S", 3600.0)
    monkeypatch.setattr(up, "open_platform", opening(FULL[0]()))

    async def main() -> Platform | None:
        stopping = asyncio.Event()
        start = asyncio.ensure_future(started(stopping))
        await asyncio.sleep(0)
        stopping.set()
        return await start

    assert asyncio.run(main()) is None


def test_who_holds_a_folder_keeps_its_room(tmp_path: Path) -> None:
    """The record of an instance is equally long each time, so that a full disk has room for it."""
    folder = DataFolder(tmp_path / "data")
    with folder.hold():
        sizes = []
        for url in ("", "http://127.0.0.1:8080/v1", f"http://{'x' * 600}/v1", ""):
            folder.tell(url)
            found = folder.instance()
            assert found is not None
            assert found.url == url
            sizes.append((folder.path / "instance.json").stat().st_size)
    assert sizes[0] == sizes[1] == sizes[3] < sizes[2]
