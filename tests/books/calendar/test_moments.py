"""Moments as people and bills write them."""

from __future__ import annotations

import pytest

from inferworks.books.calendar.moments import parse_moment_ns


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01 00:00:01", 10**9),
        ("1970-01-01T01:00:01+01:00", 10**9),
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59Z", -(10**9)),
    ],
)
def test_the_ways_to_write_a_moment(text: str, moment_ns: int) -> None:
    """Moments are written with T and Z, with a space or with an offset, to the nanosecond."""
    assert parse_moment_ns(text) == moment_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0001-01-01",
        "9999-01-01",
        "2026-13-01",
        "2026-11-21T25:00:00Z",
        "21.11.2026",
        "2026-W47",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Never a guess at day and month."""
    with pytest.raises(ValueError, match=r"moment|no such|between"):
        parse_moment_ns(text)
