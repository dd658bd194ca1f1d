"""Background work is begun again, counted, logged and seen, however it fails."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from inferworks.clock import SimClock
from inferworks.errors import DataFolderError
from inferworks.supervise import Supervisor, Work, ending

S = 1_000_000_000
SOURCE = Path(__file__).parent.parent / "src" / "inferworks"
BEGINS = re.compile(r"\b(create_task|ensure_future|Thread|ThreadPoolExecutor)\(")
AWAITED = {
    "accounts/keyring.py": "its two threads are awaited by the supervised looks and syncs of the keys",
    "api/admin/app.py": "its threads are awaited by the request that they answer",
    "api/questions.py": "its threads are awaited by the request that they answer",
    "books/bills/worker.py": "the import waits for its answers, and ends the process when its output ends",
    "cli/last_resort.py": "it does nothing but end the process",
    "cloud/bodies/aside.py": "its threads are awaited by the call whose body they read",
    "cloud/credentials/renewed.py": "it catches whatever its fetch raises, for those who wait for it",
    "cloud/fleet.py": "a start waits for it; the keepers are supervised",
    "cloud/serving/hedging.py": "its call waits for it",
    "hardware/engines/embedded/engine.py": "the replica ends when its engine does",
    "hardware/engines/embedded/serve.py": "the replica ends when one of them does",
    "http/connection.py": "it is the call; what escapes it is reported",
    "limits/limiter.py": "what it does not draw ahead is drawn by the call that needs it",
    "meter/journal.py": "its writer is watched by vital work",
    "outlet.py": "what it cannot write is counted, and the supervised log looks whether it gets on",
    "wiring/holder.py": "whatever it raises is answered to the gateway, which waits for it",
    "wiring/reload.py": "supervised work waits for it",
    "wiring/workers.py": "the start waits for it, and a worker for the metrics that it asked for",
    "supervise.py": "it is what supervises",
}
"""Places that begin tasks and threads without a supervisor, and the one that sees their end."""


def names(works: Iterable[Work]) -> list[str]:
    """Names of `works`."""
    return [work.name for work in works]


def simulate(test: Callable[[SimClock, Supervisor], Awaitable[None]]) -> None:
    """Run `test` with a simulated clock; at its end no task is left."""

    async def run() -> None:
        clock = SimClock()
        await test(clock, Supervisor(clock))
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_work_that_hangs_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A turn that takes longer than it may is one failure and one line, and its end is another line."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        work = supervisor.work("reading", patience_s=60.0)
        async with ending(supervisor.pulse(clock)):
            work.begun()
            await clock.advance(300)
            assert (names(supervisor.ill()), work.failures) == (["reading"], 1)
            work.succeeded()
            work.begun()
            await clock.advance(10)
            work.succeeded()
            assert (names(supervisor.ill()), work.failures) == ([], 1)

    with caplog.at_level(logging.WARNING):
        simulate(test)
    said = [record.getMessage() for record in caplog.records]
    assert re.sub(r"\d+", "N", said[0]) == "reading has been at one turn for N s"
    assert said[1:] == ["reading works again"]


def test_work_that_fails_is_tried_at_every_turn(caplog: pytest.LogCaptureFixture) -> None:
    """A failure ends nothing: the next turn comes as usual, and says when it works again."""
    turns: list[float] = []

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        def act() -> None:
            turns.append(clock.now_ns() / 1e9)
            if 2 <= len(turns) <= 4:
                raise OSError("no such disk")

        async with ending(supervisor.every(1.0, "keys", act)):
            await clock.advance(1.5)
            work = supervisor.works["keys"]
            assert (work.failures, work.unwell_ns, work.age_ns) == (0, 0, S // 2)
            await clock.advance(3)
            assert (work.failures, work.in_row, work.unwell_ns, work.age_ns) == (
                3,
                3,
                5 * S // 2,
                7 * S // 2,
            )
            assert supervisor.ill() == []
            await clock.advance(1)
            assert (work.failures, work.in_row, work.unwell_ns) == (3, 0, 0)
        assert supervisor.works == {}

    simulate(test)
    assert turns == [1, 2, 3, 4, 5]
    assert caplog.text.count("keys failed: OSError: no such disk") == 3
    assert caplog.text.count("Traceback") == 1, "the first of a row tells where"
    assert "keys works again, after 3 failures" in caplog.text


def test_a_failure_that_is_foreseen_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk is told with what to do about it; where in the program it showed helps nobody."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        def act() -> None:
            try:
                raise OSError("no room")
            except OSError as error:
                raise DataFolderError("the disk is full: make room") from error

        async with ending(supervisor.every(1.0, "keys", act)):
            await clock.advance(1.5)

    simulate(test)
    assert "keys failed: DataFolderError: the disk is full: make room" in caplog.text
    assert "Traceback" not in caplog.text


def test_work_that_waits_is_awaited_and_may_hang() -> None:
    """A turn that does not come to its end makes the work ill, though nothing has failed."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        async def act() -> None:
            await clock.sleep(100)

        async with ending(supervisor.every(1.0, "step-traces", act, patience_s=60)):
            await clock.advance(60.5)
            assert supervisor.ill() == []
            await clock.advance(1)
            assert names(supervisor.ill()) == ["step-traces"]
            await clock.advance(40)
            assert supervisor.ill() == []

    simulate(test)


def test_a_loop_that_raises_is_begun_again_after_longer_and_longer_pauses() -> None:
    """A failing loop is begun again after 0.5, 1, 2 ... seconds, 30 at most, and anew after a success."""
    begun: list[float] = []

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        async def run(work: Work) -> None:
            begun.append(clock.now_ns() / 1e9)
            if len(begun) == 10:
                work.succeeded()
            raise RuntimeError

        async with ending(supervisor.task("replica-0", run)):
            await clock.advance(120)
            assert names(supervisor.ill()) == ["replica-0"]
            await clock.advance(33)

    simulate(test)
    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 0.5, 1, 2, 4, 8, 16]


def test_work_that_returns_is_over() -> None:
    """Work that ends as it should is neither begun again nor looked for."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        async def run(work: Work) -> None:
            await clock.sleep(1)

        task = supervisor.task("once", run)
        await clock.advance(2)
        assert task.done()
        assert supervisor.works == {}

    simulate(test)


def test_a_pause_can_be_cut_short() -> None:
    """Work that waits to be begun again ends when it is told to, and is then not looked for."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        async def run(work: Work) -> None:
            raise RuntimeError

        async with ending(supervisor.task("loop", run)):
            await clock.advance(0.1)
        assert supervisor.works == {}

    simulate(test)


def test_vital_work_ends_the_program() -> None:
    """Vital work is not begun again: it is ill from its failure on, and `on_end` is told."""
    ended: list[str] = []
    begun: list[int] = []

    async def test() -> None:
        clock = SimClock()
        supervisor = Supervisor(clock)
        supervisor.on_end = ended.append

        async def run(work: Work) -> None:
            begun.append(1)
            raise RuntimeError

        task = supervisor.task("vital", run, vital=True)
        await clock.advance(100)
        assert task.done()
        assert task.exception() is None
        assert names(supervisor.ill()) == ["vital"]

    asyncio.run(test())
    assert (ended, begun) == (["vital"], [1])


@pytest.mark.slow
def test_a_thread_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    """An exception does not end a thread; returning does, and then it is not looked for."""
    supervisor = Supervisor()
    turns = 0
    again = threading.Event()

    def run(work: Work) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise SystemExit
        again.set()

    thread = supervisor.thread("transcripts", run)
    assert supervisor.works["transcripts"].name == "transcripts"
    assert again.wait(10)
    thread.join(10)
    assert not thread.is_alive()
    assert turns == 2
    assert supervisor.works == {}
    assert "transcripts failed: SystemExit" in caplog.text


def test_a_vital_thread_is_not_begun_again() -> None:
    """A vital thread tells `on_end` itself."""
    ended: list[str] = []
    supervisor = Supervisor()
    supervisor.on_end = ended.append

    def run(work: Work) -> None:
        raise MemoryError

    supervisor.thread("journal", run, vital=True).join(10)
    assert ended == ["journal"]
    assert names(supervisor.ill()) == ["journal"]


def test_a_set_clock_makes_nothing_ill() -> None:
    """Ages and patience go by time that passes, not by what the wall clock says."""

    async def test(clock: SimClock, supervisor: Supervisor) -> None:
        def act() -> None:
            raise OSError

        async with ending(supervisor.every(1.0, "keys", act)):
            await clock.advance(2.5)
            work = supervisor.works["keys"]
            for now_ns in (10**18, 5):
                clock.set(now_ns)
                assert (work.age_ns, work.unwell_ns) == (5 * S // 2, 3 * S // 2)
            assert supervisor.ill() == []

    simulate(test)


def test_another_of_a_name_takes_its_place() -> None:
    """Work that is over does not take what has come in its place off the list."""
    supervisor = Supervisor()
    old, new = supervisor.work("x"), supervisor.work("x")
    supervisor.end(old)
    assert supervisor.works == {"x": new}


def test_nothing_runs_unseen() -> None:
    """Each place that begins a task or a thread has a supervisor, or a reason why its end is seen."""
    rooms = {path.relative_to(SOURCE): path for path in SOURCE.rglob("*.py")}
    apart = {"testing", "simulation", "demo"}
    begins = {
        str(place)
        for place, path in rooms.items()
        if place.parts[0] not in apart and BEGINS.search(path.read_text("utf-8"))
    }
    assert begins == set(AWAITED)


def test_failures_are_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator is told of the first failure, with what and where."""
    with caplog.at_level(logging.ERROR):
        Supervisor().work("sealing").failed(ValueError("a bad row"))
    assert "sealing failed: ValueError: a bad row" in caplog.text


class Late(SimClock):
    """Wakes everybody so many seconds late."""

    late_s = 0.0

    async def sleep(self, seconds: float) -> None:
        """Sleep longer."""
        await super().sleep(seconds + self.late_s)


def test_a_loop_that_stood_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The longest stall of the last minute can be read, and a long one is in the log."""

    async def test() -> None:
        clock = Late()
        supervisor = Supervisor(clock)
        async with ending(supervisor.pulse(clock)):
            await clock.advance(3.5)
            assert supervisor.stood_ns == 0
            clock.late_s = 6.0
            await clock.advance(8)
            assert supervisor.stood_ns == 6 * S
            clock.late_s = 0.0
            await clock.advance(70)
            assert supervisor.stood_ns == 0

    asyncio.run(test())
    assert set(caplog.messages) == {"nothing ran for 6.0 s"}
