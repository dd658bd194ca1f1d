"""Check for stalls of an event loop: one callback that works while all others wait.

Problem. One call that keeps the loop for 50 ms is 50 ms for every other call, and no test of that call
shows it. Wall-clock time shows nothing either where tests share a machine.

Decision. A beat is scheduled on the loop every few milliseconds, and the CPU time of the loop's thread
between two beats is no more than that unless something held the loop. Other programs do not count, nor
does waiting, nor garbage collection, which in a test goes through all the modules of all the other tests.
Once a beat is overdue, a thread samples the stack of the loop's thread, so that the stall can be named, and
so that foreign work in the same thread (a test's own client) can be left out.

A processor is slow at times: it is another one, or its other half is busy. So a stall is measured in units
of known work timed there and then, beside its time on the machine that the limit is meant for. A virtual
machine may be stopped while others run on its processor, and on some that counts as time of the thread that
was running. The system reports this stolen time, which is no stall.

Rejected: to wrap the loop's callbacks (uvloop makes them in C); asyncio's debug mode (wall-clock time).
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

MOST_S: Final = 0.05
"""Seconds of the processor that a loop may be kept."""
_WORK_ROUNDS: Final = 8000
_KERNEL_ROUNDS: Final = 400
_PAGE: Final = bytes(4096)
_WORK_S: Final = 0.001
"""Seconds for each half of the known work on a core of a common server of 2024."""
_BEAT_S: Final = 0.005
_LOOK_S: Final = 0.01
_SHOWN: Final = 12
_SYSTEM: Final = Path("/proc/stat")


class Stall(NamedTuple):
    """A loop that stood."""

    seconds: float
    """CPU time in seconds."""
    calls: tuple[traceback.FrameSummary, ...]
    """Stack of the callback, outermost first; empty where it was not sampled."""

    def is_in(self, folders: Collection[str]) -> bool:
        """Return whether code in one of `folders` was running, or the stack is unknown."""
        return not self.calls or any(
            call.filename.startswith(tuple(folders)) for call in self.calls
        )

    def __str__(self) -> str:
        where = "".join(traceback.format_list(self.calls[-_SHOWN:]))
        return f"the event loop stood for {self.seconds * 1000:.0f} ms of the processor at\n{where}"


def slowness() -> float:
    """Return the time of known work here and now over its time on the reference machine; at least 1.0."""
    began_s = time.thread_time()
    for number in range(_WORK_ROUNDS):
        str(number)
    computed_s = time.thread_time()
    read, write = os.pipe()
    try:
        for _ in range(_KERNEL_ROUNDS):
            os.write(write, _PAGE)
            os.read(read, len(_PAGE))
    finally:
        os.close(read)
        os.close(write)
    ended_s = time.thread_time()
    slower = max(computed_s - began_s, ended_s - computed_s)  # the system has a speed of its own
    return max(1.0, slower / _WORK_S)


def stolen_s() -> float:
    """Seconds of processors that this machine wanted while others had them, since it began.

    Counted in hundredths of a second; 0.0 where the system does not tell.
    """
    try:
        _, *ticks = _SYSTEM.read_bytes().partition(b"\n")[0].split()
        return int(ticks[7]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


@contextmanager
def watched(most_s: float = MOST_S) -> Iterator[list[Stall]]:
    """Watch every loop that runs while the block does; the list gets the stalls."""
    found: list[Stall] = []
    run = asyncio.Runner.run

    def watched_run(runner: asyncio.Runner, *args: Any, **kwargs: Any) -> Any:
        loop = runner.get_loop()
        beat = _Beat(most_s, found)
        over = threading.Event()
        looking = threading.Thread(target=beat.look, args=(over,), name="stalls", daemon=True)
        collected = beat.collected
        gc.callbacks.append(collected)
        looking.start()
        beat.next(loop)
        try:
            return run(runner, *args, **kwargs)
        finally:
            beat.stop()
            over.set()
            looking.join()
            gc.callbacks.remove(collected)

    with mock.patch.object(asyncio.Runner, "run", watched_run):
        yield found


class _Beat:
    """The beats of a loop that runs in this thread."""

    def __init__(self, most_s: float, found: list[Stall]) -> None:
        self._most_s = most_s
        self._found = found
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._last_s = time.thread_time()
        self._stolen_s = stolen_s()
        self._collecting_since_s = 0.0
        self._calls: tuple[traceback.FrameSummary, ...] = ()
        self._handle: asyncio.TimerHandle | None = None

    def next(self, loop: asyncio.AbstractEventLoop) -> None:
        """One beat, and the next in a few milliseconds."""
        self._handle = loop.call_later(_BEAT_S, self.next, loop)
        self._took()

    def stop(self) -> None:
        """The last beat."""
        assert self._handle is not None, "it began with one"
        self._handle.cancel()
        self._took()

    def collected(self, phase: str, _info: dict[str, Any]) -> None:
        """Subtract the time of garbage collection, which is not the loop's."""
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_since_s = time.thread_time()
        else:
            self._last_s += time.thread_time() - self._collecting_since_s

    def look(self, over: threading.Event) -> None:
        """Sample the loop's stack once it has been held for long, until `over`."""
        while not over.wait(_LOOK_S):
            kept_s = time.clock_gettime(self._clock) - self._last_s
            if kept_s > self._most_s / 2 and not self._calls:
                frame = sys._current_frames().get(self._thread)  # noqa: SLF001 the one way to see it
                frames = reversed(list(traceback.walk_stack(frame)))
                self._calls = tuple(traceback.StackSummary.extract(frames, lookup_lines=False))

    def _took(self) -> None:
        now_s, stolen_before_s = time.thread_time(), self._stolen_s
        self._stolen_s = stolen_s()
        kept_s = now_s - self._last_s - (self._stolen_s - stolen_before_s)
        if kept_s > self._most_s and kept_s > self._most_s * slowness():
            self._found.append(Stall(kept_s, self._calls))
        self._last_s = time.thread_time()
        self._calls = ()
