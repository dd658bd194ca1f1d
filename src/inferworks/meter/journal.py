"""The journal: what happened, made durable by one writer that commits in groups.

Problem. An answer may only be handed out when its record can no longer be lost, and only an fsync makes a
record safe: 0.1 to 10 ms on the disks there are. One fsync per call would
limit a gateway to a few hundred calls a second; answering before the fsync would lose records.

Decision. *Group commit.* Callers put records into a queue and wait. One thread takes all that is
queued, writes it in one transaction, and wakes everybody whose record was in it. While it writes, the
next group gathers by itself: the slower the disk, the larger the groups, with no timer and no tuning.
A group's waiters are woken by one call into their event loop, not one each. Then the writer rests for as
long as the group has taken: whoever was woken has its turn without two threads fighting for the
interpreter lock, whoever has a record ready joins the next group, and the disk is busy half of the time
at most. A record that comes while the writer has nothing to do waits for nobody. Measured on a gateway
under full load, that takes a fifth off the CPU time of a call.

A failed write is refused, and the trouble is temporary. After a disk was full, a lock timed out or an
fsync failed, the journal is *in trouble*: waiters get a JournalError, new records are refused at once, and
the writer tries a few times a second whether the store can be written again (`JournalStore.resume`). Until
that succeeds, no record is reported durable. After a failed fsync the content of the disk is unknown, and
another fsync may report success for pages that are lost (the fsync trap of 2018): so the store closes the
file, opens it afresh and writes all of it anew before it goes on, and doubtful records are taken back,
since their waiters were told that they are not durable.

Work that was paid for is not forgotten meanwhile. The Usage of a call that was opened is kept in memory,
as that of a call whose answer was held back (`commit`, `otherwise`), and is written first. There are no
more of them than calls were open, for no new calls are opened. If we die before, the call is still in the
in-flight log, and recovery closes it. A record that was never opened (a refused call, a batch of events or
of steps) is not kept: its sender gets the error, and still has the record. Decision 11 gives the reasons.

The opening of a call waits for nothing: `opened` hands it to the store in the event loop, where it survives
our own death at once, and the writer has the store settle it within a second (decision 9).

A record that is itself at fault (RecordError: a second Usage of a call) fails alone: its group is
written again one entry at a time, its owner is told, and if nobody waits for it, it is quarantined.

Rejected. A thread pool (several writers only queue up for the database's one write lock); a commit
interval (adds latency when idle, and a number to tune); awaiting the database inside the event loop
(one slow fsync would hold up every stream).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from inferworks.errors import JournalError, RecordError
from inferworks.meter.record import Quarantined, Record
from inferworks.meter.stores.base import JournalReads, JournalStore
from inferworks.meter.usage import Checkpoint, Opened, Usage

_Waiter: TypeAlias = asyncio.Future[None]

Otherwise: TypeAlias = Callable[[Usage], Usage]
"""Replacement for a Usage that could not be made durable while somebody waited for it."""

Ended: TypeAlias = Callable[[JournalError | None], None]
"""Callback in the event loop, once it is certain that records are durable (None), or why they are not."""

_Entry: TypeAlias = tuple[Sequence[Record], _Waiter | None, Otherwise | None, Ended | None]
"""Records that stand or fall together, their waiter, the replacement of a Usage if they fall, and who is
told which it was, also where the waiter has left."""

_LARGEST_GROUP: Final = 4096
"""Entries in one transaction; bounds memory and the time until the first waiter is woken."""

_LONGEST_REST_S: Final = 0.005
"""A disk that takes longer than this makes large groups anyhow."""

_SETTLE_S: Final = 1.0
"""Seconds for which the store may keep a call open that only it and the kernel know of."""

_TRY_AGAIN_S: Final = 0.1
_LONGEST_TRY_AGAIN_S: Final = 0.5
"""Longest pause before the writer tries a failing store again, in seconds; pauses double up to it."""

_NOTHING: Final[_Entry] = ((), None, None, None)
"""Entry that makes the writer look for other work."""

_log = logging.getLogger("inferworks.journal")


class Journal:
    """Journal that takes records from the event loop and makes them durable in order of arrival.

    Call `start` before and `close` after everything else. `commit`, `commit_all` and `durable` need a
    running event loop; `append`, `opened` and `reached` may be called from any thread, and while a task
    is being cancelled.
    """

    def __init__(
        self, store: JournalStore, *, committed: Callable[[int, int], None] | None = None
    ) -> None:
        """`committed` is told, by the writer, of each commit: how many records, in how many ns."""
        self._store = store
        self._committed = committed
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._group: list[_Entry] = []
        """Entries that the writer has taken from the queue and not finished."""
        self._ended: JournalError | None = JournalError("the journal has not been started")
        self._trouble: JournalError | None = None
        self._kept: list[Record] = []
        """Records written before all others once the store can be written again."""
        self._doubtful: list[Usage] = []
        """Usages that may be in the store, although their waiters were told that they are not durable."""
        self._try_at = 0.0
        self._pause_s = _TRY_AGAIN_S
        self._stops = False
        self._is_settled = True
        self._settle_at = 0.0

    @property
    def queued(self) -> int:
        """Entries that wait for the writer, about."""
        return self._queue.qsize() + len(self._kept)

    @property
    def failed(self) -> bool:
        """True while nothing can be made durable."""
        return self._refusal() is not None

    @property
    def trouble(self) -> str | None:
        """Reason why records cannot be made durable now; None when they can."""
        refusal = self._refusal()
        return None if refusal is None else str(refusal)

    @property
    def is_in_doubt(self) -> bool:
        """True if records that can be read may yet be taken back."""
        return self._store.is_in_doubt

    @property
    def settled_to(self) -> int:
        """Position in the outbox up to which nothing is taken back any more; 0 where nothing is shipped."""
        return self._store.settled_to

    @property
    def alive(self) -> bool:
        """True while the writer runs."""
        return self._writer is not None and self._writer.is_alive()

    def start(self) -> None:
        """Open the store and start the writer. DataFolderError when the store cannot be used."""
        self._store.open()
        self._ended = self._trouble = None
        self._stops = False
        self._unsettle()  # what an earlier process has left
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Commit everything queued and stop; JournalError when it could not be made durable.

        Blocks until the last commit is done. Closing twice is harmless.
        """
        if self._writer is None:
            return
        self._ended = JournalError("the journal is closed")
        self._queue.put(None)
        self._writer.join()
        self._writer = None
        self._store.close()
        if self._trouble is not None:
            raise _again(self._trouble)

    def opened(self, opened: Opened) -> None:
        """Record that a call is opened, without waiting; only the death of the machine can lose the record.

        RecordError when this record is refused, JournalError when nothing can be made durable now.
        """
        refusal = self._trouble or self._ended
        if refusal is not None:
            raise _again(refusal)
        try:
            self._store.opened(opened)
        except RecordError:
            raise
        except JournalError as error:
            raise _again(self._in_trouble(error)) from error
        if self._is_settled:
            self._unsettle()

    def reached(self, checkpoint: Checkpoint) -> None:
        """Put on record how far an open call has come, without waiting; RecordError when that is refused.

        In trouble it is left out: the call may still end well, and its next checkpoint says more.
        """
        if self._refusal() is not None:
            return
        try:
            self._store.reached(checkpoint)
        except RecordError:
            raise
        except JournalError as error:
            self._in_trouble(error)
        if self._is_settled:
            self._unsettle()

    def append(self, record: Record) -> None:
        """Queue `record` without waiting for it. JournalError when the journal does not run.

        It becomes durable before anything that is queued after it; in trouble it is kept until it can be.
        """
        if self._ended is not None:
            raise _again(self._ended)
        self._queue.put(((record,), None, None, None))

    def commit(
        self, record: Record, otherwise: Otherwise | None = None, ended: Ended | None = None
    ) -> asyncio.Future[None]:
        """Queue `record`; the future is done once it is durable.

        The future raises RecordError when this record is refused, JournalError when nothing can be made
        durable now. Cancelling the wait does not take the record back. With `otherwise` the record is a
        call's Usage and a JournalError is not its end: what `otherwise` makes of it is kept, and becomes
        durable when that is possible again.

        `ended` is called before the future's waiter goes on, and also where nobody waits any more. It is
        not called where the journal does not run: then a call stays open, for recovery to close.
        """
        return self.commit_all((record,), otherwise, ended)

    def commit_all(
        self,
        records: Sequence[Record],
        otherwise: Otherwise | None = None,
        ended: Ended | None = None,
    ) -> asyncio.Future[None]:
        """Queue `records` as one transaction, all or none; the future and `ended` are as for `commit`."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        refusal = self._trouble or self._ended
        if refusal is None:
            self._queue.put((records, waiter, otherwise, ended))
        else:
            waiter.set_exception(_again(refusal))
            if otherwise is not None and self._ended is None:
                kept = _if_it_fails((records, waiter, otherwise, None))
                self._queue.put((kept, None, None, None))
            if ended is not None and self._ended is None:
                ended(refusal)
        return waiter

    async def durable(self) -> None:
        """Wait until everything queued so far is durable."""
        await self.commit_all(())

    def reads(self) -> AbstractContextManager[JournalReads]:
        """A view for reading what is durable; use it in a `with` statement."""
        return self._store.reads()

    def _refusal(self) -> JournalError | None:
        return self._trouble or self._ended

    # --- the writer

    def _write(self) -> None:
        """The writer's life: group after group until told to stop. Nothing else ends it."""
        while not self._stops:
            try:
                self._take_group()
                self._write_next()
            except Exception as error:  # noqa: BLE001 whatever it is, no waiter may be left waiting
                self._in_trouble(error)
                self._put_aside(len(self._group))
        if self._trouble is not None:
            self._resume()

    def _write_next(self) -> None:
        """Write the group, rest, then see to the store."""
        began_s = time.monotonic()
        if self._trouble is None:
            self._write_group(len(self._group))
        else:
            self._put_aside(0)
        if not self._stops:
            time.sleep(min(time.monotonic() - began_s, _LONGEST_REST_S))
        if self._trouble is not None:
            if time.monotonic() >= self._try_at:
                self._resume()
        elif not self._is_settled and time.monotonic() >= self._settle_at:
            self._is_settled = True  # said before: a call opened meanwhile unsettles it again
            try:
                if self._store.settle():
                    self._unsettle()  # again in a second
            except JournalError as error:
                self._in_trouble(error)

    def _take_group(self) -> None:
        """Wait for one entry, then take all that is queued.

        Wait no longer than until it is time to try again or to settle.
        """
        left_s: float | None = None
        if self._trouble is not None:
            left_s = max(0.0, self._try_at - time.monotonic())
        elif not self._is_settled:
            left_s = max(0.0, self._settle_at - time.monotonic())
        try:
            entry = self._queue.get(timeout=left_s)
        except Empty:
            entry = _NOTHING
        while entry is not None:
            self._group.append(entry)
            if self._queue.empty() or len(self._group) == _LARGEST_GROUP:
                return
            entry = self._queue.get()
        self._stops = True

    def _write_group(self, at_once: int) -> None:
        """Write so many entries as one transaction; when a record is at fault, each as its own."""
        some = self._group[:at_once]
        try:
            self._store_all([record for entry in some for record in entry[0]])
        except RecordError as refusal:
            if at_once > 1:
                for _ in some:
                    self._write_group(1)
                return
            if some[0][1] is None:
                self._write_unwaited(some[0][0])
            del self._group[0]
            _wake(some, refusal)
        except JournalError as error:
            self._in_trouble(error)
            self._put_aside(at_once)
        else:
            del self._group[:at_once]  # said before its waiters are woken, who rely on it
            _wake(some, None)

    def _write_unwaited(self, records: Sequence[Record]) -> None:
        """Write records without waiters; faulty ones are quarantined, not to vanish unseen."""
        try:
            self._store_all(records)
        except RecordError as refusal:
            if len(records) == 1:
                [record] = records
                aside = Quarantined(
                    source=type(record).__name__,
                    key=ascii(getattr(record, record.__struct_fields__[0])),
                    reason=str(refusal),
                    body=ascii(record),  # not JSON: it must hold even what no encoder takes
                    existing=None,
                )
                self._store_all([aside])
            else:
                middle = len(records) // 2
                self._write_unwaited(records[:middle])
                self._write_unwaited(records[middle:])

    def _store_all(self, records: Sequence[Record]) -> None:
        if records:
            began_ns = time.perf_counter_ns()
            self._store.write(records)
            if self._committed is not None:
                self._committed(len(records), time.perf_counter_ns() - began_ns)

    def _unsettle(self) -> None:
        """Have the writer settle the store soon."""
        self._settle_at = time.monotonic() + _SETTLE_S
        self._is_settled = False
        self._queue.put(_NOTHING)

    # --- trouble

    def _in_trouble(self, error: Exception) -> JournalError:
        """Enter the state of trouble, in which nothing is reported durable, and return the error."""
        reason = str(error) or type(error).__name__
        trouble = JournalError(f"the journal cannot be written now: {reason}")
        trouble.__cause__ = error
        before = self._trouble
        if before is None:
            self._pause_s = _TRY_AGAIN_S
        if before is None or str(before) != str(trouble):
            unexpected = None if isinstance(error, JournalError) else error
            _log.error("%s; calls are refused until it can be", trouble, exc_info=unexpected)
        self._try_at = time.monotonic() + self._pause_s
        self._trouble = trouble
        self._queue.put(_NOTHING)  # the writer may wait without an end
        return trouble

    def _put_aside(self, tried: int) -> None:
        """Tell the waiters of the group that it is not durable, and keep what must not be lost.

        So many of its first entries may be in the store nevertheless.
        """
        group, self._group = self._group, []
        for entry in group:
            self._kept += _if_it_fails(entry)
        for records, *_ in group[:tried]:
            self._doubtful += (record for record in records if type(record) is Usage)
        _wake(group, self._trouble)

    def _resume(self) -> None:
        """Try to write the store again; kept records are written before all others."""
        try:
            self._store.resume(self._doubtful)
            self._doubtful = []
            while self._kept:
                some = self._kept[:_LARGEST_GROUP]
                self._doubtful = [record for record in some if type(record) is Usage]
                self._write_unwaited(some)
                self._doubtful = []
                del self._kept[: len(some)]
        except Exception as error:  # noqa: BLE001 whatever it is, the store is not ready
            self._pause_s = min(2 * self._pause_s, _LONGEST_TRY_AGAIN_S)
            self._in_trouble(error)
        else:
            self._trouble = None
            self._unsettle()
            _log.warning("the journal can be written again; calls are served")


def _if_it_fails(entry: _Entry) -> Sequence[Record]:
    """Return the records kept of a failed entry: all if nobody waits, else those made by `otherwise`."""
    records, waiter, otherwise, _ = entry
    if waiter is None:
        return records
    if otherwise is None:
        return ()
    return [otherwise(record) for record in records if type(record) is Usage]


def _again(failure: JournalError) -> JournalError:
    """A fresh error for one more caller, so that tracebacks do not pile up on a shared one."""
    fresh = type(failure)(str(failure))
    fresh.__cause__ = failure
    return fresh


def _wake(group: Iterable[_Entry], error: JournalError | None) -> None:
    """Resolve every waiter of `group`, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiter, Ended | None]]] = {}
    for _, waiter, _, ended in group:
        if waiter is not None:
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, ended))
    for loop, waiters in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody is left to wait
            loop.call_soon_threadsafe(_resolve, waiters, error)


def _resolve(waiters: Iterable[tuple[_Waiter, Ended | None]], error: JournalError | None) -> None:
    """Finish `waiters` in their own event loop. Those that were cancelled meanwhile are left alone."""
    for waiter, ended in waiters:
        if ended is not None:
            ended(error)
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(_again(error))
