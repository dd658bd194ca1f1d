"""An offer: a place that can serve a model, now."""

from __future__ import annotations

import msgspec

from inferworks.catalog.facts import UNKNOWN_MODEL, ModelFacts
from inferworks.http.client import Origin
from inferworks.ids import ModelId, OfferId, ReplicaId


class Rates(msgspec.Struct, frozen=True):
    """Price of tokens, or their cost at an offer: picounits (10^-12) per token.

    Rates that are compared are in one currency; whoever makes them converts.
    """

    input_pico: int
    output_pico: int

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """Amount for so many tokens, in picounits."""
        return input_tokens * self.input_pico + output_tokens * self.output_pico


class Offer(msgspec.Struct, frozen=True):
    """A model at an address. Our own replicas and other people's APIs look the same from here."""

    id: OfferId
    model: ModelId
    provider: str
    """The provider (driver and credentials) that speaks to it."""
    origin: Origin
    replica: ReplicaId | None = None
    """The replica behind it when it is our own."""
    region: str = ""
    """Region in which the offer runs; empty when unknown."""
    chip: str = ""
    """Chip on which the offer runs; empty when unknown."""
    upstream_model: str = ""
    """Upstream's name of the model; empty when it is the caller's name for it."""
    priority: int = 0
    """Offers of a higher number are tried only after every offer of a lower one."""
    fallback: int = 0
    """0 for an offer of the model itself; else of which of its fallbacks it is one, counted from 1."""
    weight: float = 1.0
    """Share of the calls beside other offers of its priority; 0 when it is for emergencies only."""
    capacity: int | None = None
    """Calls it may run at once; None for no limit of ours."""
    slots: int | None = None
    """Calls that it works on at once, where further ones wait there; None when unknown."""
    seller: str = ""
    """Seller that is paid, as records and price lists name it; empty when it is the provider."""
    on_leave: str = "cancel"
    """Action when a client leaves its stream: `cancel`, `drain` or `estimate`."""
    rates: Rates | None = None
    """Cost of tokens to the operator: a list price, or the own replica's rate. None when unknown."""
    facts: ModelFacts = UNKNOWN_MODEL
    """Capabilities of the model at this offer, for callers of another dialect."""
    lenient: bool = False
    """True when fields that it cannot be asked for are left out of a translated call rather than refused.
    """
