"""Log of a gateway's slices: what its calls hold and have spent of them, for a restart to settle.

Problem. What a slice has spent is known to the process that gives it to calls. When that process dies,
the rest of the slice must come back, and not more than the rest: each call that was under way may have
spent all that was held for it.

Decision. One line is written, in the event loop and with one `write`, before a call goes upstream, and
one when it has ended. Data that the kernel has taken survives the death of the process, SIGKILL included.
Of the calls of the process that died, those with a second line have spent what it says, and the others
all that they held. Nothing is synced: after the death of the *machine* (another boot id) the newest lines
may be lost, and the slices are forfeited instead.

A line is a checksum, a kind and decimal numbers; one without its right checksum is cut off by the end. A
line of which the disk took a part is cut off before the next is written. Slices have short numbers within
a file. A file that has grown is written anew with the slices that are open.

Its owner holds a lock on it: a file without one was left by a process that died. It is locked and has its
first lines before it has its name, so nobody takes a file that is being made for one that was left.

A copy of the file has no owner, though the process that it was copied from may live and spend on. So a
file says by its device and inode which one it is. A copy is told by these, and counts as one of another
start of the machine: its slices are forfeited, and not settled at what they had spent when it was made.

Rejected. To keep what a call holds in the journal's records: the journal archives calls that ended, and
a slice may be older than that; what is spent would also be a row per call and limit, and it is read once.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from inferworks.errors import DataFolderError, LimitsError
from inferworks.ids import CallId

_LARGE_BYTES: Final = 1 << 20
"""Size from which a file is written anew, if it has also doubled since."""
_SUFFIX: Final = ".slices"
_NEW_SUFFIX: Final = ".new"
"""Suffix of a file that is being written."""


class LeftSlice(NamedTuple):
    """A slice as its dead owner left it."""

    id: str
    budget: str
    granted: int
    ended: int
    """Spent by calls that ended."""
    lost: Mapping[CallId, int]
    """Held by calls that had not ended."""

    @property
    def spent(self) -> int:
        """Return the most that was spent of it."""
        return self.ended + sum(self.lost.values())


class LeftLog(NamedTuple):
    """Log of a run that is over. Its file stays until `remove` is called."""

    path: Path
    run: str
    boot: str
    slices: Sequence[LeftSlice]

    def remove(self) -> None:
        """Delete the file: its slices are settled."""
        self.path.unlink(missing_ok=True)


class _Open:
    """A slice in the log, with what is known of it."""

    __slots__ = ("budget", "ended", "granted", "held", "id")

    def __init__(self, slice_id: str, budget: str, granted: int) -> None:
        self.id = slice_id
        self.budget = budget
        self.granted = granted
        self.ended = 0
        self.held: dict[CallId, int] = {}


class SliceLog:
    """Log of one run in the folder `folder`. Used by the event loop alone."""

    def __init__(self, folder: Path, run: str, boot: str) -> None:
        """DataFolderError when the file cannot be made."""
        self._path = folder / f"{run}{_SUFFIX}"
        self._header = f"= {run} {boot}"
        self._open: dict[int, _Open] = {}
        self._newest = 0
        self._is_torn = False
        """True while part of a line may stand at the end."""
        self._large = _LARGE_BYTES
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file, self._size = self._made()
        except OSError as error:
            raise DataFolderError(f"cannot make {self._path}: {error.strerror}") from error

    def drawn(self, slice_id: str, budget: str, granted: int) -> int:
        """Record a slice before any of it is held, and return its number. LimitsError when that fails."""
        self._newest += 1
        self._write(f"s {self._newest} {slice_id} {budget} {granted}")
        self._open[self._newest] = _Open(slice_id, budget, granted)
        return self._newest

    def held(self, call: CallId, parts: Sequence[tuple[int, int]]) -> None:
        """Record all that `call` holds now, by slice number. LimitsError when that fails."""
        self._write(f"+ {call} {' '.join([f'{number}:{amount}' for number, amount in parts])}")
        for number, amount in parts:
            self._open[number].held[call] = amount

    def ended(self, call: CallId, parts: Sequence[tuple[int, int]]) -> None:
        """Record what `call` has spent in all, by slice number, and that it holds no more.

        Where the disk does not take it, a restart counts what was held, which is more.
        """
        self._try(f"- {call} {' '.join([f'{number}:{amount}' for number, amount in parts])}")
        for number, amount in parts:
            one = self._open[number]
            one.held.pop(call, None)
            one.ended += amount

    def settled(self, number: int) -> None:
        """Record that a slice is settled."""
        self._try(f"x {number}")
        self._open.pop(number, None)
        if self._size > self._large:
            self._rewrite()

    def close(self) -> None:
        """Close the file; delete it when no slice is open."""
        if not self._open:
            self._path.unlink(missing_ok=True)
        file, self._file = self._file, -1  # a number that another file may have soon
        os.close(file)

    def _write(self, text: str) -> None:
        line = _line(text)
        try:
            if self._is_torn:
                os.ftruncate(self._file, self._size)
            self._is_torn = True
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise LimitsError(f"cannot write {self._path}: {error.strerror}") from error
        self._is_torn = False
        self._size += len(line)

    def _try(self, text: str) -> None:
        try:
            self._write(text)
        except LimitsError:
            return  # the line is one that a restart can do without

    def _rewrite(self) -> None:
        """Write the open slices into a new file in place of this one; where that fails, it is kept."""
        try:
            fresh, size = self._made()
        except OSError:
            self._large = 2 * self._size
            return
        os.close(self._file)
        self._file, self._size, self._is_torn = fresh, size, False
        self._large = max(_LARGE_BYTES, 2 * size)

    def _made(self) -> tuple[int, int]:
        """Put a file with the open slices in place, and return it, locked, with its size."""
        beside = self._path.with_suffix(_NEW_SUFFIX)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(beside, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            texts = (self._header, f"@ file {_identity(file)}", *self._texts())
            lines = b"".join(map(_line, texts))
            if os.write(file, lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            beside.replace(self._path)
        except OSError:
            os.close(file)
            raise
        return file, len(lines)

    def _texts(self) -> Iterator[str]:
        for number, one in self._open.items():
            yield f"s {number} {one.id} {one.budget} {one.granted}"
            if one.ended:
                yield f"- before {number}:{one.ended}"
            for call, amount in one.held.items():
                yield f"+ {call} {number}:{amount}"


def left_logs(folder: Path) -> list[LeftLog]:
    """Return the logs in `folder` whose owners are dead; DataFolderError when one cannot be read."""
    found = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            data = _unowned(path)
        except OSError as error:
            raise DataFolderError(f"cannot read {path}: {error.strerror}") from error
        if data is not None:
            found.append(_read(path, *data))
    return found


def _identity(file: int) -> str:
    """Return what tells an open file from all others of this machine, copies of it included."""
    found = os.fstat(file)
    return f"{found.st_dev}:{found.st_ino}"


def _unowned(path: Path) -> tuple[bytes, str] | None:
    """Return content and identity of a file that its owner has left; None while it lives."""
    try:
        reader = path.open("rb")
    except FileNotFoundError:
        return None
    with reader:
        try:
            fcntl.flock(reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        # A living owner may have written it anew between the two, and let go of this one.
        if not path.exists() or not os.path.samestat(os.fstat(reader.fileno()), path.stat()):
            return None
        return reader.read(), _identity(reader.fileno())


def _read(path: Path, data: bytes, identity: str) -> LeftLog:
    """Return the log in `data`. The first line that is damaged is its end: lines are only ever appended."""
    run, boot = path.stem, ""  # where even the first line is lost
    slices: dict[str, _Open] = {}
    for text in _texts_in(data):
        kind, *words = text.split(" ")
        if kind == "=":
            run, boot = words
        elif kind == "@":  # where it is missing, a former version wrote the file
            boot = boot if words[-1] == identity else ""
        elif kind == "s":
            number, slice_id, budget, granted = words
            slices[number] = _Open(slice_id, budget, int(granted))
        elif kind == "x":
            slices.pop(words[0], None)
        else:
            call = CallId(words[0])
            for number, amount in (part.split(":") for part in words[1:]):
                one = slices.get(number)
                if one is None:
                    continue
                one.held.pop(call, None)
                if kind == "+":
                    one.held[call] = int(amount)
                else:
                    one.ended += int(amount)
    left = [
        LeftSlice(one.id, one.budget, one.granted, one.ended, one.held) for one in slices.values()
    ]
    return LeftLog(path, run, boot, left)


def _texts_in(data: bytes) -> Iterable[str]:
    for line in data.split(b"\n"):
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % crc32(text):
            return
        yield text.decode()


def _line(text: str) -> bytes:
    data = text.encode()
    return b"%08x %s\n" % (crc32(data), data)
