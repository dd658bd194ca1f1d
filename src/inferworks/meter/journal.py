"""The journal: what happened, made durable by one writer that commits in groups.

Problem. An answer may only be handed out when its record can no longer be lost, and the only thing
that makes a record safe is an fsync: 0.1 to 10 ms on the disks there are. One fsync per call would
limit a gateway to a few hundred calls a second; answering before the fsync would lose records.

Decision. *Group commit.* Callers put records into a queue and wait. One thread takes all that is
queued, writes it in one transaction, and wakes everybody whose record was in it. While it writes, the
next group gathers by itself: the slower the disk, the larger the groups, with no timer and no tuning.
A group's waiters are woken by one call into their event loop, not one each. Then the writer rests for as
long as the group has taken: whoever was woken has its turn without two threads fighting for the
interpreter lock, whoever has a record ready joins the next group, and the disk is busy half of the time
at most. A record that comes while the writer has nothing to do waits for nobody. Measured on a gateway
under full load, that takes a fifth off the CPU time of a call.

A failed write is final. After an fsync has failed nobody knows what is on the disk, and trying again
may report success for pages that are lost (the fsync trap of 2018). So the journal remembers the
failure: whoever waits and whoever comes later gets a JournalError until the program is restarted.

That a call is open waits for nobody: `opened` hands it to the store in the event loop, where it is out of
reach of our own death at once, and the writer has the store settle it within a second (decision 9).

A record that is itself at fault (RecordError: a second Usage of a call) fails alone: its group is
written again one entry at a time, its owner is told, and if nobody waits for it, it is quarantined.

Rejected. A thread pool (several writers only queue up for the database's one write lock); a commit
interval (adds latency when idle, and a number to tune); awaiting the database inside the event loop
(one slow fsync would hold up every stream).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias, TypeVar

from inferworks.errors import JournalError, RecordError
from inferworks.meter.record import Quarantined, Record
from inferworks.meter.stores.base import JournalReads, JournalStore
from inferworks.meter.usage import Checkpoint, Opened

Kept = TypeVar("Kept", Opened, Checkpoint)
_Waiter: TypeAlias = asyncio.Future[None]
_Entry: TypeAlias = tuple[Sequence[Record], _Waiter | None]
"""Records that stand or fall together, and who waits for them."""

_LARGEST_GROUP: Final = 4096
"""Entries in one transaction; bounds memory and the time until the first waiter is woken."""

_LONGEST_REST_S: Final = 0.005
"""A disk that takes longer than this makes large groups anyhow."""

_SETTLE_S: Final = 1.0
"""How long the store may keep a call open that only it and the kernel know of."""

_NOTHING: Final[_Entry] = ((), None)
"""Has the writer look what else there is to do."""


class Journal:
    """Takes records from the event loop and makes them durable in the order they came.

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
        self._failure: JournalError | None = JournalError("the journal has not been started")
        self._is_settled = True
        self._settle_at = 0.0

    @property
    def queued(self) -> int:
        """Entries that wait for the writer, about."""
        return self._queue.qsize()

    @property
    def failed(self) -> bool:
        """Whether nothing can be made durable any more, or not yet."""
        return self._failure is not None

    def start(self) -> None:
        """Open the store and start the writer. DataFolderError when the store cannot be used."""
        self._store.open()
        self._failure = None
        self._unsettle()  # what an earlier process has left
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Commit everything queued and stop; JournalError when it could not be made durable.

        Blocks until the last commit is done. Closing twice is harmless.
        """
        if self._writer is None:
            return
        self._queue.put(None)
        self._writer.join()
        self._writer = None
        self._store.close()
        failure, self._failure = self._failure, JournalError("the journal is closed")
        if failure is not None:
            raise failure

    def opened(self, opened: Opened) -> None:
        """Put on record that a call is opened, without waiting; what dies after this is the machine.

        RecordError when this record is refused, JournalError when the journal has failed.
        """
        self._keep(self._store.opened, opened)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Put on record how far an open call has come, as `opened` does and with its errors."""
        self._keep(self._store.reached, checkpoint)

    def append(self, record: Record) -> None:
        """Queue `record` without waiting for it. JournalError when the journal has failed.

        It becomes durable before anything that is queued after it.
        """
        if self._failure is not None:
            raise _again(self._failure)
        self._queue.put(((record,), None))

    def commit(self, record: Record) -> asyncio.Future[None]:
        """Queue `record`; the future is done once it is durable.

        The future raises RecordError when this record is refused, JournalError when the journal has
        failed. Cancelling the wait does not take the record back.
        """
        return self.commit_all((record,))

    def commit_all(self, records: Sequence[Record]) -> asyncio.Future[None]:
        """Queue `records` as one transaction, all or none; the future is as for `commit`."""
        waiter: _Waiter = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            waiter.set_exception(_again(self._failure))
        else:
            self._queue.put((records, waiter))
        return waiter

    async def durable(self) -> None:
        """Wait until everything queued so far is durable."""
        await self.commit_all(())

    def reads(self) -> AbstractContextManager[JournalReads]:
        """A view for reading what is durable; use it in a `with` statement."""
        return self._store.reads()

    def _write(self) -> None:
        """The writer's life: take a group, write it, wake its waiters, until told to stop."""
        running = True
        while running:
            group, running = self._next_group()
            began_s = time.monotonic()
            self._write_group(group)
            if running:
                time.sleep(min(time.monotonic() - began_s, _LONGEST_REST_S))
            if not self._is_settled and time.monotonic() >= self._settle_at:
                self._settle()

    def _next_group(self) -> tuple[list[_Entry], bool]:
        """Wait for one entry, then take all that is queued; False when told to stop after it."""
        group: list[_Entry] = []
        entry = self._next_entry()
        while entry is not None:
            group.append(entry)
            if self._queue.empty() or len(group) == _LARGEST_GROUP:
                return group, True
            entry = self._queue.get()
        return group, False

    def _next_entry(self) -> _Entry | None:
        """Wait for an entry, but no longer than until it is time to settle."""
        if self._is_settled:
            return self._queue.get()
        try:
            return self._queue.get(timeout=max(0.0, self._settle_at - time.monotonic()))
        except Empty:
            return _NOTHING

    def _write_group(self, group: Sequence[_Entry]) -> None:
        """Write `group` as one transaction; when a record is at fault, each entry as its own."""
        refusal = self._store_all([record for records, _ in group for record in records])
        if refusal is None:
            _wake(group, self._failure)
        elif len(group) > 1:
            for entry in group:
                self._write_group((entry,))
        elif group[0][1] is not None:
            _wake(group, refusal)
        else:
            self._quarantine(group[0][0], refusal)

    def _store_all(self, records: Sequence[Record]) -> RecordError | None:
        """Write `records` unless the journal has failed; the refusal, if one of them is at fault."""
        if self._failure is not None or not records:
            return None
        began_ns = time.perf_counter_ns()
        try:
            self._store.write(records)
        except RecordError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001 whatever it is, no waiter may be left waiting
            self._failed(error)
            return None
        if self._committed is not None:
            self._committed(len(records), time.perf_counter_ns() - began_ns)
        return None

    def _keep(self, keep: Callable[[Kept], None], record: Kept) -> None:
        """Have the store keep `record` at once, and settle it soon."""
        if self._failure is not None:
            raise _again(self._failure)
        try:
            keep(record)
        except JournalError as error:
            raise _again(self._failed(error)) from error
        if self._is_settled:
            self._unsettle()

    def _unsettle(self) -> None:
        """Have the writer settle the store soon."""
        self._settle_at = time.monotonic() + _SETTLE_S
        self._is_settled = False
        self._queue.put(_NOTHING)

    def _settle(self) -> None:
        """Settle the store, and again in a second if it is not done. A failure is final, as any."""
        self._is_settled = True  # said before: a call that is opened meanwhile unsettles it again
        try:
            if self._failure is None and self._store.settle():
                self._unsettle()
        except Exception as error:  # noqa: BLE001 whatever it is, nothing may be opened after it
            self._failed(error)

    def _failed(self, error: Exception) -> JournalError:
        """From here on nobody is told that anything is durable."""
        failure = JournalError(f"the journal has failed: {error}")
        failure.__cause__ = error
        self._failure = failure
        return failure

    def _quarantine(self, records: Sequence[Record], refusal: RecordError) -> None:
        """Keep refused records that nobody waits for, so that they do not vanish unseen."""
        again = self._store_all([_quarantined(record, refusal) for record in records])
        if again is not None:
            self._failure = JournalError(f"the journal cannot quarantine: {again}")


def _quarantined(record: Record, refusal: RecordError) -> Quarantined:
    key_field = record.__struct_fields__[0]
    return Quarantined(
        source=type(record).__name__,
        key=ascii(getattr(record, key_field)),
        reason=str(refusal),
        body=ascii(record),  # not JSON: it must hold even what no encoder takes
        existing=None,
    )


def _again(failure: JournalError) -> JournalError:
    """A fresh error for one more caller, so that tracebacks do not pile up on a shared one."""
    fresh = type(failure)(str(failure))
    fresh.__cause__ = failure
    return fresh


def _wake(group: Iterable[_Entry], error: JournalError | None) -> None:
    """Resolve every waiter of `group`, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
    for _, waiter in group:
        if waiter is not None:
            by_loop.setdefault(waiter.get_loop(), []).append(waiter)
    for loop, waiters in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody is left to wait
            loop.call_soon_threadsafe(_resolve, waiters, error)


def _resolve(waiters: Iterable[_Waiter], error: JournalError | None) -> None:
    """Finish `waiters` in their own event loop. Those that were cancelled meanwhile are left alone."""
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(_again(error))
