"""Check for leaks: files, sockets and tasks that are open after a test and were not before.

File descriptors are read from `/proc`, so this is for Linux.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

_WAIT_S = 10.0


@contextmanager
def no_file_is_left() -> Iterator[None]:
    """AssertionError when after the block, which runs an event loop of its own, more files are open."""
    uvloop.run(asyncio.sleep(0))  # the first loop of a process opens a pipe for good
    before = Counter(open_files())
    yield
    left = Counter(open_files()) - before  # what others have closed meanwhile is not its business
    assert not left, f"left open: {sorted(left.elements())}"


def open_files() -> list[str]:
    """Targets of the file descriptors of this process; sockets and pipes by their kind alone."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sorted(str(link.readlink()).partition("[")[0] for link in links)


def check_no_task_is_left() -> None:
    """AssertionError when another task than this one runs in this loop."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks that still run: {left}"


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so that sets no event. TimeoutError when it does not come to be."""
    async with asyncio.timeout(_WAIT_S):
        while not is_so():
            await asyncio.sleep(0.002)
