"""Formats of values in exports."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.exports.values import (
    date_of,
    decimal_text,
    html_text,
    moment_text,
    second_above,
    second_below,
    shown_amount,
)
from inferworks.money import PICO

MOMENTS = st.integers(-(10**18), 4 * 10**18)


@settings(max_examples=15)
@given(st.integers(-(10**24), 10**24))
def test_a_decimal_is_exact(pico: int) -> None:
    """A point, at least two places, no exponent; read again it is the same amount."""
    text = decimal_text(pico)
    assert Decimal(text) * PICO == pico
    assert len(text.partition(".")[2]) >= 2
    assert "e" not in text.casefold()


@pytest.mark.parametrize(
    ("pico", "text"),
    [
        (0, "0.00"),
        (1_234_567_890_000_000_000, "1,234,567.89"),
        (-1_500 * PICO, "−1,500.00"),
        (4_999_999_999, "0.00"),
        (15_000_000_000, "0.02"),
        (25_000_000_000, "0.02"),
    ],
)
def test_an_amount_is_shown_in_hundredths(pico: int, text: str) -> None:
    """With separators and a minus sign that is one; halves go to the even neighbour."""
    assert shown_amount(pico) == text


@settings(max_examples=15)
@given(MOMENTS)
def test_moments(at_ns: int) -> None:
    """A written moment is read again to the nanosecond; seconds around it are whole."""
    assert parse_moment_ns(moment_text(at_ns)) == at_ns
    below, above = second_below(at_ns), second_above(at_ns)
    assert below <= at_ns <= above
    assert below % 10**9 == above % 10**9 == 0
    assert above - below in {0, 10**9}


def test_a_day_is_that_of_utc() -> None:
    """The last nanosecond before 1970 is of 1969."""
    assert date_of(-1) == dt.date(1969, 12, 31)
    assert date_of(0) == dt.date(1970, 1, 1)


def test_text_on_a_page_is_text() -> None:
    """Markup is escaped, and what turns or hides letters is shown."""
    assert html_text("<b>&\"'") == "&lt;b&gt;&amp;&quot;&#x27;"
    assert "\u202e" not in html_text("a\u202eb")
