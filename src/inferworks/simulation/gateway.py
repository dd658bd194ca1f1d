"""The gateway as a simulated process: started, reloaded, stopped, killed, and left without power."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inferworks.api.response_writer import ResponseWriter
from inferworks.config import load
from inferworks.folder import DataFolder
from inferworks.http.upstream import UpstreamConnection
from inferworks.meter.call_recorder import CallRecorder
from inferworks.simulation.disk import Disk
from inferworks.simulation.loop import SimLoop
from inferworks.simulation.network import Network
from inferworks.simulation.turns import Killed, Process, Turns
from inferworks.wiring.platform import Platform, open_platform
from inferworks.wiring.reload import ConfigSource

HOST: Final = "127.0.0.1"
PORT: Final = 8080
_LOOK_S: Final = 0.005
_OF_CALLS: Final = frozenset({ResponseWriter, CallRecorder, UpstreamConnection})
"""Types that exist only while a call runs, or for a connection of the gateway."""


class Gateway:
    """`inferworks up`, as often as it is started."""

    def __init__(self, turns: Turns, network: Network, disk: Disk, config: Path) -> None:
        """`config` is its configuration file; its data folder lies on `disk`."""
        self.turns = turns
        self.network = network
        self.disk = disk
        self.config = config
        self.folder = DataFolder(Path(disk.root) / "data")
        self.platform: Platform | None = None
        self.error: BaseException | None = None
        """Exception that ended the process; None after a stop."""
        self.complaints: list[str] = []
        """Errors reported to the event loops' handlers only."""
        self.left: list[str] = []
        """Resources that the last process to end by itself had not given back."""
        self.starts = 0
        self.kills = 0
        self._process: Process | None = None
        self._loop: SimLoop | None = None
        self._stop: Callable[[], None] | None = None

    @property
    def runs(self) -> bool:
        """True while a process is there."""
        return self._process is not None and bool(self._process.threads)

    @property
    def is_ready(self) -> bool:
        """True while it answers."""
        return self.runs and self.platform is not None

    async def start(self) -> bool:
        """Start it and wait until it is ready; False when it ended instead, with `error`."""
        self.starts += 1
        self.error = self.platform = None
        process = self._process = Process(f"gateway{self.starts}")
        self.turns.spawn(process.name, self._run, process)
        while self.runs and self.platform is None:  # noqa: ASYNC110 another process sets no event
            await asyncio.sleep(_LOOK_S)
        self.turns.note("ready" if self.is_ready else f"not started: {type(self.error).__name__}")
        return self.is_ready

    async def stop(self, longest_s: float) -> bool:
        """SIGTERM, and wait for the end; False when it does not come in so many seconds."""
        self.turns.note("SIGTERM")
        if self._stop is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)
        until_ns = self.turns.now_ns + round(longest_s * 1e9)
        while self.runs and self.turns.now_ns < until_ns:  # noqa: ASYNC110 it sets no event here
            await asyncio.sleep(_LOOK_S)
        self.platform = None
        return not self.runs

    def kill(self) -> None:
        """Kill with SIGKILL: the kernel closes its files, and keeps its writes."""
        self.kills += 1
        self._die(silently=False)

    def lose_power(self) -> None:
        """Stop the machine: no peer gets a message, and the disk keeps its state."""
        self._die(silently=True)
        self.disk.lose_power()

    def _left(self, process: Process, loop: SimLoop) -> list[str]:
        """The things that a process which ends by itself has not given back."""
        mine = self.turns.current
        found = [f"a thread: {strand.name}" for strand in process.threads if strand is not mine]
        found += [
            f"a connection: {end.number}" for end in self.network.ends if end.process is process
        ]
        found += [
            f"a port: {port}"
            for (_, port), listener in self.network.listeners.items()
            if listener.process is process
        ]
        found += [
            f"a file: {opened.name}"
            for opened in self.disk.descriptors.values()
            if opened.process is process
        ]
        databases = [act for act in process.at_death if "Connection" in act.__qualname__]
        found += [f"a database: {len(databases)}" for _ in databases[:1]]
        names = [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks(loop)]
        return found + [f"a task: {name}" for name in sorted(names)]

    def _die(self, *, silently: bool) -> None:
        process = self._process
        assert process is not None, "what dies was started"
        self.turns.note("loses power" if silently else "SIGKILL")
        self.turns.kill(process)
        self._close(process, silently=silently)
        self.turns.bury(process)
        self.platform = None

    def _close(self, process: Process, *, silently: bool) -> None:
        """Do the kernel's work for a process that has ended."""
        for end in [end for end in self.network.ends if end.process is process]:
            end.vanish(silently=silently)
        self.disk.closed_by_kernel(process)

    def _run(self) -> None:
        loop = self._loop = SimLoop(self.turns, self.network)
        try:
            try:
                loop.run_until_complete(self._serve())
            finally:
                loop.join_threads()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 the caller decides
            self.error = error
        finally:
            self._stop = self._loop = self.platform = None
            process = loop.process
            if not process.dead:
                self.left = self._left(process, loop)
                self._close(process, silently=False)
            loop.drop()
            complaints = loop.complaints
            del loop
            if not process.dead:
                gc.collect()  # now tasks complain whose exceptions nobody has looked at
                self.complaints += complaints
                kept = sorted(
                    type(one).__name__ for one in gc.get_objects() if type(one) in _OF_CALLS
                )
                self.left += [f"an object: {name}" for name in kept]

    async def _serve(self) -> None:
        stop = asyncio.Event()
        self._stop = stop.set
        config = load(self.config, {})
        source = ConfigSource(self.config, lambda: load(self.config, {}))
        async with open_platform(config, {}, source) as platform:
            self.platform = platform
            await stop.wait()
            self.platform = None
