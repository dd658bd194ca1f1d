"""Histograms count values by size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.observe import metric
from inferworks.observe.metric import Histogram


@settings(max_examples=15)
@given(st.lists(st.integers(0, 100)))
def test_each_value_is_counted_once_and_summed(values: list[int]) -> None:
    """A bucket has the values above the bound before, up to its own; the last has all above."""
    histogram = Histogram((10, 20, 50))
    for value in values:
        histogram.take(value)
    ends = [(-1, 10), (10, 20), (20, 50), (50, 1000)]
    assert histogram.counts == [sum(low < one <= high for one in values) for low, high in ends]
    assert histogram.sum == sum(values)


@pytest.mark.parametrize(
    ("bounds", "least", "most"),
    [
        (metric.SECONDS_NS, 10**7, 8192 * 10**7),
        (metric.FIRST_TOKEN_NS, 10**6, 10**10),
        (metric.PER_TOKEN_NS, 10**7, 2_500_000_000),
        (metric.TOKENS, 1, 67_108_864),
        (metric.COMMIT_NS, 10**5, 1_638_400_000),
    ],
)
def test_bounds_rise_from_the_least_to_the_most(
    bounds: tuple[int, ...], least: int, most: int
) -> None:
    """Bounds are strictly rising, as Prometheus asks, and those that OpenTelemetry advises."""
    assert list(bounds) == sorted(set(bounds))
    assert (bounds[0], bounds[-1]) == (least, most)
