"""Threads take turns on simulated time, in an order that the seed alone decides."""

from __future__ import annotations

import _thread

import pytest

from inferworks.simulation.turns import Killed, Process, Stuck, Trace, Turns

SECOND_NS = 10**9


def test_time_passes_only_as_it_is_read_or_waited_for(turns: Turns) -> None:
    """A reading takes a moment, so that a busy loop makes progress; a sleep takes no real time."""
    first = turns.read_ns()
    assert first < turns.read_ns() < first + 1000
    began_ns = turns.now_ns
    turns.sleep(600 * SECOND_NS)
    assert 600 * SECOND_NS <= turns.now_ns - began_ns < 601 * SECOND_NS


def test_events_come_in_order_of_their_time(turns: Turns) -> None:
    """The order in which they were scheduled decides only between those of one moment."""
    came: list[str] = []
    for name, delay_s in (("c", 3), ("a", 1), ("b", 1)):
        turns.after(delay_s * SECOND_NS, lambda name=name: came.append(name))  # type: ignore[misc]
    turns.sleep(2 * SECOND_NS)
    assert came == ["a", "b"]
    turns.sleep(2 * SECOND_NS)
    assert came == ["a", "b", "c"]


def test_a_thread_runs_until_it_is_joined(turns: Turns) -> None:
    """A join waits for the end, or says that it has not come in time."""
    done: list[str] = []

    def act() -> None:
        turns.sleep(5 * SECOND_NS)
        done.append(turns.current.name)

    strand = turns.spawn("worker", act)
    assert not turns.join(strand, turns.now_ns + SECOND_NS)
    assert done == []
    assert turns.join(strand)
    assert done == ["worker"]
    assert turns.join(strand), "one that has ended is joined at once"


def test_a_thread_that_is_not_simulated_has_no_strand(turns: Turns) -> None:
    """This thread has the strand of the world; another real one has none."""
    own = turns.mine()
    assert own is turns.current
    assert turns.process is turns.world
    found: list[object] = ["nothing yet"]
    over = _thread.allocate_lock()
    over.acquire()

    def look() -> None:
        found[:] = [turns.mine()]
        over.release()

    _thread.start_new_thread(look, ())
    over.acquire()
    assert found == [None]


def test_a_killed_process_dies_where_it_waits(turns: Turns) -> None:
    """Its threads end, one that has not begun does nothing, and cleanups come last entered first."""
    process, came = Process("victim"), list[str]()

    def act() -> None:
        try:
            turns.sleep(1000 * SECOND_NS)
        except Killed:
            came.append("killed")
            with pytest.raises(Killed):  # it does nothing more on its way out
                turns.check()
            raise

    turns.spawn("waits", act, process)
    turns.sleep(SECOND_NS)
    turns.spawn("late", lambda: came.append("begun"), process)
    process.at_death += [lambda: came.append("first"), lambda: came.append("last")]
    turns.kill(process)
    assert came == ["killed", "last", "first"]
    assert (process.dead, process.threads) == (True, {})


def test_the_garbage_of_a_dead_process_is_collected_in_its_name(turns: Turns) -> None:
    """A finalizer finds that its process is dead, and the world goes on as itself."""
    process, found = Process("victim"), list[bool]()

    class Kept:
        """Refers to itself, so that only a collection finds it."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            found.append(turns.process is process)

    Kept()
    turns.kill(process)
    turns.bury(process)
    assert found == [True]
    assert turns.process is turns.world


def test_when_all_wait_the_run_has_failed(turns: Turns) -> None:
    """Nothing will ever happen: the world is told who waits."""
    turns.wait()  # the first wait ends for nothing
    with pytest.raises(Stuck, match="nothing can go on: world"):
        turns.wait()


def test_no_run_lasts_for_ever(turns: Turns) -> None:
    """An hour is the most, though something would still happen."""
    turns.now_ns = 3601 * SECOND_NS
    with pytest.raises(Stuck, match="nothing can go on"):
        turns.sleep(SECOND_NS)


@pytest.mark.parametrize("in_thread", [True, False])
def test_an_error_that_nobody_caught_ends_the_run(turns: Turns, in_thread: bool) -> None:
    """One of a thread, or of an event, is raised in the world."""

    def act() -> None:
        raise ValueError("of the test")

    if in_thread:
        turns.spawn("worker", act)
    else:
        turns.after(1, act)
    with pytest.raises(ValueError, match="of the test"):
        turns.sleep(SECOND_NS)


def course(seed: int) -> tuple[str, list[str]]:
    """Hash of all events of a run of three threads, and their order."""
    turns, order = Turns(seed, 0), list[str]()

    def act() -> None:
        for _ in range(4):
            turns.breathe()
            turns.note("a step")
            order.append(turns.current.name)

    for strand in [turns.spawn(name, act) for name in "abc"]:
        turns.join(strand)
    return turns.trace.digest(), order


def test_the_seed_alone_decides_the_order() -> None:
    """The same seed gives the same run to the nanosecond; of ten seeds not all give the same order."""
    assert course(3) == course(3)
    assert len({tuple(course(seed)[1]) for seed in range(10)}) > 1


def test_a_trace_shows_the_last_events_and_hashes_all() -> None:
    """Sixty are shown; a difference in one that is no longer shown changes the hash."""
    one, other = Trace(), Trace()
    one.note(0, "who", "this")
    other.note(0, "who", "that")
    for trace in (one, other):
        for number in range(60):
            trace.note(number * SECOND_NS, "who", "what")
    assert one.events == 61
    assert one.last() == other.last()
    assert one.last()[-1] == "     59.000000 who                  what"
    assert one.digest() != other.digest()
