"""Metrics as text: exact, escaped, and refused by a strict reader when anything is wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.observe.exposition import exposition
from inferworks.observe.metric import Family, Histogram, Kind, Metric, Sample
from inferworks.testing.exposition import parse_exposition

GAUGE = Metric("a_gauge", Kind.GAUGE, "How it is.", ("name",))
SECONDS = Metric(
    "a_seconds", Kind.HISTOGRAM, "How long.", ("name",), bounds=(10**7, 10**9), scale=10**9
)


@given(st.text(), st.integers())
def test_any_label_and_number_comes_back(name: str, value: int) -> None:
    """A reader has any text of a label and any large number again."""
    text = exposition([Family(GAUGE, [Sample((name,), value)])]).decode("utf-8", "surrogatepass")
    labels = frozenset({("name", name)} if name else set())
    assert parse_exposition(text).values == {("a_gauge", labels): value}


@given(st.lists(st.integers(0, 10**10), min_size=1))
def test_a_histogram_counts_each_value_once(values: list[int]) -> None:
    """Buckets hold the values at most so large, the sum is exact, and the count is their number."""
    histogram = Histogram(SECONDS.bounds)
    for value in values:
        histogram.take(value)
    scraped = parse_exposition(exposition([Family(SECONDS, [Sample(("x",), histogram)])]).decode())
    assert scraped.sum("a_seconds_count") == len(values)
    assert scraped.sum("a_seconds_sum") == Decimal(sum(values)) / 10**9
    assert scraped.sum("a_seconds_bucket", le="0.01") == sum(v <= 10**7 for v in values)
    assert scraped.sum("a_seconds_bucket", le="1") == sum(v <= 10**9 for v in values)


def test_what_has_no_samples_is_left_out() -> None:
    """A metric that counted nothing yet has no lines, not even its type."""
    empty = [Sample(("x",), Histogram(SECONDS.bounds))]
    assert exposition([Family(GAUGE, []), Family(SECONDS, empty)]) == b""


@pytest.mark.parametrize(
    "text",
    [
        "a 1",
        "# TYPE a gauge\na{b=\"c} 1\n",
        "# TYPE a gauge\nb 1\n",
        "# TYPE a gauge\na 1\na 1\n",
        "# TYPE a gauge\n# TYPE a gauge\n",
        '# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
        '# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n',
        '# TYPE a histogram\na_bucket{le="+Inf"} 1\na_sum 1\na_count 2\n',
    ],
)  # fmt: skip
def test_the_reader_is_strict(text: str) -> None:
    """The reader that our tests trust refuses what the format does not allow."""
    with pytest.raises(ValueError, match=r"."):
        parse_exposition(text)
