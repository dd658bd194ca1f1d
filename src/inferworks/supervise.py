"""Supervision of background work, so that its end is never unnoticed.

Problem. A gateway does a dozen things that no caller waits for: it looks at the keys, collects traces,
seals old rows, keeps replicas running. A task that raises is over, and asyncio keeps its exception until
nobody asks; a thread that raises prints a traceback and is gone. Both then look exactly like work that has
nothing to do, while revoked keys live on.

Decision. Everything that runs beside the calls runs under a `Supervisor`. Work that raises is logged,
counted and run again after a pause that doubles; if `vital` work raises, the program finishes its running
calls and exits with an error. Each piece of work has a `Work`, which records since when it has been
unwell: failing, or busy with one turn for longer than a turn may take. Health and metrics read that and
need know nothing of the work itself.

Time is that of a clock that is never set (`carried`), so a step of the wall clock makes nothing look ill.

Rejected. `asyncio.TaskGroup` (the first exception takes all others down, the calls too); a done callback on
each task (it tells of the end, but neither begins again nor sees what hangs); a thread that watches the
others (one more thing to watch).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from inferworks.clock import Clock, SystemClock
from inferworks.errors import BooksError, InferworksError
from inferworks.units import NS_PER_SECOND

PATIENCE_S: Final = 60.0
"""Seconds for which work may fail, or be busy with one turn, before it counts as ill."""
_PAUSE_S: Final = 0.5
_BEAT_S: Final = 1.0
_REMEMBERED_BEATS: Final = 60
_STANDING_NS: Final = 5 * NS_PER_SECOND
"""Lateness of a beat that is logged, in nanoseconds."""
_LONGEST_PAUSE_S: Final = 30.0

_log = logging.getLogger("inferworks.supervise")

T = TypeVar("T")


class Work:
    """A piece of background work, as it stands. It is written by the work, and read by any thread."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        patience_s: float,
        needed: bool = False,
        vital: bool = False,
    ) -> None:
        """`needed` says that no call should come while it is ill, `vital` that none may after it failed."""
        self.name = name
        self.needed = needed or vital
        self.vital = vital
        self.failures = 0
        """Since the start."""
        self.in_row = 0
        """Failures since the last success."""
        self._clock = clock
        self._patience_ns = round(patience_s * NS_PER_SECOND)
        self._succeeded_ns = clock.now_ns()
        self._unwell_ns: int | None = None
        """Since when it is busy or failing."""
        self._is_overdue = False

    def begun(self) -> None:
        """Note that one turn of it begins. Work whose turns cannot hang need not call it."""
        if self._unwell_ns is None:
            self._unwell_ns = self._clock.now_ns()

    def succeeded(self) -> None:
        """One turn of it is done."""
        self._succeeded_ns = self._clock.now_ns()
        self._unwell_ns = None
        if self._is_overdue:
            self._is_overdue = False
            _log.warning("%s works again", self.name)
        if self.in_row:
            _log.warning("%s works again, after %d failures", self.name, self.in_row)
            self.in_row = 0

    def failed(self, error: BaseException) -> None:
        """One turn of it has failed, or it has ended so."""
        self.begun()
        self.failures += 1
        self.in_row += 1
        is_foreseen = isinstance(error, InferworksError) and not isinstance(error, BooksError)
        trace = error if self.in_row == 1 and not is_foreseen else None
        _log.error("%s failed: %s: %s", self.name, type(error).__name__, error, exc_info=trace)

    def overdue(self) -> None:
        """One turn of it has taken longer than it may: that is a failure too, and told once."""
        if not self._is_overdue and not self.in_row:
            self._is_overdue = True
            self.failures += 1
            _log.error(
                "%s has been at one turn for %.0f s", self.name, self.unwell_ns / NS_PER_SECOND
            )

    @property
    def age_ns(self) -> int:
        """Time since it last succeeded, or else since it began."""
        return self._clock.now_ns() - self._succeeded_ns

    @property
    def unwell_ns(self) -> int:
        """Time since it began to fail, or the turn that it is busy with; 0 when it is well."""
        since_ns = self._unwell_ns
        return 0 if since_ns is None else self._clock.now_ns() - since_ns

    @property
    def ill(self) -> bool:
        """True if it has been unwell for longer than allowed; vital work is allowed no time."""
        return (self.vital and self.in_row > 0) or self.unwell_ns > self._patience_ns


class Supervisor:
    """Runs background work and knows how each piece does. Belongs to one event loop."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.on_end: Callable[[str], object] | None = None
        """Callback with the name of vital work that has ended, called in the thread of its end."""
        self._clock = (clock or SystemClock()).carried()
        self._works: dict[str, Work] = {}
        self.stood_ns = 0
        """Longest stall of the event loop in the last minute, in nanoseconds, as far as `pulse` looks."""

    @property
    def works(self) -> Mapping[str, Work]:
        """All work that runs or should, by name."""
        return self._works

    def ill(self) -> list[Work]:
        """Works that have been failing or hanging for longer than allowed."""
        works = list(self._works.values())  # at once: a thread may come to its end meanwhile
        return [work for work in works if work.ill]

    def ended(self) -> list[str]:
        """The names of vital work that has ended, which only a restart of the program brings back."""
        return [work.name for work in self.ill() if work.vital]

    def work(
        self,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
        needed: bool = False,
        vital: bool = False,
    ) -> Work:
        """Return a new piece of work, for work that runs itself and reports its own state."""
        work = Work(name, self._clock, patience_s=patience_s, needed=needed, vital=vital)
        self._works[name] = work
        return work

    def end(self, work: Work) -> None:
        """`work` is over, as it should be."""
        if self._works.get(work.name) is work:
            del self._works[work.name]

    def task(
        self,
        name: str,
        run: Callable[[Work], Awaitable[None]],
        *,
        patience_s: float = PATIENCE_S,
        needed: bool = False,
        vital: bool = False,
    ) -> asyncio.Task[None]:
        """A task that runs `run` until it returns, again and again while it raises.

        The task itself never fails; cancel it, and wait for it, to end the work.
        """
        work = self.work(name, patience_s=patience_s, needed=needed, vital=vital)
        return asyncio.get_running_loop().create_task(self._run(work, run), name=name)

    def every(
        self,
        seconds: float,
        name: str,
        act: Callable[[], None] | Callable[[], Awaitable[None]],
        *,
        patience_s: float = PATIENCE_S,
        needed: bool = False,
    ) -> asyncio.Task[None]:
        """A task, as `task` makes them, that calls `act` every `seconds`, whether or not it fails."""

        async def repeat(work: Work) -> None:
            while True:
                await self._clock.sleep(seconds)
                work.begun()
                try:
                    waits = act()
                    if waits is not None:
                        await waits
                except Exception as error:  # noqa: BLE001 whatever it is, the next turn tries again
                    work.failed(error)
                else:
                    work.succeeded()

        return self.task(name, repeat, patience_s=patience_s, needed=needed)

    def pulse(self, clock: Clock, name: str = "loop") -> asyncio.Task[None]:
        """A task that says in the log when the event loop, or the whole process, stood still, or work does.

        `clock` is asked for the time at every beat, so that one that is set is noticed within a second.
        """

        async def beat(work: Work) -> None:
            stood_ns: deque[int] = deque(maxlen=_REMEMBERED_BEATS)
            while True:
                before_ns = self._clock.now_ns()
                await self._clock.sleep(_BEAT_S)
                late_ns = self._clock.now_ns() - before_ns - round(_BEAT_S * NS_PER_SECOND)
                stood_ns.append(max(0, late_ns))
                self.stood_ns = max(stood_ns)
                if late_ns > _STANDING_NS:
                    _log.warning("nothing ran for %.1f s", late_ns / NS_PER_SECOND)
                clock.now_ns()
                for each in self.ill():
                    each.overdue()
                work.succeeded()

        return self.task(name, beat, needed=True)

    def thread(
        self,
        name: str,
        run: Callable[[Work], None],
        *,
        patience_s: float = PATIENCE_S,
        vital: bool = False,
    ) -> threading.Thread:
        """A thread, started, that runs `run` until it returns, again and again while it raises."""
        work = self.work(name, patience_s=patience_s, vital=vital)

        def life() -> None:
            while True:
                try:
                    run(work)
                except BaseException as error:  # noqa: BLE001 nothing else would hear of it
                    if self._is_over(work, error):
                        return
                else:
                    self.end(work)
                    return
                time.sleep(_pause_s(work))

        thread = threading.Thread(target=life, name=name, daemon=True)
        thread.start()
        return thread

    async def _run(self, work: Work, run: Callable[[Work], Awaitable[None]]) -> None:
        is_over = False
        try:
            while not is_over:
                try:
                    await run(work)
                except Exception as error:  # noqa: BLE001 nothing else would hear of it
                    is_over = self._is_over(work, error)
                else:
                    return
                if not is_over:
                    await self._clock.sleep(_pause_s(work))
        finally:
            if not is_over:
                self.end(work)

    def _is_over(self, work: Work, error: BaseException) -> bool:
        """Count and log `error`; whether `work` cannot be begun again."""
        work.failed(error)
        if work.vital and self.on_end is not None:
            self.on_end(work.name)
        return work.vital


def beside(name: str, run: Callable[[], T]) -> asyncio.Future[T]:
    """Run `run` in a thread of its own; the future has its result or exception.

    For calls that may never return, as a file on a network that hangs: a stop does not wait for such a
    thread, as it does for those of `asyncio.to_thread`. Cancelling the future abandons the thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def act() -> None:
        result, raised = None, None
        try:
            result = run()
        except BaseException as error:  # noqa: BLE001 the waiter gets it
            raised = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=act, name=name, daemon=True).start()
    return future


@asynccontextmanager
async def ending(task: asyncio.Task[None]) -> AsyncIterator[None]:
    """Cancel `task` when the block ends, and wait until it is over."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _pause_s(work: Work) -> float:
    """Seconds to wait before work that has ended in an error is begun again."""
    return min(_PAUSE_S * 2.0 ** min(work.in_row - 1, 10), _LONGEST_PAUSE_S)
