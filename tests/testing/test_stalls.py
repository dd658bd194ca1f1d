"""The watch over event loops: it sees what held one, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest
import uvloop

from inferworks.testing import stalls
from inferworks.testing.stalls import MOST_S, stolen_s, watched

LONG_S = 10 * MOST_S
"""Too long on any machine, and long enough to be seen where others have most of the processor."""


def keep_busy(seconds: float) -> None:
    """Use so much of the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def busy_for(seconds: float) -> None:
    """Keep the loop for so much of the processor."""
    keep_busy(seconds)


@pytest.mark.slow
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_callback_that_holds_the_loop_is_found(run) -> None:
    """A stall is reported with its duration and its place."""

    async def main() -> None:
        await asyncio.sleep(0.01)
        keep_busy(LONG_S)
        await asyncio.sleep(0.01)

    with watched() as found:
        run(main())
    (stall,) = found
    assert stall.seconds > MOST_S
    assert "keep_busy" in str(stall)
    assert stall.is_in([str(Path(__file__).parent)])
    assert not stall.is_in(["/nowhere"])


@pytest.mark.slow
def test_what_holds_the_loop_to_its_end_is_found() -> None:
    """A stall is found also when no beat comes after it."""
    with watched() as found:
        uvloop.run(busy_for(LONG_S))
    assert len(found) == 1


def test_many_short_steps_are_none() -> None:
    """A loop that is busy for long, but free in between, stands for nobody."""

    async def main() -> None:
        for _ in range(40):
            keep_busy(0.005)
            await asyncio.sleep(0)

    with watched() as found:
        uvloop.run(main())
    assert not found


def test_waiting_and_garbage_are_none() -> None:
    """Time in which others have the processor does not count, nor do collections of garbage."""

    async def main() -> None:
        time.sleep(MOST_S * 2)  # noqa: ASYNC251 as a slow disk would
        began_s = time.thread_time()
        while time.thread_time() - began_s < MOST_S * 2:
            gc.collect()

    with watched() as found:
        uvloop.run(main())
    assert not found


@pytest.mark.slow
def test_what_others_steal_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that a virtual machine did not have did not keep the loop."""
    began_s = time.thread_time()
    monkeypatch.setattr(stalls, "stolen_s", lambda: time.thread_time() - began_s)
    with watched() as found:
        uvloop.run(busy_for(LONG_S))
    assert not found


def test_stolen_time_grows() -> None:
    """Stolen time is told in seconds, and is 0 where the system does not tell."""
    before_s = stolen_s()
    assert 0.0 <= before_s <= stolen_s() < 10**9


def test_threads_are_not_the_loop() -> None:
    """Work in another thread holds up nobody."""

    async def main() -> None:
        await asyncio.to_thread(keep_busy, MOST_S * 2)

    with watched() as found:
        uvloop.run(main())
    assert not found
