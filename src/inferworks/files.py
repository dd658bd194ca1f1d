"""Bounded reading of the user's files, regular ones only, so that none can block the program.

A pipe without a writer would be waited for without an end, a device read until memory is gone. Both are
refused as they are opened. A regular file on a network that hangs cannot be told beforehand: while calls
run, files are read beside the event loop (`supervise.beside`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from inferworks.errors import UserError

SECRET_BYTES: Final = 64 * 1024
"""More than any key or key file has."""
TEXT_BYTES: Final = 16 * 1024 * 1024
"""More than any configuration, or bundle of certificates, has."""


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Read the regular file at `path`; OSError when it is none, or has more than `most_bytes`."""
    with regular_file(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes:,} bytes", str(path))
    return data


def text_of(
    path: Path, what: str, refusal: type[UserError] = UserError, most_bytes: int = TEXT_BYTES
) -> str:
    """Return the UTF-8 text of the file at `path`, without its mark; a `refusal` names it as `what`."""
    try:
        return read_bytes(path, most_bytes).decode("utf-8-sig")
    except OSError as error:
        raise refusal(f"cannot read the {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise refusal(f"the {what} {path} is not UTF-8 text, at byte {error.start}") from error


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open the regular file at `path` for reading; OSError when it is none."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(path, flags)
    try:  # `open` of a directory's descriptor would neither close it nor name the path
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            text = "it is not a regular file; save what it has in one"
            raise OSError(errno.EINVAL, text, str(path))
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)
