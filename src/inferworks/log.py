"""The log of a running platform: new lines are written at once, repeats once a minute with a count.

Problem. What goes wrong for one call often goes wrong for all: a full disk, a provider that is away. A line
for each of a thousand calls a second, with a traceback each, fills the disk it complains about, and hides
the one line that says something else.

Decision. Lines of a *kind* come from the same place in the program: the same logger, level and words before
anything is put into them, and the same error. In a minute the first few of a kind that differ are written,
so that two providers which fail are both seen; the others are counted, and the last of them is written at
the end of that minute with their number. Only the first of a kind has its traceback, until a minute has
passed without one. Nothing is dropped without a count, and the counts that are left are written at the end.

Lines of one logger keep their order: before one of them is written, what the logger has repeated so far is
told. So the count of failures comes before the line that says that they are over.

Logging waits for nothing: `inferworks.outlet` writes the lines, or drops and counts them.

Rejected. Sampling (the one line that matters is a rare one); a limit for all lines together (a flood of one
kind would silence the others).
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NamedTuple, TextIO, TypeAlias

from inferworks.outlet import replace_standard_error
from inferworks.visible import visible

_MINUTE_S: Final = 60.0
_DIFFERENT: Final = 5
"""Lines of a kind written in a minute, if they differ."""
_MOST_KINDS: Final = 1000
_LONGEST: Final = 4000
"""Characters of a line's own text; a provider's answer may be in it."""


_log = logging.getLogger("inferworks")

_Trace: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def keep_log() -> LogHandler:
    """Log warnings and errors from here on, uncaught ones of threads and finalizers too.

    Any text to standard error then waits for nothing (`inferworks.outlet`).
    """
    replace_standard_error()
    for notes in list(
        _log.handlers
    ):  # of a command, whose warnings are lines of the log from here on
        _log.removeHandler(notes)
    handler = LogHandler()
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    atexit.register(handler.close)  # before what is queued is waited for
    threading.excepthook = _escaped_a_thread
    sys.unraisablehook = _unraisable
    return handler


def _escaped_a_thread(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value
    _log.error("an exception ended a thread: %r", error, exc_info=error)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    _log.error("%s: %r", args.err_msg or "an exception could not be raised", args.exc_value)


class _Kind(NamedTuple):
    """Origin of a line, by which repeats are recognised."""

    logger: str
    level: int
    words: object
    error: type[BaseException] | None


class _Minute:
    """Lines of a kind since `began_s`, written and unwritten."""

    __slots__ = ("began_s", "last", "texts", "unwritten")

    def __init__(self, began_s: float, text: str) -> None:
        self.began_s = began_s
        self.texts = {text}
        self.unwritten = 0
        self.last = ""


class VisibleFormatter(logging.Formatter):
    """Writes a record as one visible line; the lines of a traceback after it stay lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The record's own line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


class LogHandler(logging.StreamHandler[TextIO]):
    """Handler that writes the log to standard error, or to `stream`."""

    def __init__(
        self, stream: TextIO | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self.setFormatter(VisibleFormatter())
        self._now_s = now_s
        self._minutes: dict[_Kind, _Minute] = {}
        """Minutes in the order in which they began."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`, or count it."""
        now_s = self._now_s()
        self._tell_overdue(now_s)
        error = record.exc_info[0] if record.exc_info else None
        kind = _Kind(record.name, record.levelno, record.msg, error)
        text = record.getMessage()[:_LONGEST]
        minute = self._minutes.get(kind)
        if minute is None:
            if len(self._minutes) >= _MOST_KINDS:
                first = next(iter(self._minutes))
                self._tell(first, self._minutes.pop(first))
            self._tell_repeated(kind)
            self._minutes[kind] = _Minute(now_s, text)
            self._write(kind, text, record.exc_info)
        elif len(minute.texts) < _DIFFERENT and text not in minute.texts:
            minute.texts.add(text)
            self._tell_repeated(kind)
            self._write(kind, text)
        else:
            minute.unwritten += 1
            minute.last = text

    def tell(self) -> None:
        """Write the counts of minutes that are over; to be called now and then."""
        with self._alone():
            self._tell_overdue(self._now_s())

    def close(self) -> None:
        """Write all counts that are left."""
        with self._alone():
            for kind, minute in self._minutes.items():
                self._tell(kind, minute)
            self._minutes.clear()
        super().close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out, as `logging` does for `emit`."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _tell_repeated(self, next_kind: _Kind) -> None:
        """Write the counts of other kinds of the same logger, before a line of `next_kind` is written."""
        for kind, minute in self._minutes.items():
            if kind.logger == next_kind.logger and kind != next_kind:
                self._tell(kind, minute)
                minute.unwritten = 0

    def _tell_overdue(self, now_s: float) -> None:
        """Write the counts of minutes that are over, and begin the next where there were any."""
        for kind, minute in list(self._minutes.items()):
            if now_s - minute.began_s < _MINUTE_S:
                return
            del self._minutes[kind]
            if minute.unwritten:
                self._minutes[kind] = _Minute(now_s, minute.last)
                self._tell(kind, minute)

    def _tell(self, kind: _Kind, minute: _Minute) -> None:
        """Write how many lines of a minute were not written, if any were."""
        if minute.unwritten:
            times = "once" if minute.unwritten == 1 else f"{minute.unwritten:,} times"
            self._write(kind, f"{minute.last} (repeated {times} in the last minute)")

    def _write(self, kind: _Kind, text: str, trace: _Trace | None = None) -> None:
        super().emit(logging.LogRecord(kind.logger, kind.level, "", 0, text, None, trace))
