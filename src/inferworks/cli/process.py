"""Settings of a process that serves calls, and the question whether its disk is full."""

from __future__ import annotations

import errno
import gc
import sqlite3
import sys

_SWITCH_INTERVAL_S = 0.001
"""Seconds for which the event loop may keep the journal's writer waiting for the interpreter. At Python's
5 ms the slowest hundredth of the commits took 96 ms under a saturated loop; at 1 ms, 5 ms.
"""

_COLLECT_AFTER = (20_000, 20, 20)
"""Thresholds of Python's garbage collector. A call leaves no cycles, and Python's own (700, 10, 10) looked
for them every few calls: a tenth of the CPU time of a small one.
"""


def tune() -> None:
    """Set what is to hold from the start of a process that serves calls."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def settle() -> None:
    """Set what is to hold once it is ready: all that is there then stays."""
    gc.freeze()  # a twelfth of a small call went into looking through it again
    gc.set_threshold(*_COLLECT_AFTER)


def is_full(error: BaseException | None) -> bool:
    """Return whether `error`, or its cause, is that a disk or a quota is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # errors may be each other's causes
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
