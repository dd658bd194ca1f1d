"""Replicas that are only names: the fake that ships with the seam."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inferworks.cloud.backends.base import ReplicaSpec
from inferworks.errors import UpstreamError


class StubReplica:
    """A replica whose end is in the test's hands."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ended = asyncio.Event()
        self._why = ""
        self._hangs = False

    def crash(self, why: str = "crashed") -> None:
        """End it from outside."""
        self._why = why
        self._ended.set()

    def hang(self) -> None:
        """Have it answer no more."""
        self._hangs = True

    async def answer(self) -> None:
        """Answer, unless it hangs."""
        if self._hangs:
            await asyncio.Event().wait()

    async def kill(self) -> None:
        """End it."""
        self.crash("killed")

    async def wait(self) -> str:
        """Wait for its end."""
        await self._ended.wait()
        return self._why

    async def stop(self, drain_s: float) -> None:
        """End it at once: it never has calls to finish."""
        del drain_s
        self.crash("stopped")


class StubBackend:
    """A `Backend` whose replicas are all at `url`; the next `failures` starts fail."""

    def __init__(self, url: str = "http://127.0.0.1:9/v1", *, failures: int = 0) -> None:
        self.started: list[ReplicaSpec] = []
        self.replicas: list[StubReplica] = []
        self._url = url
        self._failures = failures

    async def start(self, spec: ReplicaSpec, spool: Path, timeout_s: float) -> StubReplica:
        """Pretend to start `spec`."""
        del spool, timeout_s
        self.started.append(spec)
        if self._failures:
            self._failures -= 1
            raise UpstreamError(f"replica {spec.replica} would not start", sent=False)
        replica = StubReplica(self._url)
        self.replicas.append(replica)
        return replica
