"""Replicas as processes of this machine.

The child tells its port in one JSON line on its standard output when it is ready. Its standard input is
a pipe that only we hold: when this process dies, however it dies, the pipe closes and the child ends
too, so no orphan keeps a port or burns a core.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.errors import UpstreamError

_KILL_AFTER_S = 5.0
"""Beyond its drain time, how long an ending process may take before it is killed."""


class _Ready(msgspec.Struct):
    event: str
    port: int


class ProcessReplica:
    """A replica in a child process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    async def wait(self) -> str:
        """Wait until the process has ended."""
        code = await self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    async def stop(self, drain_s: float) -> None:
        """Ask the process to finish, wait for it, kill it when it does not end."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), drain_s + _KILL_AFTER_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class ProcessBackend:
    """Starts each replica with the command that `command` makes of its spec and spool."""

    def __init__(self, command: Callable[[ReplicaSpec, Path], Sequence[str]]) -> None:
        self._command = command

    async def start(self, spec: ReplicaSpec, spool: Path, timeout_s: float) -> ProcessReplica:
        """Start a process and wait for its ready line."""
        process = await asyncio.create_subprocess_exec(
            *self._command(spec, spool),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us to hear: we let the child finish its calls
        )
        try:
            async with asyncio.timeout(timeout_s):
                port = await _port(process, spec)
        except BaseException as error:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                message = f"replica {spec.replica} was not ready within {timeout_s:g} s"
                raise UpstreamError(message, sent=False) from error
            raise
        return ProcessReplica(process, f"http://127.0.0.1:{port}/v1")


async def _port(process: asyncio.subprocess.Process, spec: ReplicaSpec) -> int:
    """The port in the child's ready line."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    try:
        return msgspec.json.decode(line, type=_Ready).port
    except msgspec.DecodeError:
        message = f"replica {spec.replica} ended before it was ready; its errors are above"
        raise UpstreamError(message, sent=False) from None
