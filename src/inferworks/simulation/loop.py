"""asyncio's own event loop on simulated time: only its waiting, its network and its threads are ours.

Callbacks run in the order in which they were scheduled, as asyncio promises; the seed decides the arrival
of outside events: bytes, the end of a thread, a timer beside another strand.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from inferworks.simulation.network import Factory, Listener, Network, Socket
from inferworks.simulation.turns import Process, Strand, Turns


class _Numbered:
    """Hashed by number and not by address, so that sets have the same order in every run."""

    numbers = count()


def start_numbers() -> None:
    """Number futures and tasks from the beginning."""
    _Numbered.numbers = count()


class SimFuture(asyncio.Future[Any], _Numbered):
    """A future that is the same in every run."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self.number = next(_Numbered.numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimTask(asyncio.Task[Any], _Numbered):
    """A task that is the same in every run."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **arguments: Any) -> None:
        self.number = next(_Numbered.numbers)
        super().__init__(coroutine, **arguments)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Selector:
    """The place where the loop waits."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def select(self, timeout: float | None = None) -> list[object]:
        """Give up the turn until something comes, for `timeout` seconds at most."""
        turns = self._turns
        if timeout is not None and timeout <= 0:
            turns.breathe(0.2)
        else:
            turns.wait(None if timeout is None else turns.now_ns + round(timeout * 1e9) + 1)
        return []

    def close(self) -> None:
        """Do nothing: nothing is open."""


class _Server(asyncio.AbstractServer):
    """A port that is accepted on, until it is closed."""

    def __init__(self, loop: SimLoop, listener: Listener) -> None:
        self._loop = loop
        self._listener = listener

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    async def start_serving(self) -> None:
        """Do nothing: the server serves from the beginning."""

    async def serve_forever(self) -> None:
        await self._loop.create_future()

    def close(self) -> None:
        self._listener.close()

    def is_serving(self) -> bool:
        return self._listener.loop is not None

    async def wait_closed(self) -> None:
        pass


class SimLoop(asyncio.BaseEventLoop):
    """The loop of one simulated process, run by the strand that calls `run_until_complete`."""

    def __init__(self, turns: Turns, network: Network) -> None:
        super().__init__()
        self.turns = turns
        self.network = network
        self.process: Process = turns.process
        self.strand = turns.current
        self.complaints: list[str] = []
        """Errors reported nowhere else: exceptions of callbacks, and of tasks that nobody awaited."""
        self._executed: list[Strand] = []
        self._selector = _Selector(turns)
        self._clock_resolution = 1e-9
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        """Simulated seconds."""
        return self.turns.now_ns / 1e9

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return SimFuture(loop=self)

    def call_soon_threadsafe(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Schedule `callback`; ignored for a dead process."""
        if self.process.dead or self.is_closed():
            if self.process.dead:
                return asyncio.Handle(callback, args, self, context)
            raise RuntimeError("Event loop is closed")
        handle = self.call_soon(callback, *args, context=context)
        self.turns.wake(self.strand)
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Record an error that nothing else handles."""
        if not self.process.dead:
            told = f"{context.get('message')}: {context.get('exception')!r} {context.get('task')!r}"
            self.turns.note(f"complains {context.get('message')}")
            self.complaints.append(told)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run `func` in a thread of this process."""
        future = self.create_future()

        def run() -> None:
            self.turns.breathe(1.0)
            try:
                result, error = func(*args), None
            except Exception as raised:  # noqa: BLE001 the waiter gets it
                result, error = None, raised
            self.call_soon_threadsafe(_settle, future, result, error)

        self._executed.append(self.turns.spawn("to_thread", run))
        return future

    def join_threads(self) -> None:
        """Wait for the threads of `run_in_executor`, as `asyncio.run` does in the end."""
        for strand in self._executed:
            self.turns.join(strand)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """The addresses of `host`; OSError when there is none."""
        network = self.network
        await asyncio.sleep(network.random.randint(1000, 3_000_000) / 1e9)
        if network.manners_of(str(host)).connects == "no name":
            raise OSError(-2, "Name or service not known")
        return [(0, 0, 0, "", (network.names.get(str(host), host), port))]

    async def create_connection(
        self, protocol_factory: Factory, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Connect to `host`."""
        return await self.network.connect(self, protocol_factory, str(host), int(port))

    async def create_server(self, protocol_factory: Factory, *, sock: Any, **_: Any) -> Any:  # type: ignore[override]
        """Accept on a socket that was bound."""
        assert isinstance(sock, Socket), "only simulated sockets are listened on"
        sock.listener.accept(self, protocol_factory)
        return _Server(self, sock.listener)

    def drop(self) -> None:
        """Forget everything, as a kill does."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]
        if not self.is_closed() and not self.is_running():
            self.close()

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        self.turns.wake(self.strand)


def _make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **arguments: Any
) -> SimTask:
    return SimTask(coroutine, loop=loop, **arguments)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
