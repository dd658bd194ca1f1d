"""Standard output and standard error of long-running programs, written without waiting.

Problem. A standard stream may be a pipe that nobody reads, a terminal that was stopped with Ctrl-S, or a
disk that hangs. When it is full, the next line blocks its writer. In a gateway that is the event
loop: one warning, and no call, no probe and no signal is heard any more.

Decision. Such a program has its standard streams replaced by ones with a bounded queue, which a thread
empties: for lines of the log, printed text, and Python's own messages at exit. Text that finds no room is
dropped and counted, and the count is logged once there is room again. The end of the program waits for the
queue, for two seconds at most; the thread is a daemon, so that it holds up no end.

Rejected. A logging handler that has a queue (prints, warnings and the last words go past it); a descriptor
that does not block (it is shared with our parent process, and would no longer block for it either); the
access log's thread for all (its lines are counted apart, and a flood of one would drop those of the other).
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import select
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, TextIO

_MOST_QUEUED: Final = 1024
"""Texts that may wait; those of the log have 4,000 characters and now and then a traceback."""
_END_S: Final = 2.0
"""Seconds that the end of the program waits for queued output."""
_PIPE_BYTES: Final = 4096
"""Bytes that a pipe takes whole (PIPE_BUF), so that other writers' lines come between lines alone."""
_HANGS_S: Final = 10.0

_log = logging.getLogger("inferworks.outlet")


class Outlet(io.TextIOBase):
    """A text stream to `descriptor` whose writers wait for nothing."""

    def __init__(self, descriptor: int, name: str, encoding: str, errors: str) -> None:
        self.dropped = 0
        """Texts that found no place, or could not be written."""
        self.name = name
        self._descriptor = descriptor
        self._encoding, self._errors = encoding, errors
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        self._told = 0
        """Number of dropped lines that the log has reported."""
        self._since_s: float | None = None
        """Start of the write under way, in monotonic seconds; None when there is none."""
        threading.Thread(target=self._empty, name=f"outlet-{name}", daemon=True).start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of text to bytes."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """Handling of characters that the encoding does not have."""
        return self._errors

    def write(self, text: str) -> int:
        """Have `text` be written, or count it as dropped."""
        if not isinstance(text, str):
            raise TypeError(f"text is written here, not {type(text).__name__}")
        data = text.encode(self._encoding, self._errors)
        if self._queue.qsize() >= _MOST_QUEUED:
            self.dropped += 1
        elif data:
            self._queue.put(data)
        return len(text)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """The descriptor that it leads to."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def drained(self, within_s: float = _END_S) -> bool:
        """Wait until all text so far is out; return False when that takes too long."""
        is_out = threading.Event()
        self._queue.put(is_out)
        return is_out.wait(within_s)

    def check(self) -> None:
        """Raise TimeoutError when a write does not get on: its pipe is not read, or its disk hangs."""
        since_s = self._since_s
        hangs_s = 0.0 if since_s is None else time.monotonic() - since_s
        if hangs_s > _HANGS_S:
            raise TimeoutError(f"nobody has taken what is written to it for {hangs_s:.0f} s")

    def _empty(self) -> None:
        """Write the queue, for as long as the program lives."""
        while True:
            given = self._queue.get()
            if isinstance(given, threading.Event):
                given.set()
                continue
            self._since_s = time.monotonic()
            try:
                _write_all(self._descriptor, given)
            except OSError:
                self.dropped += 1
            else:
                n = self.dropped - self._told
                if n and self._queue.qsize() < _MOST_QUEUED // 2:
                    self._told += n
                    _log.warning("%d lines found no place in %s and were dropped", n, self.name)
            finally:
                self._since_s = None


def replace_standard_error() -> None:
    """Make all writes to standard error from here on wait for nothing.

    A stream that was put in its place before, in this process, stays.
    """
    sys.stderr = _replaced(sys.stderr, "standard error")


def replace_standard_output() -> None:
    """Make all prints from here on wait for nothing, as `replace_standard_error` does."""
    sys.stdout = _replaced(sys.stdout, "standard output")


def check_standard_streams() -> None:
    """TimeoutError when one that was replaced does not get on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Outlet):
            try:
                stream.check()
            except TimeoutError as error:
                raise TimeoutError(f"{stream.name}: {error}") from None


def drain_standard_streams() -> None:
    """Wait until all text is out, but not for long."""
    until_s = time.monotonic() + _END_S
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Outlet):
            stream.drained(max(0.0, until_s - time.monotonic()))


def _replaced(stream: TextIO, name: str) -> TextIO:
    if stream is None or stream not in {sys.__stdout__, sys.__stderr__}:
        return stream
    with suppress(OSError, ValueError):  # full or closed: so it will be found again
        stream.flush()
    if not any(isinstance(each, Outlet) for each in (sys.stdout, sys.stderr)):
        atexit.register(drain_standard_streams)
    return Outlet(stream.fileno(), name, stream.encoding, stream.errors or "strict")  # type: ignore[return-value]


def _write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, however long that takes; OSError when it cannot be."""
    for begin in range(0, len(data), _PIPE_BYTES):
        piece = data[begin : begin + _PIPE_BYTES]
        while piece:
            try:
                piece = piece[os.write(descriptor, piece) :]
            except BlockingIOError:  # another process that shares it set it so
                ready = select.poll()
                ready.register(descriptor, select.POLLOUT)
                ready.poll()
