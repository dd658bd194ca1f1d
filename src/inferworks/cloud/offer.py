"""An offer: a place that can serve a model, now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from inferworks.http.client import Origin
from inferworks.ids import ModelId, OfferId, ReplicaId


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
    """Where it runs; empty when unknown."""
    chip: str = ""
    """What it runs on; empty when unknown."""
    upstream_model: str = ""
    """What the upstream calls the model; empty when it is the caller's name for it."""


class Load:
    """How many calls are running at each offer."""

    def __init__(self) -> None:
        self._running: Counter[OfferId] = Counter()

    def at(self, offer: Offer) -> int:
        """Calls running at `offer`."""
        return self._running[offer.id]

    @contextmanager
    def one_more(self, offer: Offer) -> Iterator[None]:
        """Count a call at `offer` while the block runs."""
        self._running[offer.id] += 1
        try:
            yield
        finally:
            self._running[offer.id] -= 1
            if not self._running[offer.id]:
                del self._running[offer.id]
