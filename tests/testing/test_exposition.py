"""The strict reader of Prometheus' text format takes what that allows, and refuses everything else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from inferworks.testing.exposition import parse_exposition

HISTOGRAM = """\
# HELP wait_s Seconds of waiting.
# TYPE wait_s histogram
wait_s_bucket{model="m",le="0.1"} 1
wait_s_bucket{model="m",le="+Inf"} 3
wait_s_sum{model="m"} 2.5
wait_s_count{model="m"} 3
"""


def test_samples_are_read_exactly() -> None:
    """Each by its name and labels; a number keeps every digit, and a comment is none."""
    scraped = parse_exposition(
        "# TYPE a counter\na 0.1\n\n# a comment\n# TYPE b gauge\n"
        'b{x="1",y="2"} 1e3\nb{x="2",y="2"} -4\nb NaN\n'
    )
    assert scraped.types == {"a": "counter", "b": "gauge"}
    assert scraped.values["a", frozenset()] == Decimal("0.1")
    assert scraped.values["b", frozenset({("x", "1"), ("y", "2")})] == 1000
    assert scraped.values["b", frozenset()].is_nan()


def test_samples_of_some_labels_are_added_up() -> None:
    """Samples count that have all of the labels, whatever else they have; none are zero."""
    scraped = parse_exposition('# TYPE b gauge\nb{x="1",y="2"} 1\nb{x="2",y="2"} 2\nb{x="2"} 4\n')
    assert [scraped.sum("b"), scraped.sum("b", y="2"), scraped.sum("b", x="2", y="2")] == [7, 3, 2]
    assert (scraped.sum("b", x="3"), scraped.sum("c")) == (0, 0)


def test_escapes_are_undone() -> None:
    """A quote, a backslash and a line feed within a value; a comma there ends nothing."""
    scraped = parse_exposition('# TYPE a gauge\na{x="q\\"b\\\\n\\nc,d=\\"e"} 1\n')
    [(_, labels)] = scraped.values
    assert labels == {("x", 'q"b\\n\nc,d="e')}


def test_a_histogram_is_complete() -> None:
    """Buckets that do not fall, the last of which is the count, and a sum."""
    scraped = parse_exposition(HISTOGRAM)
    assert (scraped.sum("wait_s_sum"), scraped.sum("wait_s_bucket", le="0.1")) == (
        Decimal("2.5"),
        1,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must end with a line feed"),
        ("# TYPE a gauge\na 1", "must end with a line feed"),
        ("# TYPE a gage\n", "not a type"),
        ("# TYPE a gauge\n# TYPE a gauge\n", "there twice"),
        ("# TYPE a-b gauge\n", "not a type"),
        ("# TYPE a\n", "unpack"),
        ("a 1\n", "a stands under the type of nothing"),
        ("# TYPE a gauge\nb 1\n", "b stands under the type of a"),
        ("# TYPE a gauge\na_bucket 1\n", "stands under the type of a"),
        ("# TYPE a gauge\na 1\na 2\n", "is there twice"),
        ('# TYPE a gauge\na{x="1",x="1"} 1\n', "is there twice"),
        ("# TYPE a gauge\na one\n", "not a number: a one"),
        ("# TYPE a gauge\na\n", "not a sample"),
        ('# TYPE a gauge\na{x="1"}1\n', "not a sample"),
        ("# TYPE a gauge\na{x=1} 1\n", "not a sample"),
        ('# TYPE a gauge\na{x="\\t"} 1\n', "not a sample"),
        (HISTOGRAM.replace('"0.1"} 1', '"0.1"} 4'), "buckets fall"),
        (HISTOGRAM.replace("+Inf", "9"), "do not end with"),
        (HISTOGRAM.replace('_count{model="m"} 3', '_count{model="m"} 4'), "the count is not"),
        (HISTOGRAM.replace('wait_s_count{model="m"} 3\n', ""), "the count is not"),
        (HISTOGRAM.replace('wait_s_sum{model="m"} 2.5\n', ""), "no sum"),
        (HISTOGRAM.replace('"m",le="0.1"', '"m"'), "unpack"),
    ],
)
def test_anything_else_is_refused(text: str, words: str) -> None:
    """By a ValueError that says the line or the metric."""
    with pytest.raises(ValueError, match=words):
        parse_exposition(text)
