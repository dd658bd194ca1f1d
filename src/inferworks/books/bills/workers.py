"""The batches of a file read in several processes, and handed on in their order.

Problem. Parsing and naming a million lines takes a core most of a minute, and a machine has several. The
result must be that of one process, to the byte.

Decision. Each batch is read by itself (`Job`), here or in a process that was started for that (`worker`).
This process cuts the file into batches, writes the results to the books, and reads a batch itself
whenever the others have enough to do. Results and errors are handed on in the order of the file. Reading
begins in this process alone: short files start no other.

Few batches are under way at once, so a long file is not in memory. A worker that dies ends the import of
its file, of which nothing lands; workers end when their input does, as it does when this process is killed,
and are not told of Ctrl-C, which ends this process and so them.

Rejected. `multiprocessing` (it imports the program's main module in each child, a second's work, and its
pool waits for a result that a killed child will never send); threads here that speak with the workers (they
wait for the interpreter lock again and again, and the workers for them); to cut the file where lines end,
for each process to parse its own (a quoted cell may hold line ends).
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from types import TracebackType
from typing import Final, NamedTuple, Protocol, cast

import msgspec

from inferworks.books.bills.base import Problem
from inferworks.books.bills.spelling import SpelledOtherwiseError
from inferworks.books.bills.tables import Batch
from inferworks.books.deliveries.arriving import ArrivingLines
from inferworks.errors import BillError

_MOST_WORKERS: Final = 3
"""Beyond these they would wait for this process."""
ROWS_ALONE: Final = 20_000
"""Rows read before any worker is started: less than a second's work on the rest pays for none."""
_AHEAD: Final = 3
"""Batches that are given to each worker: one that it reads, and what it does next while we write."""
_MOST_PENDING: Final = 5
"""Batches for each worker that wait for one before them."""
_PIPE_BYTES: Final = 2**20
_LENGTH: Final = struct.Struct(">Q")
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from inferworks.books.bills.worker import main; main()"
)

_encode_batch = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(Batch).decode


class Read(NamedTuple):
    """Lines and problems read from a batch."""

    rows: int
    lines: ArrivingLines
    misshapen: Sequence[Problem]
    noted: Sequence[Problem]
    """Problems of cells, by the columns that the reader knows."""
    unconverted: Sequence[Problem]
    unrated: Mapping[str, Problem]
    """The first line in each currency that there is no rate for."""


class Job(Protocol):
    """Inputs for reading the batches of a file in any process; can be pickled."""

    @property
    def file(self) -> str:
        """The name of the file."""
        ...

    def reader(self) -> Callable[[Batch], Read]:
        """Return a function that reads batches, each by itself, in ascending order."""
        ...


def spare_workers() -> int:
    """Return the number of workers that the machine has cores for, beside this process."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return min(cores - 1, _MOST_WORKERS) if sys.executable else 0


def read_in_order(
    job: Job, batches: Iterator[Batch], workers: int, rows_alone: int = ROWS_ALONE
) -> Generator[Read]:
    """Yield the contents of each of `batches`, in their order. To be closed.

    After `rows_alone` rows as many `workers` help as there are. BillError when one of them dies.
    """
    read, rows = job.reader(), 0
    while not workers or rows < rows_alone:
        batch = next(batches, None)
        if batch is None:
            return
        yield read(batch)
        rows += len(batch.numbers)
    with ExitStack() as stack:
        others = [stack.enter_context(_Worker(job)) for _ in range(workers)]
        pending: deque[_Answer] = deque()
        for given in _with_error(batches):
            free = _free(others)
            if isinstance(given, BillError):
                pending.append(_Answer(given))
            elif free is None:
                try:
                    pending.append(_Answer(read(given)))
                except (BillError, SpelledOtherwiseError) as error:
                    pending.append(_Answer(error))  # to be raised in its turn, which ends the file
                    break
            else:
                pending.append(free.give(given))
            while len(pending) > _MOST_PENDING * workers or (
                pending and pending[0].is_there and _free(others) is None
            ):
                yield pending.popleft().read()
        while pending:
            yield pending.popleft().read()


def _with_error(batches: Iterator[Batch]) -> Iterator[Batch | BillError]:
    """The same `batches`, and the error with which they end: what is before it comes before it."""
    try:
        yield from batches
    except BillError as error:
        yield error


def _free(workers: Sequence[_Worker]) -> _Worker | None:
    """The one that has least to do; None when all have enough."""
    return min(
        (one for one in workers if one.tasks < _AHEAD), key=lambda one: one.tasks, default=None
    )


class _Answer:
    """Result of reading a batch, now or later."""

    def __init__(
        self, found: Read | Exception | bytearray | None, worker: _Worker | None = None
    ) -> None:
        self.found = found
        self._worker = worker

    @property
    def is_there(self) -> bool:
        """Return True if the result is here."""
        return self.found is not None

    def read(self) -> Read:
        """Return the contents of the batch; raise the error that kept it from being read."""
        while self.found is None and self._worker is not None:
            self._worker.receive()
        if isinstance(self.found, bytearray):
            return decoded_answer(self.found)
        if isinstance(self.found, Read):
            return self.found
        assert self.found is not None
        raise self.found


class _Worker:
    """A process that does a `job`, batch by batch; it ends with the context."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._asked: deque[_Answer] = deque()
        """Batches that the worker has not answered yet."""

    def __enter__(self) -> _Worker:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
            process_group=0,  # Ctrl-C is for us to hear
        )
        self._in, self._out = cast(FileIO, self._process.stdin), cast(FileIO, self._process.stdout)
        self._is_ready = select.poll()
        self._is_ready.register(self._out, select.POLLIN)
        self._send(pickle.dumps(self._job))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    @property
    def tasks(self) -> int:
        """Return the number of batches that it has not read yet."""
        while self._asked and self._is_ready.poll(0):
            self.receive()
        return len(self._asked)

    def give(self, batch: Batch) -> _Answer:
        """Let it read `batch` after those that it has; its answer."""
        self._send(encoded(batch))
        self._asked.append(_Answer(None, self))
        return self._asked[-1]

    def receive(self) -> None:
        """Take its next answer, and wait until it is there; BillError when it has died."""
        found = received(self._out)
        if found is None:
            raise self._died()
        self._asked.popleft().found = found

    def _send(self, content: bytes) -> None:
        try:
            send(self._in, content)
        except BrokenPipeError as error:
            raise self._died() from error

    def _died(self) -> BillError:
        self._process.kill()  # where it has only closed its end
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return BillError(
            f"{self._job.file}: a process that read its lines has died ({how}); nothing of the file was "
            "imported: see that there is memory enough, and import it again"
        )


# --- what goes to a worker and comes back -------------------------------------------------------------


def send(out: FileIO, content: bytes) -> None:
    """Write `content` so that its end can be told."""
    for part in (_LENGTH.pack(len(content)), content):
        left = memoryview(part)
        while left:
            left = left[out.write(left) :]


def received(given: FileIO) -> bytearray | None:
    """Return the bytes that `send` wrote; None if there are no more, or not all of them."""
    head = _read(given, _LENGTH.size)
    return None if head is None else _read(given, _LENGTH.unpack(head)[0])


def _read(given: FileIO, size: int) -> bytearray | None:
    found = bytearray(size)
    left = memoryview(found)
    while left:
        read = given.readinto(left)
        if not read:
            return None
        left = left[read:]
    return found


def encoded(batch: Batch) -> bytes:
    """`batch` for `decoded`."""
    return _encode_batch(batch._replace(numbers=list(batch.numbers)))


def decoded(batch: bytes | bytearray) -> Batch:
    """The batch that was encoded."""
    return _decode_batch(batch)


def encoded_answer(read: Read | Exception) -> bytes:
    """Return a result or an error as bytes for `decoded_answer`."""
    return pickle.dumps(read)


def decoded_answer(answer: bytes | bytearray) -> Read:
    """Return the contents that a worker read; raise its error."""
    found: Read | Exception = pickle.loads(answer)  # noqa: S301 - by a process of ours
    if isinstance(found, Exception):
        raise found
    return found
