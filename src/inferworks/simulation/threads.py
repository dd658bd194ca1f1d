"""Locks, queues and events for threads that take turns; each behaves as its namesake of the library."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Generic, TypeVar

from inferworks.simulation.turns import Strand, Turns

T = TypeVar("T")


def until(turns: Turns, timeout: float | None) -> int | None:
    """Return the end of a wait of `timeout` seconds that begins now, in nanoseconds; None: never."""
    return None if timeout is None else turns.now_ns + max(0, round(timeout * 1e9))


class Waiters:
    """Threads that wait for the same thing."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._waiting: dict[Strand, None] = {}

    def wait_until(self, is_so: Callable[[], bool], until_ns: int | None = None) -> bool:
        """Wait until `is_so`; False when it is not by `until_ns`."""
        turns = self.turns
        me = turns.current
        while not is_so():
            if until_ns is not None and turns.now_ns >= until_ns:
                return False
            self._waiting[me] = None
            try:
                turns.wait(until_ns)
            finally:
                self._waiting.pop(me, None)
        return True

    def wake(self) -> None:
        """Have them look again."""
        for strand in self._waiting:
            self.turns.wake(strand)


class Lock:
    """`threading.Lock`, or with `again` an `RLock`."""

    def __init__(self, turns: Turns, *, again: bool = False) -> None:
        self._waiters = Waiters(turns)
        self._again = again
        self._owner: Strand | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it."""
        turns = self._waiters.turns
        turns.breathe()
        if self._again and self._owner is turns.current:
            self._depth += 1
            return True
        until_ns = turns.now_ns if not blocking else until(turns, None if timeout < 0 else timeout)
        if not self._waiters.wait_until(lambda: self._depth == 0, until_ns):
            return False
        self._owner, self._depth = turns.current, 1
        return True

    def release(self) -> None:
        """Release the lock. RuntimeError when it is not held."""
        if self._depth == 0:
            raise RuntimeError("release unlocked lock")
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
            self._waiters.wake()

    def locked(self) -> bool:
        """Return whether the lock is held."""
        return self._depth > 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition:
    """`threading.Condition`."""

    def __init__(self, turns: Turns, lock: Lock | None = None) -> None:
        self._turns = turns
        self._lock = lock or Lock(turns, again=True)
        self._waiters = Waiters(turns)
        self._calls: deque[list[bool]] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until notified; False when `timeout` seconds are over first."""
        called = [False]
        self._calls.append(called)
        self._lock.release()
        try:
            return self._waiters.wait_until(lambda: called[0], until(self._turns, timeout))
        finally:
            if called in self._calls:
                self._calls.remove(called)
            self._lock.acquire()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until `predicate` holds."""
        until_ns = until(self._turns, timeout)
        while not predicate():
            if until_ns is not None and self._turns.now_ns >= until_ns:
                return False
            self.wait(None if until_ns is None else (until_ns - self._turns.now_ns) / 1e9)
        return True

    def notify(self, n: int = 1) -> None:
        """Wake `n` waiters."""
        for _ in range(min(n, len(self._calls))):
            self._calls.popleft()[0] = True
        self._waiters.wake()

    def notify_all(self) -> None:
        """Wake all of them."""
        self.notify(len(self._calls))


class Event:
    """`threading.Event`."""

    def __init__(self, turns: Turns) -> None:
        self._waiters = Waiters(turns)
        self._set = False

    def is_set(self) -> bool:
        """True once it has happened."""
        return self._set

    def set(self) -> None:
        """Set the event and wake its waiters."""
        self._set = True
        self._waiters.wake()

    def clear(self) -> None:
        """Clear the event."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for it; False when `timeout` seconds are over first."""
        return self._waiters.wait_until(lambda: self._set, until(self._waiters.turns, timeout))


class SimpleQueue(Generic[T]):
    """`queue.SimpleQueue`."""

    def __init__(self, turns: Turns) -> None:
        self._waiters = Waiters(turns)
        self._items: deque[T] = deque()

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` at the end."""
        self._items.append(item)
        self._waiters.wake()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the first; Empty when there is none in time."""
        turns = self._waiters.turns
        turns.breathe()
        until_ns = until(turns, timeout if block else 0.0)
        if not self._waiters.wait_until(lambda: bool(self._items), until_ns):
            raise Empty
        return self._items.popleft()

    def put_nowait(self, item: T) -> None:
        """Put `item` at the end."""
        self.put(item)

    def get_nowait(self) -> T:
        """Take the first; Empty when there is none."""
        return self.get(block=False)

    def empty(self) -> bool:
        """True while nothing is in it."""
        return not self._items

    def qsize(self) -> int:
        """The number of items."""
        return len(self._items)
