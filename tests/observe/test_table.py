"""The table of metrics: names and labels that dashboards are built upon."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferworks.observe import table
from inferworks.observe.metric import Kind, Metric
from inferworks.observe.table import CALL_LABELS, METRICS, REQUEST_DURATION
from inferworks.units import NS_PER_SECOND

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"
TIMES = [metric for metric in METRICS if metric.name.endswith("_seconds")]
PEOPLE = re.compile(r"customer|tenant|key|user|caller|team")


def test_every_metric_is_in_the_table_once() -> None:
    """A metric that is defined is shown, and no name stands twice."""
    defined = [one for one in vars(table).values() if isinstance(one, Metric)]
    assert list(METRICS) == defined
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants(metric: Metric) -> None:
    """A name is in lower case, a counter's ends with `_total`, and no other's does."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in metric.labels)
    assert len(set(metric.labels)) == len(metric.labels)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_label_names_a_person(metric: Metric) -> None:
    """Customers, keys and end users are in the books and in no metric, where they would be too many."""
    assert [label for label in metric.labels if PEOPLE.search(label)] == []


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_documented(metric: Metric) -> None:
    """The guide shows every metric by its name."""
    assert f"`{metric.name}`" in DOCUMENT.read_text("utf-8")


@pytest.mark.parametrize("metric", TIMES, ids=lambda metric: metric.name)
def test_times_are_kept_in_nanoseconds_and_shown_in_seconds(metric: Metric) -> None:
    """A time's name ends with its unit, which is what its scale makes of nanoseconds."""
    assert metric.scale == NS_PER_SECOND


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_only_histograms_have_bounds(metric: Metric) -> None:
    """A histogram has bounds that rise, any other metric has none."""
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))


def test_names_of_opentelemetry_are_put_into_prometheus_words() -> None:
    """Dots become underscores, and the unit is an ending."""
    for metric in METRICS:
        if metric.convention:
            assert metric.name.removesuffix("_seconds") == metric.convention.replace(".", "_")
    assert REQUEST_DURATION.labels == CALL_LABELS
