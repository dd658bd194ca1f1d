"""Simulated time, and threads that take turns.

Problem. A run is reproducible only if nothing decides its course but the seed: neither the machine's
clock nor when the kernel lets a thread run.

Decision. Every thread of the simulation is a real thread, and only the one whose turn it is runs. It
gives up its turn where a real one would wait (for a lock, a queue, the disk, the network, time), and here
and there where it would not, since a real one can be interrupted anywhere. The seed chooses the next one.
When nobody can go on, time jumps to the next moment at which something happens. So hours pass in
seconds, and each seed is another order of events.

A process is killed by raising `Killed` in each of its threads where it waits. Whatever they still do on
their way out has no effect, since every simulated system call raises it again.

Rejected. Callbacks instead of threads (the journal's writer would have to be written twice, and the one
under test would not be the one that runs in production); tracing each line (a hundred times slower, and
most lines touch nothing that is shared).
"""

from __future__ import annotations

import _thread
import gc
import hashlib
import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random

_SHOWN = 60
"""Events of the trace that a failure shows."""
_LONGEST_NS = 3600 * 10**9
"""No run takes longer than this, in simulated time."""
_MOST_TURNS = 500_000
"""Most turns of a run, a hundred times the longest ones: more means an endless loop."""
_STEP_NS = (200, 4000)
"""Least and greatest length of a turn, in nanoseconds."""


class Killed(BaseException):
    """The simulated process that this thread belongs to was killed."""


class Stuck(Exception):
    """Every thread waits, and nothing will ever happen."""


class Trace:
    """The events of a run: a hash of all of them, and the last ones in words."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._last: deque[str] = deque(maxlen=_SHOWN)
        self.events = 0

    def note(self, at_ns: int, who: str, what: str) -> None:
        """Take in one event."""
        line = f"{at_ns / 1e9:14.6f} {who:<20} {what}"
        self._hash.update(line.encode())
        self._last.append(line)
        self.events += 1

    def digest(self) -> str:
        """The hash of all events so far."""
        return self._hash.hexdigest()

    def last(self) -> list[str]:
        """The last events."""
        return list(self._last)


class Process:
    """Simulated process: threads that die together, and the kernel's cleanups at their death."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.threads: dict[Strand, None] = {}
        self.at_death: list[Callable[[], None]] = []
        """Cleanups by the kernel when the process dies, last entered first."""


class Strand:
    """A thread of the simulation."""

    __slots__ = ("gate", "joining", "name", "process", "ready", "wake_ns")

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name
        self.gate = _thread.allocate_lock()
        self.gate.acquire()
        self.ready = True
        """True if the strand can go on; while it runs: if it was woken meanwhile."""
        self.wake_ns: int | None = None
        """Time at which it goes on even if it is not woken."""
        self.joining: list[Strand] = []


class Turns:
    """Scheduler that gives turns to strands, and the simulated time."""

    def __init__(self, seed: int, start_ns: int) -> None:
        """The wall clock shows `start_ns` at the beginning."""
        self.random = Random(f"turns {seed}")  # noqa: S311 reproducible, no secret
        self.now_ns = 0
        self.wall_ns = start_ns
        """Wall clock at the beginning; changing it makes the clock step."""
        self.trace = Trace()
        self.switches = 0
        self._taken = 0
        self.failure: BaseException | None = None
        """Reason for the end of the run: an exception that nobody caught, or a deadlock."""
        self._main = Strand(Process("world"), "world")
        self._threads: dict[int, Strand] = {_thread.get_ident(): self._main}
        self._strands: dict[Strand, None] = {self._main: None}
        self._current = self._main
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()

    @property
    def world(self) -> Process:
        """The process of the thread that made this."""
        return self._main.process

    def mine(self) -> Strand | None:
        """The strand of the thread that asks; None for one that is not simulated."""
        return self._threads.get(_thread.get_ident())

    @property
    def current(self) -> Strand:
        """Strand whose turn it is."""
        return self._current

    @property
    def process(self) -> Process:
        """Process of the strand whose turn it is."""
        return self._current.process

    def note(self, what: str) -> None:
        """Add `what` to the trace."""
        self.trace.note(self.now_ns, self._current.name, what)

    def check(self) -> None:
        """Killed when the process was: nothing it does has an effect any more."""
        if self._current.process.dead:
            raise Killed

    def read_ns(self) -> int:
        """Return the time; each reading advances it a little, so that a busy loop makes progress."""
        self.now_ns += 40
        return self.now_ns

    def after(self, delay_ns: int, act: Callable[[], None]) -> None:
        """Schedule `act` after `delay_ns`, in the thread whose turn it is then; it must not wait."""
        heapq.heappush(self._events, (self.now_ns + delay_ns, next(self._numbers), act))

    def wake(self, strand: Strand) -> None:
        """Let `strand` go on."""
        strand.ready = True

    def wait(self, until_ns: int | None = None) -> None:
        """Give up the turn until woken, perhaps for nothing, or until `until_ns`."""
        me = self._current
        self.check()
        me.wake_ns = until_ns
        self._pass_on(me)

    def sleep(self, delay_ns: int) -> None:
        """Give up the turn for `delay_ns`."""
        until_ns = self.now_ns + delay_ns
        while self.now_ns < until_ns:
            self.wait(until_ns)

    def breathe(self, chance: float = 0.3) -> None:
        """A moment at which another may be faster."""
        self.check()
        if len(self._strands) > 1 and self.random.random() < chance:
            self._current.ready = True
            self._pass_on(self._current)

    def spawn(self, name: str, act: Callable[[], None], process: Process | None = None) -> Strand:
        """A new thread, of this process unless another is named."""
        process = process or self.process
        strand = Strand(process, name)
        process.threads[strand] = None
        self._strands[strand] = None

        def run() -> None:
            strand.gate.acquire()
            self._threads[_thread.get_ident()] = strand
            strand.ready = False
            try:
                self.check()
                act()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 shown by the run that it ends
                self.failure = error
                self._main.ready = True
            finally:
                del self._threads[_thread.get_ident()]
                del self._strands[strand]
                strand.process.threads.pop(strand, None)
                for other in strand.joining:
                    other.ready = True
                self._give(self._next())

        _thread.start_new_thread(run, ())
        return strand

    def join(self, strand: Strand, until_ns: int | None = None) -> bool:
        """Wait for the end of `strand`; False when it has not come by `until_ns`."""
        while strand in self._strands:
            if until_ns is not None and self.now_ns >= until_ns:
                return False
            strand.joining.append(self._current)
            self.wait(until_ns)
        return True

    def kill(self, process: Process) -> None:
        """Kill `process`, and wait until nothing of it runs."""
        process.dead = True
        for strand in process.threads:
            strand.ready = True
        for strand in list(process.threads):
            self.join(strand)
        while process.at_death:
            process.at_death.pop()()

    def bury(self, process: Process) -> None:
        """Collect the garbage of a dead process in its name, so that finalizers have no effect."""
        me = self._current
        mine, me.process = me.process, process
        try:
            gc.collect()
            gc.collect()  # what came to life again on its way out
        finally:
            me.process = mine

    def _pass_on(self, me: Strand) -> None:
        chosen = self._next()
        if chosen is not me:
            self._give(chosen)
            me.gate.acquire()
        me.ready, me.wake_ns = False, None
        if me is self._main and self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.check()

    def _give(self, chosen: Strand) -> None:
        self.switches += 1
        self._current = chosen
        chosen.gate.release()

    def _next(self) -> Strand:
        """The strand that goes on; time passes until one can."""
        self.now_ns += self.random.randrange(*_STEP_NS)
        self._taken += 1
        if self._taken == _MOST_TURNS:
            self.failure, self._main.ready = Stuck("something goes round in circles"), True
        while True:
            while self._events and self._events[0][0] <= self.now_ns:
                act = heapq.heappop(self._events)[2]
                try:
                    act()
                except Exception as error:  # noqa: BLE001 of the simulation itself: it ends the run
                    self.failure, self._main.ready = error, True
            able = [
                strand
                for strand in self._strands
                if strand.ready or (strand.wake_ns is not None and strand.wake_ns <= self.now_ns)
            ]
            if able:
                return able[0] if len(able) == 1 else self.random.choice(able)
            moments = [strand.wake_ns for strand in self._strands if strand.wake_ns is not None]
            if self._events:
                moments.append(self._events[0][0])
            if not moments or self.now_ns > _LONGEST_NS:
                names = ", ".join(strand.name for strand in self._strands)
                self.failure = Stuck(f"nothing can go on: {names}")
                return self._main
            self.now_ns = max(self.now_ns, min(moments))
