"""Settings of routes and breakers that make no sense."""

from __future__ import annotations

import pytest

from inferworks.cloud.routing.policy import BreakerPolicy, RoutePolicy
from inferworks.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("attempts", 0), ("tries_per_offer", 0), ("deadline_s", 0.0), ("hedge_after_ms", -1.0),
        ("backoff_ms", -1.0), ("hedge_share", 1.5), ("prefix_bytes", 0), ("spill_factor", 0.0),
        ("latency_bound_ms", 0.0), ("expected_output_tokens", -1),
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense(setting: str, value: float) -> None:
    """The error names the setting and the value."""
    with pytest.raises(ConfigError, match=f"route: {setting} .*{value}"):
        RoutePolicy(**{setting: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("failures_in_row", 0),
        ("failure_share", 0.0),
        ("least_calls", 0),
        ("window_s", 0.0),
        ("cool_down_s", 0.0),
        ("longest_cool_down_s", 0.5),
    ],
)
def test_a_breaker_that_makes_no_sense(setting: str, value: float) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=f"breaker: {setting}"):
        BreakerPolicy(**{setting: value})
