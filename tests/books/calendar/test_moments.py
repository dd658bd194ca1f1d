"""Moments as people and bills write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.calendar.moments import moment_text, parse_moment_ns, utc_text


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01 00:00:01", 10**9),
        ("1970-01-01T01:00:01+01:00", 10**9),
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T24:00:00Z", 86_400 * 10**9),
        ("1970-01-01T24:00:00.000", 86_400 * 10**9),
        ("1970-01-01 24:00+01:00", 82_800 * 10**9),
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
        "2026-11-21T24:00:01Z",
        "2026-11-21T24:01Z",
        "2026-11-21T24:00:00.5Z",
        "21.11.2026",
        "2026-W47",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Never a guess at day and month."""
    with pytest.raises(ValueError, match=r"moment|no such|between"):
        parse_moment_ns(text)


@settings(max_examples=30)
@given(st.integers(-(2**62), 2**62))
def test_a_moment_that_is_written_is_read_again(moment_ns: int) -> None:
    """ISO 8601 in UTC keeps every nanosecond; a midnight is a day."""
    text = moment_text(moment_ns)
    assert parse_moment_ns(text) == moment_ns
    assert (len(text) == len("2026-11-21")) == (moment_ns % (86_400 * 10**9) == 0)


def test_a_moment_for_people_is_cut_to_the_second() -> None:
    """The second that a moment is in, also before 1970."""
    assert utc_text(1_999_999_999) == "1970-01-01 00:00:01"
    assert utc_text(-1) == "1969-12-31 23:59:59"


def test_years_beyond_64_bits_of_nanoseconds_are_refused() -> None:
    """The last moment of 2262 that fits is taken, the next is not."""
    assert parse_moment_ns("2262-04-11T23:47:16.854775807Z") == 2**63 - 1
    with pytest.raises(ValueError, match="between the years 1678 and 2262"):
        parse_moment_ns("2262-04-11T23:47:16.854775808Z")
