"""Dependencies of every endpoint, in one frozen value that wiring fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inferworks.accounts.keyring import KeyRing
from inferworks.api.call_limits import NO_LIMITS, CallLimits, NoLimits
from inferworks.api.concurrency import ConcurrencyLimiter
from inferworks.api.cors import Cors
from inferworks.api.drain import Drains
from inferworks.api.pricing import PricingTable
from inferworks.api.questions import Questions, UsageReads
from inferworks.api.shipping import Shipments
from inferworks.clock import Clock
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.routing.route import Router
from inferworks.http.server import Exchange
from inferworks.ids import ModelId
from inferworks.meter.call_recorder import Meter
from inferworks.meter.journal import Journal
from inferworks.observe.access import RefusedRequest
from inferworks.observe.registry import Board
from inferworks.observe.traces import Traces
from inferworks.observe.transcripts import Transcripts
from inferworks.supervise import Supervisor
from inferworks.units import NS_PER_SECOND


class ModelCatalog(Protocol):
    """Catalog of models and of the offers that are ready for them."""

    def models(self) -> Sequence[ModelId]:
        """Every model that is served here, ready or not."""
        ...

    def offers(self, model: ModelId) -> Sequence[Offer]:
        """The offers of `model` that are ready now."""
        ...

    def status(self) -> Mapping[str, str]:
        """The state of each of our own replicas."""
        ...


@dataclass(frozen=True, slots=True)
class Others:
    """State of the other processes of this gateway, as they were last heard of."""

    running_calls: int = 0
    ended: tuple[str, ...] = ()
    """Vital work that has ended."""
    failing: tuple[str, ...] = ()
    """Parts without which some calls cannot be served."""
    ill: tuple[str, ...] = ()
    """Other parts that fail."""
    workers: Mapping[str, str] = field(default_factory=dict)
    """The state of each worker; none where one process does everything."""


@dataclass(frozen=True, slots=True)
class AppContext:
    """Dependencies of every endpoint."""

    keyring: KeyRing
    limiter: ConcurrencyLimiter
    meter: Meter
    journal: Journal
    catalogue: ModelCatalog
    providers: Mapping[str, Provider]
    router: Router
    clock: Clock
    board: Board | None = None
    """Metrics; None when none are kept."""
    tariffs: PricingTable | None = None
    """Prices of calls for their callers; None when unknown."""
    usage: UsageReads | None = None
    """Source of what customers have used; None where it is not told."""
    questions: Questions = field(default_factory=Questions)
    """Questions of customers about their usage and limits."""
    limits: CallLimits | NoLimits = NO_LIMITS
    """Limits of keys, projects, customers and organisations."""
    traces: Traces | None = None
    """Source of the spans of calls; None when none are made."""
    transcripts: Transcripts | None = None
    """Store of the prompts and answers of keys made with `--log-content`; None when none are kept."""
    cors: Cors | None = None
    """Web pages that may call; None for none."""
    on_refused: Callable[[RefusedRequest], object] | None = None
    """Called with each refused request that leaves no record because it is no call."""
    answer_headers: bool = True
    """True when answers have headers for their provider, region, overhead and cost."""
    report_back_ns: int = 400 * 86_400 * NS_PER_SECOND
    """Age in nanoseconds of the oldest begin of reported usage that is accepted."""
    shipments: Shipments | None = None
    """Receiver of the records of other nodes; None when none are received."""
    drains: Drains = field(default_factory=Drains)
    """Answers that are read on though their clients have left."""
    supervisor: Supervisor = field(default_factory=Supervisor)
    """Supervisor of the background work."""
    reports: Journal | None = None
    """Journal of the reports of others, where it is not that of the calls."""
    others: Callable[[], Others] = Others
    """Read the state of the other processes of this gateway."""


Endpoint = Callable[[Exchange, AppContext], Awaitable[None]]
"""Handler of one kind of request."""
