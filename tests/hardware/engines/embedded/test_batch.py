"""Choice of the sequences that run in the next step."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.hardware.engines.embedded.batch import Batch, Chunk, Move, QueuedSequence, Step


def batch(slots: int = 4, waiting: int = 10) -> Batch:
    """A batch that reads eight tokens at a time."""
    return Batch(slots, waiting, chunk_tokens=8)


def turn(it: Batch) -> tuple[Chunk | None, list[tuple[int, int, int]]]:
    """Take one step; return the chunk, and (ticket, choice, length) of the rows it wrote for."""
    step: Step = it.plan()
    if step.chunk is not None:
        it.read(step.chunk)
    for seat in step.seats:
        seat.length += 1
    return step.chunk, [(s.ticket, s.choice, s.length) for s in step.seats]


def test_join_and_leave_table() -> None:
    """Step by step: prompts are read one at a time beside the running rows, which join and leave."""
    it = batch()
    assert it.join(QueuedSequence(1, 5, 1))
    assert it.join(QueuedSequence(2, 20, 2))
    assert turn(it) == (Chunk(1, 0, 5, last=True), [])
    assert turn(it) == (Chunk(2, 0, 8, last=False), [(1, 0, 6)])
    assert turn(it) == (Chunk(2, 8, 16, last=False), [(1, 0, 7)])
    assert turn(it) == (Chunk(2, 16, 20, last=True), [(1, 0, 8)])
    assert turn(it) == (None, [(1, 0, 9), (2, 0, 21), (2, 1, 21)])
    first = it.plan().seats[0]
    assert it.leave(first) == Move(source=2, target=0, length=21)
    assert turn(it) == (None, [(2, 1, 22), (2, 0, 22)])
    assert it.withdraw(2) == (Move(source=1, target=0, length=22),)
    assert it.empty


def test_first_come_first_served() -> None:
    """A call that needs two rows is not overtaken by a later one that needs one."""
    it = batch(slots=2)
    for ticket, choices in ((1, 1), (2, 2), (3, 1)):
        it.join(QueuedSequence(ticket, 3, choices))
    turn(it)
    assert turn(it) == (None, [(1, 0, 4)])
    it.withdraw(1)
    assert turn(it) == (Chunk(2, 0, 3, last=True), [])
    assert turn(it) == (None, [(2, 0, 4), (2, 1, 4)])


def test_the_queue_is_bounded() -> None:
    """Beyond the limit a call is turned away, and the others are not touched."""
    it = batch(waiting=1)
    assert it.join(QueuedSequence(1, 3, 1))
    assert not it.join(QueuedSequence(2, 3, 1))
    assert it.waiting == 1


def test_withdrawn_while_waiting_and_at_the_desk() -> None:
    """A call can be given up before it runs, even half read, and the next takes the desk."""
    it = batch()
    for ticket in (1, 2, 3):
        it.join(QueuedSequence(ticket, 20, 1))
    turn(it)
    it.withdraw(1)
    it.withdraw(2)
    assert turn(it) == (Chunk(3, 0, 8, last=False), [])
    it.withdraw(3)
    assert it.empty
    it.withdraw(3)


EVENTS = st.one_of(
    st.tuples(st.just("join"), st.integers(1, 30), st.integers(1, 3)),
    st.tuples(st.just("leave"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("withdraw"), st.integers(1, 12), st.just(0)),
    st.tuples(st.just("step"), st.just(0), st.just(0)),
)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=60))
def test_moves_keep_every_sequence_in_its_row(events: list[tuple[str, int, int]]) -> None:
    """A cache that follows the moves has each sequence where the plan says, after any events."""
    it, cache, ticket = batch(), dict[int, tuple[int, int]](), 0
    for kind, a, b in events:
        moves: tuple[Move | None, ...] = ()
        if kind == "join":
            ticket += 1
            it.join(QueuedSequence(ticket, a, b))
        elif kind == "leave" and a < it.running:
            moves = (it.leave(it.plan().seats[a]),)
        elif kind == "withdraw":
            moves = it.withdraw(a)
        elif kind == "step" and (chunk := it.plan().chunk) is not None:
            for row, seat in it.read(chunk):
                cache[row] = (seat.ticket, seat.choice)
        for move in moves:
            if move is not None:
                cache[move.target] = cache[move.source]
        seats = it.plan().seats
        assert len(seats) <= 4
        assert [cache[row] for row in range(len(seats))] == [(s.ticket, s.choice) for s in seats]
