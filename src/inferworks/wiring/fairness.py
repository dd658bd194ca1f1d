"""Queues of calls that wait, from their settings."""

from __future__ import annotations

from inferworks.api.concurrency import Fairness
from inferworks.config import Fairness as Settings
from inferworks.errors import ConfigError
from inferworks.limits.fair_queue import QueueLimits


def fairness_of(settings: Settings) -> Fairness:
    """Return the queues that `settings` ask for; ConfigError when a weight is zero or given twice."""
    weights: dict[str, float] = {}
    for text in settings.weights:
        customer, _, number = text.rpartition("=")
        if customer in weights:
            raise ConfigError(f"fairness.weights: {customer} is there twice; keep one")
        weights[customer] = float(number)
        if not weights[customer]:
            raise ConfigError(
                f"fairness.weights: {text}: a weight is above zero; revoke the keys of who may not call"
            )
    limits = QueueLimits(settings.queue_per_customer, settings.queue_calls, settings.customer_share)
    return Fairness(limits, settings.queue_wait_s, weights, settings.default_weight)
