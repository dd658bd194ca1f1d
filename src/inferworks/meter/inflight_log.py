"""Append-only log of in-flight calls and of how far each has come.

Problem. The opening of a call must be on record before its upstream is asked, so that no crash hides
work that was paid for. As a committed row it costs every call a wait for the disk before it may even
begin, and twice the commits. Yet it is read only if the process dies before the call ends, and is
worthless afterwards.

Decision. `append` writes one line with one `write`, in the event loop, and waits for nothing. Data that
the kernel has taken survives the death of the process, SIGKILL included; only the death of the machine
can lose it, so the journal's writer syncs new lines to disk once a second (`settle`). A power failure
therefore forgets at most the last second of calls that were opened and not answered: an answer is handed
out only after its Usage was committed, and the Usage contains everything in the line.

The progress of a long stream (a Checkpoint each second) is kept in the same way, for the same purpose.
As rows of the database, 100 streams were 100 commits a second, and the journal's writer took a seventh
of the CPU time of each chunk.

A line is the checksum of a record, its kind, the record as JSON, and a newline. A line without a right
checksum (cut off by the end) is no record. A line that a full disk takes in part is taken back, so that
none comes after half a line, and its call is refused. After a failed fsync the content of the disk is
unknown: the file is then replaced by one written anew, before any other write (`resume`).

A file that has grown is replaced: the next one begins with what is known of the calls that are still open,
so it holds all that is needed, and the old one is deleted. While no call is open, the file is emptied. So
there is one file for each process that opens calls, of a few MB. Its owner holds a lock on it; an unlocked
file was left by a process that died, and is deleted when each of its calls has its Usage.

While a call stands in such a file its Usage is not archived (`archive.journal`): recovery must find it in
the journal, or would take the call for one that never ended.

Rejected. A row in the database (the former solution: a commit of its own); an fsync for each group of
lines (0.1 to 10 ms before any upstream is asked, for calls that have cost nothing yet); a shared memory
map (the same guarantee, and a file format of our own making).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from inferworks.errors import RecordError
from inferworks.folder import sync_names
from inferworks.ids import CallId
from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Checkpoint, Opened

_LARGE_BYTES: Final = 1 << 20
"""Size, in bytes, from which a file is replaced, if it is also four times that of its open calls."""
_BITS: Final = 63
_DIGITS: Final = 8
"""Digits of a checksum."""

_write_at_once: Final = ctypes.PyDLL(None).write
"""The kernel's `write`, without giving up the interpreter's lock as `os.write` does: the journal's writer
would take it, and the event loop wait to have it back for longer than the copy into the page cache takes.
It halved the switches between the two threads. Below zero: it failed, and `os.write` will say why."""
_write_at_once.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write_at_once.restype = ctypes.c_ssize_t

AreEnded = Callable[[Sequence[CallId]], bool]
"""Test for each of these calls whether it has its Usage."""

_PROBE: Final = b" " * 4096 + b"\n"
"""Bytes that the disk must take before it is trusted with lines; no record, if we die before the cut."""

_OPENED: Final = b"+"
_REACHED: Final = b"~"
"""The kinds of lines."""

_encode = msgspec.json.Encoder().encode
_decode_opened = msgspec.json.Decoder(Opened).decode
_decode_checkpoint = msgspec.json.Decoder(Checkpoint).decode


class OpenCalls(NamedTuple):
    """Calls found in in-flight logs; most of them have ended."""

    opened: dict[CallId, Opened]
    checkpoints: dict[CallId, Checkpoint]
    """The newest of each call."""


class InflightLog:
    """The opening files beside the journal at `path`, of which this process may write one.

    `append` and `reached` are for the event loop, all else for the journal's writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: _File | None = None
        """Open file, held from the start: then no call is refused because descriptors have run out."""
        self._open: dict[CallId, bytes] = {}
        """The line of each call that has not ended."""
        self._reached: dict[CallId, bytes] = {}
        """Lines of the newest checkpoints, by call."""
        self._is_new = False
        """True if lines were written that the disk may not have."""
        self._is_doubtful = False
        """True if the disk may have lost what it had confirmed."""
        self._left: list[Path] = []
        """Files of other processes, until they are seen to be alive or their files are gone."""

    def open(self) -> None:
        """Find the files that other processes left, and make one of our own."""
        self._left = list(opening_files(self._path))
        self._file = _File.make(self._path)

    def append(self, opened: Opened) -> None:
        """Write that a call was opened; when this returns only the death of the machine can lose it.

        RecordError when it is open already or cannot be written as a line; OSError when the disk does not
        take it, and then nothing of it is left.
        """
        if (opened.opened_ns | opened.request_bytes) >> _BITS:
            raise RecordError("a record was refused: a number is larger than 63 bits")
        line, call_id = _line(_OPENED, opened), opened.call_id
        with self._lock:
            if call_id in self._open:
                raise RecordError("a record was refused: a call is open already")
            self._write(line)
            self._open[call_id] = line

    def reached(self, checkpoint: Checkpoint) -> None:
        """Write how far an open call has come, as safe and with the same errors."""
        line = _line(_REACHED, checkpoint)
        with self._lock:
            self._write(line)
            if checkpoint.call_id in self._open:
                self._reached[checkpoint.call_id] = line

    def ended(self, call_id: CallId) -> None:
        """The Usage of a call is durable."""
        self._open.pop(call_id, None)
        self._reached.pop(call_id, None)

    def settle(self, are_ended: AreEnded) -> bool:
        """Sync new lines to disk, and release ended calls. OSError when the disk fails.

        Return whether to call again in a second, whatever happens until then.
        """
        self.tidy(are_ended)
        file = self._file
        if file is not None:
            try:
                self._settle(file)
            except OSError:
                self._is_doubtful = True
                raise
        return bool(self._open or self._left)

    def tidy(self, are_ended: AreEnded) -> None:
        """Remove files that other processes have left and whose calls have ended."""
        self._left = [path for path in self._left if not _is_done(path, are_ended)]

    def resume(self) -> None:
        """See whether lines can be written again, and have all that is needed written anew if in doubt.

        OSError when that cannot be done.
        """
        file = self._file
        if file is None or self._is_doubtful:
            self._replace(file)
        else:
            with self._lock:
                size = file.bytes
                file.cut(size)
                file.append(_PROBE)
                file.cut(size)

    def close(self) -> None:
        """Let go of the file; it is left for recovery if calls are open."""
        file, self._file = self._file, None
        if file is not None and self._open:
            file.close()
        elif file is not None:
            file.drop()

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise FileNotFoundError(errno.ENOENT, "is not open", str(self._path))
        self._file.append(line)
        self._is_new = True

    def _settle(self, file: _File) -> None:
        if self._is_doubtful or file.is_gone:
            self._replace(file)
            return
        with self._lock:
            is_idle = not self._open
            had_any = is_idle and file.bytes > 0
            if is_idle:
                self._is_new = False
            if had_any:
                file.cut(0)
        if had_any:
            file.sync()  # or a power failure might bring back calls whose usages have been sealed since
        if is_idle:
            return
        if file.bytes > max(_LARGE_BYTES, 4 * len(self._needed())):
            try:
                self._replace(file)
                return  # the old one is closed, and the new one has all but what has come since
            except OSError:
                if self._file is not file:
                    raise
            # else there is no room for a new one, and the old one does for now
        if self._is_new:
            self._is_new = False
            file.sync()

    def _needed(self) -> bytes:
        """All that is known of the calls that are open."""
        return b"".join((*self._open.copy().values(), *self._reached.copy().values()))

    def _replace(self, old: _File | None) -> None:
        """Go on in a new file, which begins with the calls that are open."""
        new = _File.make(self._path)
        with self._lock:
            try:
                new.append(self._needed())
            except OSError:
                new.drop()
                raise
            self._file = new
            self._is_new = False
        try:
            new.sync()
        except OSError:
            if old is not None and old.is_safe:
                self._left.append(
                    old.path
                )  # it says what the new one may not, until its calls have ended
                old.close()
            elif old is not None:
                old.drop()
            raise
        self._is_doubtful = False
        if old is not None:
            old.drop()


class _File:
    """A file that this process appends to, and holds the lock of."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.bytes = 0
        self.is_safe = False
        """True once the disk surely has part of the entry."""
        self._descriptor = descriptor

    @classmethod
    def make(cls, journal: Path) -> _File:
        """Make a new file beside `journal`, under a durable name."""
        for number in count(1):
            path = journal.with_name(f"{journal.name}-opened-{number}")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                file = cls(path, os.open(path, flags, 0o600))
            except FileExistsError:
                continue
            try:
                fcntl.flock(file._descriptor, fcntl.LOCK_EX)
                if not file.is_gone:
                    sync_names(path.parent)
                    break
            except OSError:
                file.drop()
                raise
            file.close()  # another process took it for one that was left
        return file

    @property
    def is_gone(self) -> bool:
        """True if somebody has removed the file."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, data: bytes) -> None:
        """Write all of `data`, or nothing of it; OSError when it does not fit."""
        written = _write_at_once(self._descriptor, data, len(data))
        if written != len(data):  # the disk is full, or was: then the rest raises
            try:
                rest = data[max(0, written) :]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                with suppress(OSError):  # then `resume` does it
                    self.cut(self.bytes)
                raise
        self.bytes += len(data)

    def cut(self, size: int) -> None:
        """Leave its first `size` bytes."""
        os.ftruncate(self._descriptor, size)
        self.bytes = size

    def sync(self) -> None:
        """Wait until the disk has it."""
        os.fdatasync(self._descriptor)
        self.is_safe = True

    def drop(self) -> None:
        """Remove and close the file, as far as the disk permits; a later process removes the rest."""
        with suppress(OSError):
            if not self.is_gone:  # else its name may be another's by now
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of it, and of its lock."""
        os.close(self._descriptor)


def opening_files(journal: Path) -> Iterator[Path]:
    """The opening files beside `journal`."""
    return journal.parent.glob(f"{glob.escape(journal.name)}-opened-*")


def read_inflight_log(journal: Path) -> OpenCalls:
    """Read the in-flight logs beside `journal`."""
    while True:
        try:
            files = [path.read_bytes() for path in opening_files(journal)]
        except FileNotFoundError:
            continue  # it was replaced as we looked; what was in it is in another by now
        return _read(b"\n".join(files))


def _line(kind: bytes, record: Opened | Checkpoint) -> bytes:
    try:
        text = _encode(record)
    except UnicodeError as error:
        raise RecordError(f"a record was refused: {error}") from error
    return b"%08x%b%b\n" % (crc32(text), kind, text)


def _read(data: bytes) -> OpenCalls:
    """Parse the records of a file. A line with another checksum was never written whole, and is none."""
    calls = OpenCalls({}, {})
    for line in data.split(b"\n"):
        checksum, kind, text = line[:_DIGITS], line[_DIGITS : _DIGITS + 1], line[_DIGITS + 1 :]
        if checksum != b"%08x" % crc32(text):
            continue
        if kind == _OPENED:
            opened = _decode_opened(text)
            calls.opened[opened.call_id] = opened
        elif kind == _REACHED:
            checkpoint = _decode_checkpoint(text)
            before = calls.checkpoints.get(checkpoint.call_id)
            if before is None or before.at_ns <= checkpoint.at_ns:
                calls.checkpoints[checkpoint.call_id] = checkpoint
    return calls


def damaged_lines(data: bytes) -> list[bytes]:
    """Return the damaged whole lines of a file; the last line may be cut off by the end."""
    return [
        line
        for line in data.split(b"\n")[:-1]
        if line.strip(b" ") and line[:_DIGITS] != b"%08x" % crc32(line[_DIGITS + 1 :])
    ]


def damaged_inflight_lines(journal: Path) -> list[Quarantined]:
    """Return quarantine records of damaged lines beside `journal`; each may hold a call."""
    return [
        Quarantined("openings", file.name, "is not what was written", ascii(line), None)
        for file in opening_files(journal)
        for line in damaged_lines(file.read_bytes())
    ]


def _is_done(path: Path, are_ended: AreEnded) -> bool:
    """Return whether a file of another process needs no more attention; delete the file if it is over.

    A file that cannot be read or deleted now hinders nobody, and is looked at again.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_over = are_ended(list(_read(path.read_bytes()).opened))
        if is_over:
            path.unlink(missing_ok=True)
        return is_over
    except BlockingIOError:
        return True  # its owner lives
    except OSError:
        return False
    finally:
        os.close(descriptor)
