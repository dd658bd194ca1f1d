"""Worker processes: started, told everything they need, replaced when they die, stopped together.

Problem. One Python process uses one core. Several must look like one gateway from outside: one port, one
data folder, one archive, one set of figures; and the death of one may cost nobody but its own callers.

Decision. The process that is started holds the data folder and serves no calls itself. It has everything of
which there may be one: the folder's lock, the first journal with steps, reports and capacity, the replicas,
archiving, scrubbing, the configuration file, the address for metrics. It parses nothing that a stranger
sends, so what strangers send cannot end it, and none of its work holds up a call. Each worker is a process
of its own with the serving part alone, and a journal of its own.

*One port, a socket each.* The holder makes a listening socket for each worker with SO_REUSEPORT, so that
the kernel spreads connections by a hash; and it keeps them open, so that connections which wait at the
socket of a dead worker are not lost. Until its successor is ready, another worker takes clients from that
socket too (`Cover`). Where the kernel does not spread them (anything but Linux) all take clients from one
socket.

*A worker that dies* is replaced at once, and after a pause that doubles when it dies again soon. Its
successor closes the calls in its journal by the recovery that each start does, with the steps that the
holder has collected before it lets the successor begin. One that answers nothing for `_HANG_S` is killed.

*The holder dies*: the kernel kills the workers (`PR_SET_PDEATHSIG`), and where it cannot, the end of their
channel ends them. They have inherited the folder's lock, so no other instance comes in before they have.

Signals are the holder's to hear; workers ignore them, since a terminal and systemd send them to all, and
only the holder knows in which order to stop.

Rejected. Forking (threads, connections and locks are copied in mid-air); one shared listening socket (of 64
connections opened at once, four workers took 0, 0, 14 and 50; with a socket each 8 to 24); passing each
connection on from the holder (a process more on the path of every connection); the first worker as the
holder (its archiving holds up its own calls, and its death would end everything).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import Any, Final

from inferworks.api.context import Others
from inferworks.clock import SystemClock
from inferworks.cloud.fleet import Fleet
from inferworks.config import Config
from inferworks.errors import UserError
from inferworks.http.server import bind
from inferworks.observe.exposition import exposition
from inferworks.observe.merged import Merged, snapshot
from inferworks.observe.registry import Registry
from inferworks.supervise import Supervisor, Work
from inferworks.units import NS_PER_SECOND
from inferworks.wiring.channel import (
    Applied,
    Ask,
    Channel,
    Configure,
    Cover,
    Failed,
    FromWorker,
    Hello,
    Ready,
    Show,
    Shown,
    Start,
    State,
    Stop,
    Told,
    ToWorker,
    to_worker,
)
from inferworks.wiring.share import share_of, with_live

_MODULE: Final = "inferworks.cli.worker"
_HOLDER: Final = "holder"
_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_NS: Final = 60 * NS_PER_SECOND
"""Life of a worker after which its death counts as the first one."""
_ASK_S: Final = 1.0
_TELL_S: Final = 0.1
_HANG_S: Final = 60.0
"""Seconds without a word after which a worker that was ready is killed."""
_START_S: Final = 600.0
"""The same for one that starts: it may have a long journal to check and many calls to close."""
_PATIENCE_S: Final = 2.0
"""Seconds that a scraper waits for a worker; then its last figures are shown."""
_GRACE_S: Final = 5.0
"""Seconds beyond its time that a stopping worker gets before it is killed."""

_log = logging.getLogger("inferworks.workers")


class WorkerError(UserError):
    """A worker could not start; the message is its own."""


def listeners(host: str, port: int, workers: int) -> list[socket.socket]:
    """Return a listening socket for each worker, all of one port. OSError when it is taken."""
    first = bind(host, port)  # alone, or a port would be shared with whatever has it already
    if sys.platform != "linux":
        return [first, *(first.dup() for _ in range(workers - 1))]
    port = first.getsockname()[1]
    first.close()
    return [bind(host, port, shared=True) for _ in range(workers)]


class _Worker:
    """One worker as the holder knows it: the process of the moment, and the messages from it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"worker-{number}"
        self.state = "starting"
        self.channel: Channel[FromWorker] | None = None
        self.gone = asyncio.Event()
        """Set while there is no process."""
        self.gone.set()
        self.told: Told | None = None
        self.told_ns = 0
        self.sent: State | None = None
        self.answers: list[asyncio.Future[None]] = []
        """Waiters for the next `Told`."""
        self.applied: asyncio.Future[str] | None = None

    def send(self, message: ToWorker) -> None:
        """Send `message` if there is a process."""
        if self.channel is not None:
            self.channel.send(message)


class Workers:
    """The workers of a gateway, and the figures of all of them; a `Board`."""

    def __init__(
        self,
        config: Config,
        sockets: Sequence[socket.socket],
        fleet: Fleet,
        token: str,
        board: Registry | None,
        supervisor: Supervisor,
        settled: MutableMapping[int, int],
    ) -> None:
        """`settled` is told to which position the journal of each worker may be shipped, by its number."""
        self._settled = settled
        self._config = config
        self._sockets = sockets
        self._fleet = fleet
        self._token = token
        self._board = board
        self._clock = SystemClock().carried()
        self._supervisor = supervisor
        self._workers = [_Worker(number) for number in range(1, len(sockets) + 1)]
        self._merged = Merged()
        self._first_failure: asyncio.Future[Exception] | None = None
        self._all_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._showing: set[asyncio.Task[None]] = set()

    @property
    def states(self) -> Mapping[str, str]:
        """The state of each worker: starting, ready or down."""
        return {worker.name: worker.state for worker in self._workers}

    async def text(self) -> bytes:
        """Everything, of all processes, in Prometheus' text format."""
        await self._ask_all()
        if self._board is not None:
            self._merged.take(_HOLDER, snapshot(self._board.families()))
        return await asyncio.to_thread(exposition, self._merged.families())

    async def configure(self, changed: Config) -> None:
        """Have all workers serve by the live parts of `changed`, which was found to be right."""
        self._config = with_live(self._config, changed)
        for worker in self._workers:
            if worker.state != "ready":
                continue  # it is given this one when it begins
            worker.applied = asyncio.get_running_loop().create_future()
            worker.send(Configure(self._share(worker)))
            with suppress(TimeoutError):
                async with asyncio.timeout(_HANG_S):
                    error = await worker.applied
                    if error:
                        _log.error("%s: configuration not reloaded: %s", worker.name, error)
            worker.applied = None

    # --- their life

    @asynccontextmanager
    async def running(self, lock: int) -> AsyncIterator[None]:
        """Run the workers while the block runs, which begins when all are ready; they inherit `lock`."""
        self._first_failure = asyncio.get_running_loop().create_future()
        tasks = [
            self._supervisor.task(worker.name, partial(self._keep, worker, lock))
            for worker in self._workers
        ]
        tasks.append(self._supervisor.every(_ASK_S, "workers-figures", self._look))
        tasks.append(self._supervisor.every(_TELL_S, "workers-state", self._tell))
        ready = asyncio.create_task(self._all_ready.wait())
        try:
            either: set[asyncio.Future[Any]] = {ready, self._first_failure}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise self._first_failure.result()
            yield
        finally:
            ready.cancel()
            await self._stop()
            for task in (*tasks, *self._showing):
                task.cancel()
            await asyncio.wait([*tasks, ready])

    async def _stop(self) -> None:
        """Have every worker finish its calls; from when they stop to listen, nobody does."""
        self._stopping.set()
        for worker in self._workers:
            worker.send(Stop())
        await asyncio.sleep(self._config.gateway.drain_wait_s)
        for bound in self._sockets:
            bound.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.gateway.drain_s + _GRACE_S):
                for worker in self._workers:
                    await worker.gone.wait()

    async def _keep(self, worker: _Worker, lock: int, work: Work) -> None:
        """Run `worker`, again and again."""
        deaths = 0
        while not self._stopping.is_set():
            began_ns = self._clock.now_ns()
            try:
                why = await self._live(worker, lock, work)
            finally:
                self._over(worker)
            if self._stopping.is_set():
                return
            deaths = 1 if self._clock.now_ns() - began_ns > _HEALTHY_NS else deaths + 1
            _log.warning("%s ended (%s); starting it again", worker.name, why)
            if not self._all_ready.is_set():
                self._failed(WorkerError(f"{worker.name} ended before it was ready ({why})"))
            for each in self._workers:  # this one may have covered for others
                if each.state != "ready":
                    self._cover(each, covers=True)
            if deaths > 1:
                pause_s = min(_PAUSE_S * 2.0 ** min(deaths - 2, 10), _LONGEST_PAUSE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._stopping.wait()

    def _failed(self, error: Exception) -> None:
        """Have the start fail with `error`, if it is not over and has not failed yet."""
        if self._first_failure is not None and not self._first_failure.done():
            self._first_failure.set_result(error)

    def _over(self, worker: _Worker) -> None:
        """Forget the process of `worker`, and keep what it has counted."""
        channel, worker.channel = worker.channel, None
        if channel is not None:
            channel.close()
        worker.state, worker.sent = "down", None
        worker.gone.set()
        self._merged.retire(worker.name)
        for waiter in worker.answers:
            waiter.cancel()
        worker.answers.clear()
        worker.told = None
        if worker.applied is not None and not worker.applied.done():
            worker.applied.set_result("it has ended")
        self._tell()

    async def _live(self, worker: _Worker, lock: int, work: Work) -> str:
        """One life of `worker`; says why it ended."""
        ours, theirs = socket.socketpair()
        worker.gone.clear()
        channel = worker.channel = await to_worker(ours)
        worker.state, worker.told_ns = "starting", self._clock.now_ns()
        with closing(theirs):
            files = (theirs.fileno(), *(bound.fileno() for bound in self._sockets))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _MODULE, *map(str, files)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(*files, lock),
                start_new_session=True,  # Ctrl-C is for the holder to hear
            )
        try:
            while (message := await channel.take()) is not None:
                await self._heard(worker, message, work)
            async with asyncio.timeout(_GRACE_S):  # it has closed its channel, so it is ending
                code = await process.wait()
        except TimeoutError:
            code = None
        finally:
            channel.close()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if code is None:
            return "it did not end by itself and was killed"
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    async def _heard(self, worker: _Worker, message: FromWorker, work: Work) -> None:
        """Take in a message of `worker`."""
        worker.told_ns = self._clock.now_ns()
        match message:
            case Hello():
                await self._fleet.collect()  # the steps of calls that its predecessor left open
                worker.sent = self._state_for(worker)
                share, workers = self._share(worker), len(self._workers)
                worker.send(Start(share, worker.number, workers, self._token, worker.sent))
            case Ready():
                worker.state = "ready"
                work.succeeded()
                self._cover(worker, covers=False)
                self._tell()
                if all(one.state == "ready" for one in self._workers):
                    self._all_ready.set()
            case Failed():
                _log.error("%s cannot serve: %s", worker.name, message.error)
                full = OSError(errno.ENOSPC, message.error)
                self._failed(full if message.is_full else WorkerError(message.error))
            case Applied():
                if worker.applied is not None and not worker.applied.done():
                    worker.applied.set_result(message.error)
            case Told():
                worker.told = message
                self._settled[worker.number] = message.settled_to
                self._merged.take(worker.name, message.metrics)
                for waiter in worker.answers:
                    if not waiter.done():
                        waiter.set_result(None)
                worker.answers.clear()
            case Show():
                task = asyncio.create_task(self._show(worker))
                self._showing.add(task)
                task.add_done_callback(self._showing.discard)

    async def _show(self, worker: _Worker) -> None:
        worker.send(Shown(await self.text()))

    def _cover(self, worker: _Worker, *, covers: bool) -> None:
        """Have another worker take the clients of `worker`, or all others no more."""
        for other in self._workers:
            if other is not worker and other.state == "ready":
                other.send(Cover(worker.number, covers))
                if covers:
                    return

    # --- what they tell and are told

    async def _look(self) -> None:
        """Have all workers tell their figures, and kill those that have told nothing for too long."""
        await self._ask_all()
        for worker in self._workers:
            longest_s = _HANG_S if worker.state == "ready" else _START_S
            silent_s = (self._clock.now_ns() - worker.told_ns) / NS_PER_SECOND
            if worker.channel is not None and silent_s > longest_s:
                _log.error("%s has said nothing for %.0f s and is killed", worker.name, silent_s)
                worker.channel.close()

    async def _ask_all(self) -> None:
        """Have the figures of all workers that answer soon."""
        loop, waiters = asyncio.get_running_loop(), list[asyncio.Future[None]]()
        for worker in self._workers:
            if worker.state == "ready":
                waiters.append(loop.create_future())
                worker.answers.append(waiters[-1])
                worker.send(Ask())
        if waiters:
            await asyncio.wait(waiters, timeout=_PATIENCE_S)

    def _tell(self) -> None:
        """Send each worker the state of all else where that has changed."""
        for worker in self._workers:
            state = self._state_for(worker)
            if worker.state == "ready" and worker.sent != state:
                worker.sent = state
                worker.send(state)

    def _state_for(self, worker: _Worker) -> State:
        """The state of everything but `worker`."""
        others = [one for one in self._workers if one is not worker]
        own = self._supervisor.ill()
        failing = [work.name for work in own if work.needed]
        ill = [work.name for work in own if not work.needed]
        for one in others:
            if one.told is not None:
                failing += [f"{one.name}: {part}" for part in one.told.failing]
                ill += [f"{one.name}: {part}" for part in one.told.ill]
            elif one.state != "ready":
                ill.append(one.name)
        told = Others(
            running_calls=sum(one.told.running_calls for one in others if one.told),
            ended=tuple(self._supervisor.ended()),
            failing=tuple(failing),
            ill=tuple(dict.fromkeys(ill)),
            workers=dict(self.states),
        )
        return State(dict(self._fleet.status()), tuple(self._fleet.ready()), told)

    def _share(self, worker: _Worker) -> Config:
        return share_of(self._config, worker.number, len(self._workers))
