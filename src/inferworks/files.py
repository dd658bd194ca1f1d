"""Bounded reading of configured files, regular ones only, so that none can block the program.

A pipe without a writer would be waited for without an end, a device read until memory is gone. Both are
refused as they are opened. A regular file on a network that hangs cannot be told beforehand: while calls
run, files are read beside the event loop (`supervise.beside`).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

SECRET_BYTES: Final = 64 * 1024
"""More than any key or key file has."""
TEXT_BYTES: Final = 16 * 1024 * 1024
"""More than any configuration, or bundle of certificates, has."""


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Read the regular file at `path`; OSError when it is none, or has more than `most_bytes`."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(path, flags)
    try:  # `open` of a directory's descriptor would neither close it nor name the path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        data = bytearray()
        while piece := os.read(descriptor, most_bytes + 1 - len(data)):
            data += piece
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
    return bytes(data)
