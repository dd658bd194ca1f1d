"""Where it is kept that a call is open and how far it has come: a file that is only appended to.

Problem. That a call was opened must be on record before its upstream is asked, so that no crash hides
work that was paid for. As a row that is committed like any other it costs every call a wait for the disk
before it may even begin, and twice the commits. Yet it is read only if the process dies before the call
ends, and worth nothing afterwards.

Decision. `append` writes one line with one `write`, in the event loop, and waits for nothing. What the
kernel has taken survives the death of the process, SIGKILL included; only the machine's own death can
lose it, and against that the journal's writer has the disk take what is new once a second (`settle`). So
a power failure forgets at most the last second of calls that were opened and not answered: an answer is
handed out only after its Usage was committed, which says all that the line says.

How far a long stream has come (a Checkpoint each second) is kept in the same way, since it serves the same
end. As rows of the database, 100 streams were 100 commits a second, and the journal's writer took a seventh
of the CPU time of each chunk.

A line is the checksum of a record, its kind, the record as JSON, and a newline. What has no right checksum
(a line cut off by the end) is no record. A file that has grown is replaced: the next one begins with what
is known of the calls that are still open, so it holds all that is needed, and the old one goes. While no
call is open, the file is emptied. So there is one file for each process that opens calls, of a few MB. Its
owner holds a lock on it; one that nobody holds was left by a process that died, and goes when each of its
calls has its Usage.

While a call stands in such a file its Usage is not sealed (`lake_journal`): recovery must find it in the
journal, or would take the call for one that never ended.

Rejected. A row in the database (what was before: a commit of its own); an fsync for each group of lines
(0.1 to 10 ms before any upstream is asked, for calls that have cost nothing yet); a shared memory map
(the same guarantee, and a file format of our own making).
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from inferworks.errors import RecordError
from inferworks.ids import CallId
from inferworks.meter.usage import Checkpoint, Opened

_LARGE_BYTES: Final = 1 << 20
"""A file that has grown to this, and to four times what its open calls take, is replaced."""
_BITS: Final = 63
_DIGITS: Final = 8
"""Of a checksum."""

_write_at_once: Final = ctypes.PyDLL(None).write
"""The kernel's `write`, without giving up the interpreter's lock as `os.write` does: the journal's writer
would take it, and the event loop wait to have it back for longer than the copy into the page cache takes.
It halved the switches between the two threads. Below zero: it failed, and `os.write` will say why."""
_write_at_once.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write_at_once.restype = ctypes.c_ssize_t

AreEnded = Callable[[Sequence[CallId]], bool]
"""Whether each of these calls has its Usage."""

_OPENED: Final = b"+"
_REACHED: Final = b"~"
"""The kinds of lines."""

_encode = msgspec.json.Encoder().encode
_decode_opened = msgspec.json.Decoder(Opened).decode
_decode_checkpoint = msgspec.json.Decoder(Checkpoint).decode


class OpenCalls(NamedTuple):
    """What opening files tell; most of the calls in them have ended."""

    opened: dict[CallId, Opened]
    checkpoints: dict[CallId, Checkpoint]
    """The newest of each call."""


class Openings:
    """The opening files beside the journal at `path`, of which this process may write one.

    `append` and `reached` are for the event loop, all else for the journal's writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: _File | None = None
        self._open: dict[CallId, bytes] = {}
        """The line of each call that has not ended."""
        self._reached: dict[CallId, bytes] = {}
        """The newest checkpoint's line, of those that have one."""
        self._is_new = False
        """Whether lines were written that the disk may not have."""
        self._left: list[Path] = []
        """Files of other processes, until they are seen to be alive or their files are gone."""

    def open(self) -> None:
        """Find what others have left."""
        self._left = list(opening_files(self._path))

    def append(self, opened: Opened) -> None:
        """Write that a call was opened; when this returns only the death of the machine can lose it.

        RecordError when it is open already or cannot be written as a line; OSError when the disk is full.
        """
        if (opened.opened_ns | opened.request_bytes) >> _BITS:
            raise RecordError("a record was refused: a number is larger than 63 bits")
        line = _line(_OPENED, opened)
        with self._lock:
            if opened.call_id in self._open:
                raise RecordError("a record was refused: a call is open already")
            self._write(line)
            self._open[opened.call_id] = line

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
        """Have the disk take what is new, and let go of what has ended. OSError when the disk fails.

        Whether it is to be called again in a second, whatever happens until then.
        """
        self._left = [path for path in self._left if not _is_done(path, are_ended)]
        file = self._file
        if file is not None and not self._emptied(file):
            if file.bytes > max(_LARGE_BYTES, 4 * len(self._needed())):
                self._replace(file)
            elif self._is_new:
                self._is_new = False
                file.sync()
        return bool(self._open or self._left)

    def close(self) -> None:
        """Let go of the file; it is left for recovery if calls are open."""
        file, self._file = self._file, None
        if file is not None:
            if not self._open:
                file.path.unlink(missing_ok=True)
            file.close()

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._file = _File.make(self._path)
        self._file.append(line)
        self._is_new = True

    def _needed(self) -> bytes:
        """All that is known of the calls that are open."""
        return b"".join((*self._open.copy().values(), *self._reached.copy().values()))

    def _emptied(self, file: _File) -> bool:
        """Empty the file if no call is open."""
        with self._lock:
            if self._open:
                return False
            had_any, self._is_new = file.bytes > 0, False
            if had_any:
                file.empty()
        if had_any:
            file.sync()  # or a power failure might bring back calls whose usages have been sealed since
        return True

    def _replace(self, old: _File) -> None:
        """Go on in a new file, which begins with the calls that are open."""
        new = _File.make(self._path)
        with self._lock:
            new.append(self._needed())
            self._file = new
            self._is_new = False
        new.sync()
        old.path.unlink(missing_ok=True)
        old.close()


class _File:
    """A file that this process appends to, and holds the lock of."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.bytes = 0
        self._descriptor = descriptor
        self._is_named = False
        """Whether the disk knows the file by its name."""

    @classmethod
    def make(cls, journal: Path) -> _File:
        """A new file beside `journal`."""
        for number in count(1):
            path = journal.with_name(f"{journal.name}-opened-{number}")
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            try:
                descriptor = os.open(path, flags, 0o600)
            except FileExistsError:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # another process took it for one that was left
        return cls(path, descriptor)

    def append(self, data: bytes) -> None:
        """Write all of `data`."""
        written = _write_at_once(self._descriptor, data, len(data))
        while written != len(data):  # the disk is full, or was: then the rest raises
            self.bytes += max(0, written)
            data = data[max(0, written) :]
            written = os.write(self._descriptor, data)
        self.bytes += written

    def empty(self) -> None:
        """Cut it off at its beginning."""
        os.ftruncate(self._descriptor, 0)
        self.bytes = 0

    def sync(self) -> None:
        """Wait until the disk has it, and its name."""
        os.fdatasync(self._descriptor)
        if not self._is_named:
            self._is_named = True
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """Let go of it, and of its lock."""
        os.close(self._descriptor)


def opening_files(journal: Path) -> Iterator[Path]:
    """The opening files beside `journal`."""
    return journal.parent.glob(f"{glob.escape(journal.name)}-opened-*")


def read_openings(journal: Path) -> OpenCalls:
    """What the opening files beside `journal` tell."""
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
    """The records of a file. What has another checksum was never written whole, and is none."""
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


def _is_done(path: Path, are_ended: AreEnded) -> bool:
    """Whether a file of another process is none of our business any more; it is deleted if it is over."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_over = are_ended(list(_read(path.read_bytes()).opened))
        if is_over:
            path.unlink(missing_ok=True)
        return is_over
    except BlockingIOError:
        return True  # its owner lives
    finally:
        os.close(descriptor)
