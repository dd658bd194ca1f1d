"""All metrics of a running gateway in one place: what was counted, and how things stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

from inferworks.observe.calls import CallMetrics
from inferworks.observe.exposition import exposition
from inferworks.observe.gauges import Commits, Gauges, families, process_families


@dataclass(frozen=True, slots=True)
class Registry:
    """The counters that are kept, and how to read what is not counted."""

    started_ns: int
    read: Callable[[], Gauges]
    """Read the state of the parts of the gateway, in the event loop."""
    calls: CallMetrics = field(default_factory=CallMetrics)
    commits: Commits = field(default_factory=Commits)

    async def text(self) -> bytes:
        """Everything, in Prometheus' text format; written in a thread, for it may take milliseconds."""
        readings = self.read()
        told = chain(
            self.calls.families(),
            families(readings),
            self.commits.families(),
            process_families(self.started_ns),
        )
        return await asyncio.to_thread(exposition, told)
