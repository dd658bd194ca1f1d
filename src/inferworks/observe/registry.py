"""All metrics of a running gateway in one place: what was counted, and how things stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from inferworks.observe.calls import CallMetrics
from inferworks.observe.exposition import exposition
from inferworks.observe.gauges import Commits, Gauges, families, process_families
from inferworks.observe.metric import Family


class Board(Protocol):
    """All metrics of a gateway, as text."""

    async def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        ...


@dataclass(frozen=True, slots=True)
class Registry:
    """The counters that are kept, and how to read what is not counted."""

    started_ns: int
    read: Callable[[], Gauges]
    """Read the state of the parts of the gateway, in the event loop."""
    calls: CallMetrics = field(default_factory=CallMetrics)
    commits: Commits = field(default_factory=Commits)

    def families(self) -> Iterator[Family]:
        """Yield everything, as it is now."""
        return chain(
            self.calls.families(),
            families(self.read()),
            self.commits.families(),
            process_families(self.started_ns),
        )

    async def text(self) -> bytes:
        """Everything, in Prometheus' text format; written in a thread, for it may take milliseconds."""
        return await asyncio.to_thread(exposition, self.families())
