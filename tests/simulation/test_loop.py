"""asyncio's event loop on simulated time, the same in every run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from inferworks.simulation.loop import SimLoop, start_numbers
from inferworks.simulation.network import Network
from inferworks.simulation.turns import Turns


@pytest.fixture
def loop(turns: Turns) -> Iterator[SimLoop]:
    """A loop of this thread."""
    made = SimLoop(turns, Network(turns, 1))
    yield made
    made.drop()


def test_time_is_simulated(loop: SimLoop, turns: Turns) -> None:
    """A sleep of ten minutes ends ten minutes later, and takes none."""
    began_s = loop.time()
    loop.run_until_complete(asyncio.sleep(600))
    assert 600 <= loop.time() - began_s < 601
    assert loop.time() == turns.now_ns / 1e9


def test_callbacks_keep_their_order(loop: SimLoop) -> None:
    """Due ones come in the order in which they were scheduled, timers by their time."""
    came: list[int] = []

    async def work() -> None:
        loop.call_later(0.2, came.append, 3)
        loop.call_later(0.1, came.append, 2)
        for number in (0, 1):
            loop.call_soon(came.append, number)
        await asyncio.sleep(1)

    loop.run_until_complete(work())
    assert came == [0, 1, 2, 3]


def test_a_function_runs_in_a_thread(loop: SimLoop) -> None:
    """Its result, or its error, comes to who waits for it."""

    async def work() -> tuple[int, str]:
        result = await loop.run_in_executor(None, divmod, 7, 2)
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 7, 0)
        return result[0], type(result).__name__

    assert loop.run_until_complete(work()) == (3, "tuple")


def test_threads_are_joined_in_the_end(loop: SimLoop, turns: Turns) -> None:
    """A thread that nobody waited for has ended when `join_threads` returns."""
    done: list[bool] = []

    def act() -> None:
        turns.sleep(10**9)
        done.append(True)

    async def work() -> None:
        loop.run_in_executor(None, act).cancel()

    loop.run_until_complete(work())
    loop.join_threads()
    assert done == [True]


def test_futures_and_tasks_are_numbered(loop: SimLoop) -> None:
    """Hashes are numbers from 0 on, so that sets are alike in every run; each equals itself alone."""

    async def nothing() -> None:
        pass

    start_numbers()
    one, other = loop.create_future(), loop.create_future()
    task = loop.create_task(nothing())
    assert (hash(one), hash(other), hash(task)) == (0, 1, 2)
    assert list({other, one}) == list({one, other})
    assert one not in (other, task)
    assert task != other
    start_numbers()
    assert hash(loop.create_future()) == 0
    loop.run_until_complete(task)


def test_an_error_that_nothing_handles_is_a_complaint(loop: SimLoop) -> None:
    """A complaint is kept with its words and does not end the loop; a dead process has none."""

    async def work() -> None:
        loop.call_soon(divmod, 1, 0)
        await asyncio.sleep(1)

    loop.run_until_complete(work())
    [told] = loop.complaints
    assert "ZeroDivisionError" in told
    loop.process.dead = True
    loop.call_exception_handler({"message": "late"})
    loop.process.dead = False
    assert loop.complaints == [told]


def test_a_closed_loop_takes_no_callback(loop: SimLoop) -> None:
    """A living process is told so; a dead one gets no answer, and nothing is run."""
    ran: list[int] = []
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon_threadsafe(ran.append, 1)
    loop.process.dead = True
    assert loop.call_soon_threadsafe(ran.append, 1) is not None
    loop.process.dead = False
    assert ran == []


def test_a_kill_forgets_what_was_due(loop: SimLoop) -> None:
    """Callbacks and timers that were scheduled do not come."""
    came: list[int] = []
    loop.call_soon(came.append, 1)
    loop.call_later(1, came.append, 2)
    loop.drop()
    assert loop.is_closed()
    assert came == []


def test_only_simulated_sockets_are_listened_on(loop: SimLoop) -> None:
    """A real one would leave the simulation."""
    with pytest.raises(AssertionError, match="only simulated sockets are listened on"):
        loop.run_until_complete(loop.create_server(asyncio.Protocol, sock=object()))
