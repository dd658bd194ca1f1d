"""Locks, conditions, events and queues behave as their namesakes of the library."""

from __future__ import annotations

from queue import Empty

import pytest

from inferworks.simulation.threads import Condition, Event, Lock, SimpleQueue, until
from inferworks.simulation.turns import Turns


def test_a_lock_is_held_by_one(turns: Turns) -> None:
    """A second taker waits as long as it is told, and has the lock when it is released."""
    lock, came = Lock(turns), list[str]()

    def wait() -> None:
        with lock:
            came.append("taken")

    assert lock.acquire()
    assert lock.locked()
    assert not lock.acquire(blocking=False)
    before_ns = turns.now_ns
    assert not lock.acquire(timeout=2.0)
    assert turns.now_ns - before_ns >= 2 * 10**9
    strand = turns.spawn("waits", wait)
    turns.sleep(10**9)
    assert came == []
    lock.release()
    turns.join(strand)
    assert came == ["taken"]
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()


@pytest.mark.parametrize("seed", range(3))
def test_no_update_under_a_lock_is_lost(seed: int) -> None:
    """Threads that are interrupted between reading and writing still count to the sum."""
    turns = Turns(seed, 0)
    lock, total = Lock(turns), [0]

    def add() -> None:
        for _ in range(10):
            with lock:
                before = total[0]
                turns.breathe(0.9)
                total[0] = before + 1

    for strand in [turns.spawn(name, add) for name in "abc"]:
        turns.join(strand)
    assert total == [30]


def test_a_lock_may_be_taken_again_by_its_holder_alone(turns: Turns) -> None:
    """The lock is free after as many releases as it was taken times."""
    lock, free = Lock(turns, again=True), list[bool]()

    def look() -> None:
        free.append(lock.acquire(blocking=False))

    with lock:
        with lock:
            turns.join(turns.spawn("another", look))
        turns.join(turns.spawn("another", look))
    turns.join(turns.spawn("another", look))
    assert free == [False, False, True]


def test_a_condition_wakes_as_many_as_are_notified(turns: Turns) -> None:
    """One by one, or all; who waits longest is first."""
    condition, woken = Condition(turns), list[str]()

    def wait(name: str) -> None:
        with condition:
            condition.wait()
            woken.append(name)

    strands = []
    for name in "abc":
        strands.append(turns.spawn(name, lambda name=name: wait(name)))  # type: ignore[misc]
        turns.sleep(10**6)
    with condition:
        condition.notify()
    turns.join(strands[0])
    turns.sleep(10**6)
    assert woken == ["a"]
    with condition:
        condition.notify_all()
    for strand in strands:
        turns.join(strand)
    assert sorted(woken) == ["a", "b", "c"]


def test_a_condition_waits_no_longer_than_it_is_told(turns: Turns) -> None:
    """False when nobody has notified it, or the predicate does not hold in time."""
    condition = Condition(turns)
    with condition:
        assert not condition.wait(1.0)
        assert not condition.wait_for(lambda: False, 1.0)
        assert condition.wait_for(lambda: True)


def test_a_notice_to_nobody_is_forgotten(turns: Turns) -> None:
    """A wait that begins later gets none of it, and ends in its own time with the lock held."""
    lock = Lock(turns)
    condition = Condition(turns, lock)
    with condition:
        condition.notify(3)
        before_ns = turns.now_ns
        assert not condition.wait(1.0)
        assert 10**9 <= turns.now_ns - before_ns < 2 * 10**9
        assert lock.locked()
    assert not lock.locked()


def test_an_event_stays_set_until_it_is_cleared(turns: Turns) -> None:
    """A wait for one that is set returns at once; one that is not set may be waited for in vain."""
    event = Event(turns)
    assert (event.is_set(), event.wait(0.5)) == (False, False)
    turns.after(10**9, event.set)
    assert event.wait()
    assert (event.is_set(), event.wait(0)) == (True, True)
    event.clear()
    assert not event.wait(0)


def test_a_queue_gives_first_what_came_first(turns: Turns) -> None:
    """A reader waits for an item, or finds it Empty when none comes in time."""
    queue = SimpleQueue[int](turns)
    assert (queue.empty(), queue.qsize()) == (True, 0)
    for attempt in (queue.get_nowait, lambda: queue.get(timeout=0.5)):
        with pytest.raises(Empty):
            attempt()
    turns.after(10**9, lambda: queue.put(1))
    assert queue.get() == 1
    queue.put_nowait(2)
    queue.put(3)
    assert (queue.empty(), queue.qsize()) == (False, 2)
    assert [queue.get(), queue.get_nowait()] == [2, 3]


def test_a_wait_without_a_limit_has_no_end(turns: Turns) -> None:
    """None is never; a limit below zero is now."""
    turns.now_ns = 5
    assert (until(turns, None), until(turns, 2e-9), until(turns, -1.0)) == (None, 7, 5)
