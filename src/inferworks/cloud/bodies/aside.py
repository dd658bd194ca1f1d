"""Work on large bodies, done beside the event loop.

Problem. All calls share one event loop, and a body may have 32 MB, an answer 64 MB. To read one takes tens
of milliseconds, in which no other call is served. A thread alone does not help: the decoder is one call
into C that holds the interpreter's lock from its first byte to its last.

Decision. Large bodies are worked on in threads, one step after the other, and each step is bounded: the
decoder makes objects of the outer fields alone and passes over the rest (a millisecond for three megabytes
of text), a body that holds more values than any client sends is refused before (`bounds`), and the lock is
free between one step and the next. Rejected: a process of its own for large bodies, which would copy each
of them twice more, and have to be supervised.

A small body is never handed to a thread, for that takes longer than most work on it. So callers check its
size first, and most calls pay nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")

LARGE_BYTES: Final = 256 * 1024
"""Size above which a body is large, for work in C: reading as much takes a third of a millisecond."""
LARGE_TO_PUT_OVER_BYTES: Final = 32 * 1024
"""Size above which a body is large for translations, which go through messages and parts one by one."""
_THREADS: Final = 2
"""Threads for large bodies; more would only wait for the interpreter's lock."""

_pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="large-body")


def aside(
    work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs
) -> asyncio.Future[Made]:
    """Run `work` in a thread; the future has its result, or its error."""
    assert not kwargs, "an event loop hands on no arguments by name"
    return asyncio.get_running_loop().run_in_executor(_pool, work, *args)
