"""What the endpoints need of the house, in one frozen value that wiring fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inferworks.accounts.keyring import KeyRing
from inferworks.api.admission import ConcurrencyLimiter
from inferworks.api.cors import Cors
from inferworks.api.drain import Drains
from inferworks.api.pricing import PricingTable
from inferworks.clock import Clock
from inferworks.cloud.offer import Offer
from inferworks.cloud.providers.base import Provider
from inferworks.cloud.routing.router import Router
from inferworks.http.server import Exchange
from inferworks.ids import ModelId
from inferworks.meter.call_recorder import Meter
from inferworks.meter.journal import Journal
from inferworks.observe.access import RefusedRequest
from inferworks.observe.registry import Registry
from inferworks.observe.traces import Traces
from inferworks.observe.transcripts import Transcripts
from inferworks.supervise import Supervisor
from inferworks.units import NS_PER_SECOND


class ModelCatalog(Protocol):
    """Which models there are, and who offers them at this moment."""

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
class AppContext:
    """Everything an endpoint may use."""

    keyring: KeyRing
    gate: ConcurrencyLimiter
    meter: Meter
    journal: Journal
    catalogue: ModelCatalog
    providers: Mapping[str, Provider]
    router: Router
    clock: Clock
    board: Registry | None = None
    """The metrics, where any are kept."""
    tariffs: PricingTable | None = None
    """What calls cost their callers, where that is known."""
    traces: Traces | None = None
    """Where the spans of calls come from, where any are made."""
    transcripts: Transcripts | None = None
    """Where the prompts and answers of keys go that were made to have them kept."""
    cors: Cors | None = None
    """Which web pages may call, where any may."""
    on_refused: Callable[[RefusedRequest], object] | None = None
    """Hears of each request that is turned away and leaves no record, for it is no call."""
    answer_headers: bool = True
    """Whether answers say who served them, and what that took and cost."""
    report_back_ns: int = 400 * 86_400 * NS_PER_SECOND
    """How long ago what others report may have begun."""
    drains: Drains = field(default_factory=Drains)
    """The answers that are read on though their clients have left."""
    supervisor: Supervisor = field(default_factory=Supervisor)
    """Knows how the work beside the calls does."""


Endpoint = Callable[[Exchange, AppContext], Awaitable[None]]
"""Answers one kind of request."""
