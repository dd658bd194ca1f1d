"""Log of a gateway's slices: what its calls hold and have spent of them, for a restart to settle.

Problem. What a slice has spent is known to the process that gives it to calls. When that process dies,
the rest of the slice must come back, and not more than the rest: each call that was under way may have
spent all that was held for it.

Decision. One line is put into the file, in the event loop, before a call goes upstream, and one when it
has ended. The file is mapped: its pages are the kernel's, and survive the death of the process, SIGKILL
included, as what is written does; but to put a line there takes a copy and no system call. Of the calls of
the process that died, those with a second line have spent what it says, and the others all that they held.
Nothing is synced: after the death of the *machine* (another boot id) the newest lines may be lost, and the
slices are forfeited instead.

A line is a checksum, a kind and decimal numbers; one without its right checksum is cut off by the end.
Slices have short numbers within a file. A file is made with room for so many lines, as zeros that the disk
has taken: a page for which there is no block would end the process when it is touched. When the room is
used up, the file is written anew with the slices and the calls that are open, and room again; where that
fails, the log takes no line, and no call is admitted.

Its owner holds a lock on it: a file without one was left by a process that died. It is locked and has its
first lines before it has its name, so nobody takes a file that is being made for one that was left.

A copy of the file has no owner, though the process that it was copied from may live and spend on. So a
file says by its device and inode which one it is. A copy is told by these, and counts as one of another
start of the machine: its slices are forfeited, and not settled at what they had spent when it was made.

Rejected. To keep what a call holds in the journal's records: the journal archives calls that ended, and
a slice may be older than that; what is spent would also be a row per call and limit, and it is read once.
A `write` for each line: six times the time of the copy, for the same promise. To say ahead of the calls
how much of a slice they may come to spend, and no line for each: after a crash that much would count as
spent, and the settlement would no longer be what the books charge.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from mmap import mmap
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from inferworks.errors import DataFolderError, LimitsError
from inferworks.ids import CallId

_ROOM_BYTES: Final = 256 * 1024
"""Room for new lines in a file that is made: those of some 1,500 calls."""
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
        """Held by calls; only of a log that is read."""


class SliceLog:
    """Log of one run in the folder `folder`. Used by the event loop alone."""

    def __init__(self, folder: Path, run: str, boot: str, *, room_bytes: int = _ROOM_BYTES) -> None:
        """DataFolderError when the file cannot be made."""
        self._path = folder / f"{run}{_SUFFIX}"
        self._header = f"= {run} {boot}"
        self._room_bytes = room_bytes
        self._open: dict[int, _Open] = {}
        self._held: dict[CallId, bytes] = {}
        """Newest line of each call that holds."""
        self._ended: list[int] = []
        """Amounts that calls have spent since the file was made, each after the number of its slice."""
        self._newest = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._map, self._end = self._made(0)
        except OSError as error:
            raise DataFolderError(f"cannot make {self._path}: {error.strerror}") from error
        self._size = len(self._map)

    def drawn(self, slice_id: str, budget: str, granted: int) -> int:
        """Record a slice before any of it is held, and return its number. LimitsError when that fails."""
        self._newest += 1
        self._put(f"s {self._newest} {slice_id} {budget} {granted}".encode())
        self._open[self._newest] = _Open(slice_id, budget, granted)
        return self._newest

    def held(self, call: CallId, parts: Sequence[int]) -> None:
        """Record all that `call` holds now: `parts` are numbers of slices, each followed by its amount.

        LimitsError when that fails.
        """
        self._held[call] = self._put(_format(len(parts)) % (b"+", call.encode(), *parts))

    def ended(self, call: CallId, parts: Sequence[int]) -> None:
        """Record what `call` has spent in all, as `held` does, and that it holds no more.

        Where the disk does not take it, a restart counts what was held, which is more.
        """
        with suppress(LimitsError):
            self._put(_format(len(parts)) % (b"-", call.encode(), *parts))
        self._ended += parts  # after it, since a file that is written anew has them all
        self._held.pop(call, None)

    def settled(self, number: int) -> None:
        """Record that a slice is settled."""
        self._try(b"x %d" % number)
        self._open.pop(number, None)

    def close(self) -> None:
        """Close the file; delete it when no slice is open."""
        if not self._open:
            self._path.unlink(missing_ok=True)
        self._let_go()

    def _let_go(self) -> None:
        """Let go of the file and of the lock on it, as the kernel does for a process that dies."""
        self._map.close()
        self._size = 0

    def _put(self, text: bytes) -> bytes:
        """Put a line with `text` into the file, and return it; LimitsError when there is no room."""
        line = b"%08x %b\n" % (crc32(text), text)
        begin = self._end
        end = begin + len(line)
        if end > self._size:
            self._write_anew(len(line))
            begin = self._end
            end = begin + len(line)
        self._map[begin:end] = line
        self._end = end
        return line

    def _try(self, text: bytes) -> None:
        try:
            self._put(text)
        except LimitsError:
            return  # the line is one that a restart can do without

    def _write_anew(self, least_bytes: int) -> None:
        """Write what is open into a file with room for `least_bytes` at least, in place of this one."""
        if self._map.closed:
            raise LimitsError(f"cannot write {self._path}: it is closed")
        try:
            fresh, end = self._made(least_bytes)
        except OSError as error:
            raise LimitsError(f"cannot write {self._path}: {error.strerror}") from error
        self._map.close()
        self._map, self._end, self._size = fresh, end, len(fresh)

    def _made(self, least_bytes: int) -> tuple[mmap, int]:
        """Put a file with what is open in place, and return it, mapped and locked, with the lines' end."""
        beside = self._path.with_suffix(_NEW_SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(beside, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            identity = f"@ file {_identity(file)}"
            head = _line(self._header.encode()) + _line(identity.encode())
            lines = head + b"".join(self._lines())
            # twice the lines, so that to write many of them anew is as rare as there are many
            data = lines.ljust(2 * len(lines) + max(self._room_bytes, least_bytes), b"\0")
            if os.write(file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            mapped = mmap(file, len(data))  # with a descriptor of its own, which keeps the lock
            beside.replace(self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)
        return mapped, len(lines)

    def _lines(self) -> Iterator[bytes]:
        for number, spent in zip(self._ended[::2], self._ended[1::2], strict=True):
            if number in self._open:
                self._open[number].ended += spent
        self._ended = []
        for number, one in self._open.items():
            yield _line(f"s {number} {one.id} {one.budget} {one.granted}".encode())
            if one.ended:
                yield _line(b"- before %d:%d" % (number, one.ended))
        yield from self._held.values()


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


@lru_cache(64)
def _format(length: int) -> bytes:
    """Return the format of a line of a call with parts of that length: bytes are the quicker to format."""
    return b"%b %b" + b" %d:%d" * (length // 2)


def _line(text: bytes) -> bytes:
    return b"%08x %b\n" % (crc32(text), text)
