"""Routing settings of a model as one frozen value, which `[[model]]` tables map to.

Every field has a default that is safe for somebody who never reads this file: the least loaded offer, three
attempts at three different offers, no hedging. docs/routing.md explains each strategy.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from inferworks.errors import ConfigError


class Strategy(StrEnum):
    """Strategy that orders the offers of a model. All of them keep to `Offer.priority` first."""

    FALLBACK = "fallback"
    """Order as configured: the first, unless it fails."""
    WEIGHTED = "weighted"
    """Random order, in proportion to `Offer.weight`."""
    CHEAPEST = "cheapest"
    """Order by the expected cost of the call at `Offer.rates`."""
    FASTEST = "fastest"
    """The better of two drawn by chance, by moving average of the time to first byte."""
    LEAST_LOADED = "least_loaded"
    """Order by calls running, in proportion to `Offer.weight`."""
    PREFIX = "prefix_affinity"
    """Prompts that begin alike go to the same offer, whose cache then has their beginning."""
    SESSION = "session_affinity"
    """Calls of one session go to the same offer."""
    MARGIN = "highest_margin"
    """Order by the customer's price less the expected cost, among the offers that are fast enough."""


class RoutePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Routing policy of one model. ConfigError for settings that make no sense."""

    strategy: Strategy = Strategy.LEAST_LOADED
    regions: tuple[str, ...] = ()
    """Regions in which a call may run: an offer's region must begin with one of these (`eu-` allows
    `eu-west-1`). An offer whose region is unknown is not allowed then. Empty: any region.
    """
    attempts: int = 3
    """Attempts at the model's own offers for one call at most, hedges included; and at those of each of its
    fallbacks, so that each can be reached."""
    tries_per_offer: int = 1
    """Tries of one offer for one call. Above 1, offers that failed are tried again after `backoff_ms` when
    all others of the model have failed too, before its first fallback is tried.
    """
    backoff_ms: float = 200.0
    """Wait before an offer is tried again; it doubles each time, and chance takes up to all of it off. An
    upstream's own `retry-after` is the least that is waited."""
    deadline_s: float | None = None
    """Seconds after a call's arrival in which its answer must have begun. Nothing is tried later, and
    what has not begun by then is given up. None: each attempt has the HTTP client's own time."""
    hedge_after_ms: float | None = None
    """A call that has not begun to be answered after so long is sent to a second offer as well, and the
    first to begin serves it. None: never."""
    hedge_share: float = 0.05
    """Hedges as a share of the calls that might be hedged, at most."""
    hedge_prompt_bytes: int = 16_384
    """A request body that is larger is never hedged: its prompt would be paid for twice."""
    prefix_bytes: int = 2048
    """Bytes of a prompt's beginning that `prefix_affinity` hashes."""
    spill_above: int = 8
    """Calls that may run at an offer before a hot prefix spills to the next one, whatever the others do."""
    spill_factor: float = 1.5
    """Multiple of the mean load that an offer may carry before a hot prefix spills to the next one."""
    latency_bound_ms: float = 2000.0
    """The average time to first byte up to which an offer is fast enough for `highest_margin`."""
    expected_output_tokens: int = 500
    """Output tokens assumed for a request that sets no limit."""

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"route: {name} must be above 0, not {value}")
        for name in ("backoff_ms", "hedge_prompt_bytes", "spill_above", "expected_output_tokens"):
            if getattr(self, name) < 0:
                raise ConfigError(f"route: {name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.hedge_share <= 1:
            raise ConfigError(f"route: hedge_share must be from 0 to 1, not {self.hedge_share}")


_ABOVE_ZERO = (
    "attempts", "tries_per_offer", "deadline_s", "hedge_after_ms", "prefix_bytes", "spill_factor",
    "latency_bound_ms",
)  # fmt: skip


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the circuit breakers. ConfigError for settings that make no sense."""

    failures_in_row: int = 5
    """Failures one after another that open the breaker."""
    failure_share: float = 0.5
    """Share of failures among the calls of a window that opens it."""
    least_calls: int = 20
    """Calls in a window before their share of failures counts."""
    window_s: float = 30.0
    """Length of the window in which failures are counted."""
    cool_down_s: float = 1.0
    """Seconds that it stays open the first time; twice as long after each probe that fails."""
    longest_cool_down_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("failures_in_row", "least_calls", "window_s", "cool_down_s"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"breaker: {name} must be above 0, not {getattr(self, name)}")
        if not 0 < self.failure_share <= 1:
            raise ConfigError(
                f"breaker: failure_share must be above 0 and at most 1, not {self.failure_share}"
            )
        if self.longest_cool_down_s < self.cool_down_s:
            raise ConfigError("breaker: longest_cool_down_s must not be less than cool_down_s")
