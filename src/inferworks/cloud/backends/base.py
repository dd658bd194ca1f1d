"""The replica backend seam: where our own replicas run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from inferworks.ids import ModelId, NodeId, ReplicaId


class ReplicaSpec(msgspec.Struct, frozen=True):
    """Specification of a replica to start: `model` on `node`."""

    replica: ReplicaId
    node: NodeId
    model: ModelId
    slots: int
    """Sequences it runs at once."""
    region: str = ""
    chip: str = ""


class RunningReplica(Protocol):
    """A replica that is ready for calls."""

    @property
    def url(self) -> str:
        """Base URL of the replica's OpenAI-compatible API."""
        ...

    async def wait(self) -> str:
        """Wait until it has ended, for whatever reason; says why in a few words."""
        ...

    async def answer(self) -> None:
        """Have it answer anything, as no stopped or stuck process does; OSError when it is away."""
        ...

    async def kill(self) -> None:
        """End it at once. Returns when it has ended."""
        ...

    async def stop(self, drain_s: float) -> None:
        """Let it finish its calls for `drain_s`, then end it. Returns when it has ended."""
        ...


class Backend(Protocol):
    """Starts replicas."""

    async def start(self, spec: ReplicaSpec, spool: Path, timeout_s: float) -> RunningReplica:
        """Start a replica that traces its steps into `spool`, and wait until it is ready.

        UpstreamError when it is not ready within `timeout_s`.
        """
        ...
