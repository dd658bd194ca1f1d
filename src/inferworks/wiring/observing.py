"""Observability of a running platform, put together from its parts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from inferworks.api.concurrency import ConcurrencyLimiter
from inferworks.api.cors import Cors
from inferworks.api.errors import refusal, refusals
from inferworks.api.metrics import PATH, show
from inferworks.api.pricing import PricingTable, cost_of
from inferworks.api.wire.openai_errors import error_body
from inferworks.clock import Clock
from inferworks.cloud.fleet import Fleet
from inferworks.cloud.routing.health import Health
from inferworks.config import Log, Observe
from inferworks.errors import CallError, ConfigError
from inferworks.extras import install
from inferworks.http.server import (
    Exchange,
    HttpServer,
    Limits,
    Refusal,
    Refused,
    RequestHead,
    Sweep,
    bind,
)
from inferworks.meter.call_recorder import Watch
from inferworks.meter.journal import Journal
from inferworks.meter.usage import Usage
from inferworks.observe.access import AccessLog, RefusedRequest
from inferworks.observe.calls import CallMetrics
from inferworks.observe.gauges import Commits, Gauges, LimitFigures
from inferworks.observe.registry import Board, Registry
from inferworks.observe.traces import Traces
from inferworks.observe.transcripts import Transcripts
from inferworks.supervise import Supervisor
from inferworks.wiring.limits import Kept
from inferworks.wiring.service import Service

_FOR_METRICS = Limits(body_bytes=4096, connections=100)
"""Limits of the public address of the metrics."""


class Readable(Protocol):
    """Parts of a running process whose state can be read."""

    def read(self) -> Gauges:
        """Read the gauges now."""
        ...

    def models(self) -> Sequence[str]:
        """The models that metrics may name."""
        ...


@dataclass(frozen=True, slots=True)
class HolderParts:
    """The parts of the process that holds the data folder of workers and serves no calls itself."""

    journal: Journal
    fleet: Fleet
    supervisor: Supervisor

    def read(self) -> Gauges:
        """Read the gauges now."""
        return Gauges(
            replicas=self.fleet.status(),
            journal_queue=self.journal.queued,
            journal_failed=self.journal.failed,
            loop_stood_ns=self.supervisor.stood_ns,
            works=tuple(self.supervisor.works.values()),
        )

    def models(self) -> Sequence[str]:
        """None: it counts no calls."""
        return ()


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running platform that can be read."""

    limiter: ConcurrencyLimiter
    health: Health
    journal: Journal
    service: Service
    server: HttpServer
    supervisor: Supervisor
    limits: Kept
    limit_series: int
    """Most limits whose use is shown."""

    def read(self) -> Gauges:
        """Read the gauges now."""
        return Gauges(
            calls_running=self.limiter.running,
            calls_queued=self.limiter.queued,
            queue_waits=tuple(self.limiter.waits.items()),
            connections=len(self.server.connections),
            drains=len(self.service.context.drains),
            attempts_running=self.health.loads(),
            breakers={offer: str(state) for offer, state in self.health.states().items()},
            replicas=self.service.context.catalogue.status(),
            journal_queue=self.journal.queued,
            journal_failed=self.journal.failed,
            loop_stood_ns=self.supervisor.stood_ns,
            works=tuple(self.supervisor.works.values()),
            limits=self._limits(),
        )

    def _limits(self) -> LimitFigures:
        limiter, outbox = self.limits.calls.limiter, self.limits.outbox
        return LimitFigures(
            used=self.limits.uses(self.limit_series),
            refusals=limiter.refusals,
            warnings=limiter.warnings,
            draws=limiter.draws,
            is_unreachable=not limiter.is_reachable,
            webhooks=outbox.outcomes if outbox else {},
        )

    def models(self) -> Sequence[str]:
        """The models that metrics may name."""
        return self.service.context.catalogue.models()


class Observing:
    """Observers of a platform from its start on; `parts` are set once there are any."""

    def __init__(
        self, settings: Observe, clock: Clock, transcripts: Transcripts, traces: Traces | None
    ) -> None:
        self.parts: Readable | None = None
        self.transcripts = transcripts
        self.traces = traces
        self.access: AccessLog | None = None
        """Set before the first call, where there is one."""
        self.commits = Commits()
        calls = CallMetrics(self._models, most_series=settings.most_series)
        kept = Registry(clock.now_ns(), self._read, calls, self.commits)
        self.board = kept if settings.metrics else None

    @property
    def watch(self) -> Watch | None:
        """Return one watch for all observers of finished calls; None if there is no observer."""
        watches: list[Watch] = [self.board.calls.take] if self.board else []
        watches += [self.traces.take] if self.traces else []
        watches += [self.access.take] if self.access else []
        if len(watches) <= 1:
            return watches[0] if watches else None

        def all_of_them(usage: Usage) -> None:
            for watch in watches:
                watch(usage)

        return all_of_them

    def tell(self, ended: list[Usage]) -> None:
        """Show the calls that ended before there was a watch, and keep none of them."""
        watch = self.watch
        while ended:
            usage = ended.pop(0)
            if watch is not None:
                watch(usage)

    def _models(self) -> Sequence[str]:
        return self.parts.models() if self.parts else ()

    def _read(self) -> Gauges:
        readings = self.parts.read() if self.parts else Gauges()
        dropped = self.access.dropped if self.access else 0
        return replace(
            readings, transcripts_dropped=self.transcripts.dropped, access_lines_dropped=dropped
        )


@asynccontextmanager
async def tracing(
    settings: Observe, environment: Mapping[str, str]
) -> AsyncIterator[Traces | None]:
    """Open the traces if they are configured; leaving sends the rest. ConfigError without the extra."""
    if not settings.traces:
        yield None
        return
    try:
        from inferworks.observe.exporters.otlp import otlp_exporter
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"observe.traces needs the package {error.name}: {install('telemetry')}"
        ) from None
    traces = Traces(otlp_exporter(settings.traces_url, environment))
    try:
        yield traces
    finally:
        await asyncio.to_thread(traces.close)


@contextmanager
def access_log(
    settings: Log, tariffs: PricingTable, supervisor: Supervisor
) -> Iterator[AccessLog | None]:
    """The access log while the block runs, if one is wanted. ConfigError when its file cannot be opened."""
    if settings.access == "off":
        yield None
        return

    def cost(usage: Usage) -> tuple[int, str] | None:
        return cost_of(usage, tariffs)

    path = Path(settings.file) if settings.file else None
    try:
        log = AccessLog(settings.access, path, cost, supervisor)
    except OSError as error:
        raise ConfigError(
            f"log.file: {settings.file} cannot be written: {error.strerror}; name another, or none"
        ) from error
    with closing(log):
        yield log


def heard_refusal(access: AccessLog | None, clock: Clock, cors: Cors | None) -> Refusal:
    """Return the HTTP server's refusal of unreadable requests, with a line in the access log."""
    refusal = refusals(cors)
    if access is None:
        return refusal

    def refuse(status: int, message: str, asked: RequestHead) -> Refused:
        at_ns = clock.now_ns()
        access.take(RefusedRequest(at_ns, asked.method, asked.path, status, None, message))
        return refusal(status, message, asked)

    return refuse


@contextmanager
def metrics_port(settings: Observe) -> Iterator[socket.socket | None]:
    """The address for metrics alone, if one is set, taken before anything is written."""
    if not settings.metrics_listen:
        yield None
        return
    host, _, port = settings.metrics_listen.rpartition(":")
    try:
        bound = bind(host.strip("[]"), int(port))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"observe.metrics_listen: cannot listen on {settings.metrics_listen}: {error}; choose another"
        ) from error
    with closing(bound):
        yield bound


@asynccontextmanager
async def showing_metrics(
    bound: socket.socket | None,
    board: Board | None,
    on_error: Callable[[BaseException], None],
    supervisor: Supervisor,
) -> AsyncIterator[None]:
    """Serve the metrics of `board` at `bound` while the block runs."""
    if bound is None or board is None:
        yield
        return

    async def handle(exchange: Exchange) -> None:
        if (exchange.method, exchange.path) == ("GET", PATH):
            await show(exchange, board)
        else:
            await exchange.respond(404, error_body(CallError(404, f"Only GET {PATH} is here.")))

    server = HttpServer(
        handle,
        limits=_FOR_METRICS,
        refusal=refusal,
        on_error=on_error,
        sweep=Sweep(supervisor, "metrics-connections"),
    )
    await server.listen(bound)
    try:
        yield
    finally:
        await server.stop(0.0)
