"""Queues of calls that wait, from their settings."""

from __future__ import annotations

import pytest

from inferworks.config import Fairness
from inferworks.errors import ConfigError
from inferworks.wiring.fairness import fairness_of


def test_settings_become_queues() -> None:
    """Each setting has its place; a customer's name may hold an equals sign."""
    made = fairness_of(
        Fairness(
            weights=("acme=4", "a=b=0.5"),
            default_weight=2.0,
            queue_per_customer=3,
            queue_calls=5,
            queue_wait_s=7.0,
            customer_share=0.5,
        )
    )
    assert made.weights == {"acme": 4.0, "a=b": 0.5}
    assert (made.default_weight, made.wait_s) == (2.0, 7.0)
    assert (made.limits.per_customer, made.limits.in_all, made.limits.share) == (3, 5, 0.5)


@pytest.mark.parametrize(
    ("weights", "why"),
    [(("acme=0",), "a weight is above zero"), (("acme=1", "acme=2"), "acme is there twice")],
)
def test_weights_that_mean_nothing(weights: tuple[str, ...], why: str) -> None:
    """Each is refused by name, as any mistake of the configuration."""
    with pytest.raises(ConfigError, match=why):
        fairness_of(Fairness(weights=weights))
