"""Last resort of a stop: a process that was told to end, and hangs, is ended all the same.

Python waits at its end for the threads of executors, and `asyncio` before that for its own: one that hangs
in a read of a dead disk would keep a stopped gateway, which serves nobody, alive for ever. Nothing is lost
by ending it hard: all acknowledged records are on the disk, as after a SIGKILL.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Final

from inferworks.outlet import drain_standard_streams

GRACE_S: Final = 10.0
"""Seconds that a stop may take beyond the time of running calls: replicas are killed after 5 s."""
_STATUS: Final = 1
_LIBRARY: Final = ("threading", "queue", "concurrent.", "asyncio.", "selectors", "socket")
"""Modules in which any thread waits: they say nothing about its work."""

_log = logging.getLogger("inferworks")


def _running() -> list[str]:
    """The other threads, each with the function that it is in."""
    frames = sys._current_frames()  # noqa: SLF001 the documented way to see other threads
    said = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        while frame is not None and frame.f_globals.get("__name__", "").startswith(_LIBRARY):
            frame = frame.f_back
        if thread is not threading.current_thread():
            said.append(f"{thread.name} in {frame.f_code.co_qualname}" if frame else thread.name)
    return sorted(said)


class LastResort:
    """Ends the process `within_s` after it was `told`, unless it is `over` before."""

    def __init__(self, within_s: float, exit_: Callable[[int], object] = os._exit) -> None:
        self._within_s = within_s
        self._exit = exit_
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def told(self) -> None:
        """The process was told to end; being told again changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, name="last-resort", daemon=True)
            self._thread.start()

    def over(self) -> None:
        """Note that the stop came to its end by itself."""
        self._over.set()

    def _wait(self) -> None:
        if self._over.wait(self._within_s):
            return
        _log.error(
            "not stopped %g s after being told to; ended hard, with these threads running: %s",
            self._within_s,
            ", ".join(_running()),
        )
        drain_standard_streams()
        self._exit(_STATUS)
