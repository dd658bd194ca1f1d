"""Our own replicas: started, watched, replaced when they die, drained when we stop.

Each replica has one task for its whole life: start it, offer it, wait for its end, account for its time,
and start it again after a pause that doubles while it keeps dying, so that a model that cannot load does
not use up the machine.

A process that hangs (stopped, stuck, swapped out) looks like one that is at work. So its task probes the
replica now and then; one that answers nothing for `hang_s` is killed, which breaks off its calls, and
started again like one that has died.

A replica traces its steps into a spool file, one per run; a collector takes them into the journal while
it runs and once more after its end. While no process runs the replica is `down`: the machine is paid for
all the same.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inferworks.catalog.facts import fact_catalog
from inferworks.clock import Clock
from inferworks.cloud.backends.base import Backend, ReplicaSpec, RunningReplica
from inferworks.cloud.offer import Offer
from inferworks.errors import JournalError, UpstreamError
from inferworks.http.client import Origin
from inferworks.ids import ModelId, OfferId, ReplicaId
from inferworks.meter.journal import Journal
from inferworks.meter.spool import SpoolReader, spool_in
from inferworks.supervise import Supervisor, Work

_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LOOKS = 6
"""Probes of a replica within the time in which it has to answer."""
_HEALTHY_NS = 60 * 10**9
"""A replica that lived this long begins again with the shortest pause."""

_log = logging.getLogger("inferworks.fleet")


async def _all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Settings of a fleet."""

    spools: Path
    """Folder of the step traces."""
    provider: str
    """Name of the provider that speaks to the replicas."""
    start_timeout_s: float = 60.0
    hang_s: float = 30.0
    """Time in which a replica has to answer a probe before it is killed; 0 for no probes."""
    collect_s: float = 0.5
    """Time between two collections of step traces."""


def own_offer(spec: ReplicaSpec, url: str, provider: str) -> Offer:
    """Return the offer of the replica of `spec` that answers at `url` and that `provider` speaks to."""
    return Offer(
        id=OfferId(spec.replica),
        model=spec.model,
        provider=provider,
        origin=Origin.parse(url),
        replica=spec.replica,
        region=spec.region,
        chip=spec.chip,
        slots=spec.slots,
        facts=fact_catalog().facts(provider, spec.model, dt.date.max),
    )


class Fleet:
    """Keeps one replica running for each spec, and offers those that are ready."""

    def __init__(
        self,
        backend: Backend,
        specs: Sequence[ReplicaSpec],
        journal: Journal,
        clock: Clock,
        settings: FleetSettings,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._backend = backend
        self._specs = tuple(specs)
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._supervisor = supervisor or Supervisor(clock)
        self._traces: dict[ReplicaId, SpoolReader] = {}
        self._running: dict[ReplicaId, RunningReplica] = {}
        self._offers: dict[ReplicaId, Offer] = {}
        self._states: dict[str, str] = {spec.replica: "down" for spec in specs}
        self._tasks: list[asyncio.Task[None]] = []
        self._first_failure: asyncio.Future[UpstreamError] | None = None
        self._stopping = asyncio.Event()
        self._collecting = asyncio.Lock()
        """Two collections of one spool at a time would count its lines twice."""

    # --- what the API calls

    def models(self) -> list[ModelId]:
        """The models of the fleet, ready or not."""
        return sorted({spec.model for spec in self._specs})

    def offers(self, model: ModelId) -> list[Offer]:
        """The replicas of `model` that are ready."""
        return [offer for offer in self._offers.values() if offer.model == model]

    def status(self) -> Mapping[str, str]:
        """The state of each replica: starting, ready or down."""
        return self._states

    def ready(self) -> list[tuple[ReplicaSpec, str]]:
        """The replicas that are ready, with their URLs, for processes that make offers of them."""
        running = [
            (spec, self._running[spec.replica])
            for spec in self._specs
            if spec.replica in self._offers
        ]
        return [(spec, replica.url) for spec, replica in running]

    async def collect(self) -> None:
        """Take in the step traces as far as they are written."""
        await self._collect_once()

    # --- its life

    async def start(self) -> None:
        """Start every replica; returns when all are ready, UpstreamError when one cannot start."""
        self._first_failure = asyncio.get_running_loop().create_future()
        ready = [asyncio.Event() for _ in self._specs]
        self._tasks = [
            self._supervisor.task(spec.replica, partial(self._keep, spec, event))
            for spec, event in zip(self._specs, ready, strict=True)
        ]
        self._tasks.append(
            self._supervisor.every(self._settings.collect_s, "step-traces", self._collect_once)
        )
        all_ready = asyncio.create_task(_all(ready))
        either: set[asyncio.Future[Any]] = {all_ready, self._first_failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not all_ready.done():
            all_ready.cancel()
            await asyncio.wait({all_ready})
            failure = self._first_failure.result()
            await self.stop(0.0)
            raise failure

    async def stop(self, drain_s: float) -> None:
        """Let every replica finish its calls for `drain_s`, end it, and account for its last moment."""
        self._stopping.set()
        self._offers.clear()
        await asyncio.gather(*(replica.stop(drain_s) for replica in self._running.values()))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for replica_id in list(self._traces):
            with suppress(JournalError):  # the spool stays, and the next start takes it in
                await self._finish(replica_id, None)

    async def _keep(self, spec: ReplicaSpec, ready: asyncio.Event, work: Work) -> None:
        pause_s = _PAUSE_S
        if spec.replica in self._traces:  # this keeper failed, and is begun again
            await self._finish(spec.replica, self._clock.now_ns())
        while not self._stopping.is_set():
            clock = (
                self._clock.carried()
            )  # how long it lived does not depend on a clock that is set
            began_ns = clock.now_ns()
            why = await self._run(spec, ready, work)
            if self._stopping.is_set():
                return
            healthy = clock.now_ns() - began_ns > _HEALTHY_NS
            _log.warning("replica %s ended (%s); starting it again", spec.replica, why)
            clock = self._clock.carried()  # nor does how long it was down
            await self._clock.sleep(pause_s)
            await self._finish(spec.replica, clock.now_ns())
            pause_s = _PAUSE_S if healthy else min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self, spec: ReplicaSpec, ready: asyncio.Event, work: Work) -> str:
        """One life of a replica; says why it ended."""
        covered_ns = await asyncio.to_thread(self._covered_ns, spec.replica)
        begins_ns = max(self._clock.now_ns(), covered_ns)  # the clock may have been set back since
        spool = spool_in(self._settings.spools, spec.replica, spec.node, begins_ns)
        self._traces[spec.replica] = SpoolReader(self._journal, spool)
        self._states[spec.replica] = "starting"
        try:
            replica = await self._backend.start(spec, spool.path, self._settings.start_timeout_s)
            self._running[spec.replica] = replica
            self._offers[spec.replica] = own_offer(spec, replica.url, self._settings.provider)
            self._states[spec.replica] = "ready"
            ready.set()
            work.succeeded()
            return await self._until_end(spec, replica, work)
        except UpstreamError as error:
            if self._first_failure is not None and not self._first_failure.done():
                self._first_failure.set_result(error)
            return str(error)
        finally:
            self._states[spec.replica] = "down"
            self._offers.pop(spec.replica, None)
            self._running.pop(spec.replica, None)

    async def _until_end(self, spec: ReplicaSpec, replica: RunningReplica, work: Work) -> str:
        """Wait until it has ended; one that answers nothing is ended. Says why it ended."""
        hang_s = self._settings.hang_s
        ended = asyncio.ensure_future(replica.wait())
        try:
            while True:
                await asyncio.wait({ended}, timeout=hang_s / _LOOKS if hang_s else None)
                if ended.done():
                    return ended.result()
                if not await self._answers(replica):
                    why = f"it answered nothing for {hang_s:g} s and was killed"
                    work.failed(UpstreamError(why, sent=False))
                    self._offers.pop(spec.replica, None)
                    await replica.kill()
                    return why
        finally:
            ended.cancel()
            await asyncio.wait({ended})

    async def _answers(self, replica: RunningReplica) -> bool:
        """Return True when a replica answers within `hang_s`; two tries, as our own loop may stall."""
        for _ in range(2):
            try:
                async with asyncio.timeout(self._settings.hang_s / 2):
                    await replica.answer()
            except TimeoutError:
                continue
            except OSError:  # it is about to end, which is heard of otherwise
                return True
            return True
        return False

    def _covered_ns(self, replica: ReplicaId) -> int:
        with self._journal.reads() as reads:
            return reads.covered_ns(replica)

    async def _collect_once(self) -> None:
        for replica_id in list(self._traces):
            async with self._collecting:
                if replica_id in self._traces:
                    with suppress(JournalError):  # it says so itself; the steps wait in their spool
                        await self._traces[replica_id].collect()

    async def _finish(self, replica_id: ReplicaId, down_until_ns: int | None) -> None:
        async with self._collecting:
            await self._traces[replica_id].finish(down_until_ns)
            del self._traces[replica_id]
