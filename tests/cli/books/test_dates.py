"""Dates on a command line of the books."""

from __future__ import annotations

import click
import pytest

from inferworks.cli.books.dates import moments

DAY_NS = 86_400 * 10**9


def test_ends_that_are_given_and_ends_that_are_not() -> None:
    """Each on its own."""
    assert moments(None, None) == (None, None)
    assert moments("1970-01-02", None) == (DAY_NS, None)
    assert moments(None, "1970-01-02") == (None, DAY_NS)
    assert moments("1970-01-01", "1970-01-02") == (0, DAY_NS)


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("1970-01-02", "1970-01-02", "--to 1970-01-02 must be after --from 1970-01-02"),
        ("1970-01-02", "1970-01-01", "must be after --from"),
        ("soon", None, "'soon': not a moment"),
        (None, "1970-02-30", "'1970-02-30': no such date or time"),
    ],
)
def test_dates_that_cannot_be_meant(start: str | None, end: str | None, reason: str) -> None:
    """A usage error that names them."""
    with pytest.raises(click.BadParameter) as refused:
        moments(start, end)
    assert reason in str(refused.value)
