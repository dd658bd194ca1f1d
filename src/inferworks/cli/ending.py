"""Endings of failed commands: one line, and never a traceback.

A full or read-only disk, somebody else's file, a damaged database, a closed terminal: none of them is a
fault of this program, and a page of Python tells a user nothing of it. The seams translate the errors whose
place they know (`errors`); all others end here, as one line that says what happened, where, and what to do.
An unforeseen error is said to be our fault, and the traceback is kept in a file that can be sent to us.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Final, NamedTuple

from inferworks.errors import InferworksError, UserError
from inferworks.sqlite import remedy, with_remedy

MENDABLE: Final = 2
"""The exit status when the user can mend it."""
FAILED: Final = 1
OURS: Final = 70
"""`EX_SOFTWARE` of sysexits.h."""
INTERRUPTED: Final = 130
"""Exit status by which a shell reports SIGINT."""

_LONGEST: Final = 500
"""Characters of a foreign error's text."""

_NO_ROOM: Final = "make room on that disk and try again"
_REMEDIES: Final = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), and try again",
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: "check whose it is and its permissions",
    errno.EPERM: "check whose it is and its permissions",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs: the machine has no file descriptors left",
    errno.ENOMEM: "free memory and try again",
    errno.EAGAIN: "close other programs: the machine has no processes or threads left",
    errno.EIO: "check the disk: it fails",
    errno.ENOENT: "check the name",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a folder",
}
_ENGINES: Final = frozenset({"duckdb", "_duckdb", "ibis", "pyarrow"})
"""Packages whose errors are those of an engine of the books."""


class Ending(NamedTuple):
    """Message and exit status."""

    text: str
    status: int


def end(error: BaseException) -> int:
    """Tell of `error` on standard error; the exit status."""
    ending = ending_of(error)
    if ending is None:
        text, name = _first_line(error), type(error).__name__
        told = f"{name}: {text}" if text else name
        told += "; this is a fault of ours: please report it"
        with (
            suppress(OSError),
            tempfile.NamedTemporaryFile(
                "w",
                prefix="inferworks-fault-",
                suffix=".txt",
                encoding="utf-8",
                errors="replace",
                delete=False,
            ) as file,
        ):
            file.writelines(traceback.format_exception(error))
            file.flush()
            told += f" with {file.name}"
        ending = Ending(told, OURS)
    from inferworks.cli.show import say  # it loads Rich, which `--help` does without

    with suppress(
        OSError, ValueError
    ):  # standard error is closed or full: the status has to say it all
        if ending.text:
            say(*f"inferworks: {ending.text}".split("\n"), err=True)
    return ending.status


def ending_of(error: BaseException) -> Ending | None:
    """Return the ending for `error`; None for an unforeseen one."""
    match error:
        case UserError():
            return Ending(str(error), MENDABLE)
        case InferworksError():
            return Ending(_first_line(error), FAILED)
        case KeyboardInterrupt():
            return Ending("", INTERRUPTED)
        case BrokenPipeError():
            return Ending("", 0)  # the reader has what it wanted, as `head` does
        case sqlite3.Error() if remedy(error) is not None:
            text = f"a database of the data folder cannot be used: {with_remedy(error)}"
            return Ending(text, MENDABLE)
        case MemoryError():
            return Ending("there is not enough memory; free some and try again", MENDABLE)
        case RuntimeError() if "start new thread" in str(error):
            return Ending(
                f"{error}; close other programs, or raise the limit (ulimit -u)", MENDABLE
            )
        case UnicodeError():
            return Ending(_of_text(error), MENDABLE)
        case RecursionError():
            return Ending(
                "what was read is nested too deeply; check the files that were named", MENDABLE
            )
        case OSError() if error.errno is not None:
            place = f"{error.filename}: " if error.filename is not None else ""
            advice = _REMEDIES.get(error.errno)
            text = f"{place}{error.strerror}"
            return Ending(f"{text}; {advice}" if advice else text, MENDABLE)
    if type(error).__module__.partition(".")[0] in _ENGINES:
        text = f"the books' engine failed: {_first_line(error)}"
        return Ending(f"{text}; try another with --engine, or with more memory or room", FAILED)
    return None


def _of_text(error: UnicodeError) -> str:
    """Return the message for text that is invalid in its encoding."""
    if isinstance(error, UnicodeEncodeError):
        part = error.object[error.start : error.end]
        return f"{part!a} cannot be written in {error.encoding}; set PYTHONIOENCODING=utf-8"
    if isinstance(error, UnicodeDecodeError):
        part_read = error.object[error.start : error.end]
        return f"{part_read!r} is no {error.encoding}; check the files and settings that were named"
    return _first_line(error)


def let_go_of_output() -> None:
    """Have nothing more be written to standard output, which cannot take it."""
    if sys.stdout is None:
        return
    with suppress(OSError, ValueError):  # it has no descriptor
        output = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, output)
        finally:
            os.close(nowhere)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:_LONGEST]
