"""Replicas as processes of this machine.

The child tells its port in one JSON line on its standard output when it is ready. Its standard input is
a pipe that only we hold: when this process dies, however it dies, the pipe closes and the child ends
too, so no orphan keeps a port or burns a core.

A port of the loopback is open to every user of the machine, and what a replica answers there nobody meters.
So a replica answers only to who knows its token. It is the first line of the child's standard input: a
command line can be read by all, and an environment is passed on to whatever the child starts.

The child's environment holds what a program needs to run, by name (`_NEEDED`), and none of our secrets.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.errors import UpstreamError
from inferworks.http.client import Origin

_KILL_AFTER_S = 5.0
"""Beyond its drain time, how long an ending process may take before it is killed."""

_ASK = b"GET /health HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n"

_NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|SSL_CERT_(FILE|DIR)"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|PYTHON\w+|COVERAGE_\w+"
    r"|(OMP|OPENBLAS|MKL|GOTO|ORT|CUDA|NVIDIA|NCCL|ROCR|HIP|ROCM|TORCH|VLLM|HF)_\w+"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a replica needs: paths, languages, library settings; no secret."""
    return {
        name: value
        for name, value in environment.items()
        if _NEEDED.fullmatch(name) and not _SECRET.search(name)
    }


class _Ready(msgspec.Struct):
    event: str
    port: int


class ProcessReplica:
    """A replica in a child process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._origin = Origin.parse(url)
        self._process = process

    async def wait(self) -> str:
        """Wait until the process has ended."""
        code = await self._process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit status {code}"

    async def answer(self) -> None:
        """Ask how it does: whatever comes back, an error too, shows that its loop runs."""
        reader, writer = await asyncio.open_connection(self._origin.host, self._origin.port)
        try:
            writer.write(_ASK)
            await reader.read(1)
        finally:
            writer.close()

    async def kill(self) -> None:
        """SIGKILL, which ends a stopped process too."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self, drain_s: float) -> None:
        """Ask the process to finish, wait for it, kill it when it does not end."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(drain_s + _KILL_AFTER_S):
                await self._process.wait()
        except TimeoutError:
            await self.kill()


class ProcessBackend:
    """Starts each replica with the command that `command` makes of its spec and spool."""

    def __init__(self, command: Callable[[ReplicaSpec, Path], Sequence[str]], token: str) -> None:
        """`token` is the first line of each child's standard input: what its callers must know."""
        self._command = command
        self._token = token

    async def start(self, spec: ReplicaSpec, spool: Path, timeout_s: float) -> ProcessReplica:
        """Start a process and wait for its ready line."""
        process = await asyncio.create_subprocess_exec(
            *self._command(spec, spool),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us to hear: we let the child finish its calls
            env=bare(os.environ),
        )
        assert process.stdin is not None
        process.stdin.write(self._token.encode() + b"\n")
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
