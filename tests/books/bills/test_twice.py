"""The hour that autumn repeats: which of the two is meant."""

from __future__ import annotations

import datetime as dt

import pytest

from inferworks.books.bills.tables import Batch, Table
from inferworks.books.bills.twice import TWICE, in_zone, settled

BERLIN = "Europe/Berlin"


def moment(clock: str, fraction: str = "") -> str:
    """A time on a wall clock of Berlin."""
    return in_zone(dt.datetime.fromisoformat(clock), fraction, BERLIN)


def test_a_time_that_there_was_once_is_utc() -> None:
    """In summer and in winter, with its fraction."""
    assert moment("2026-07-01T12:00:00") == "2026-07-01T10:00:00Z"
    assert moment("2026-12-01T12:00:00", ".25") == "2026-12-01T11:00:00.25Z"


def test_a_time_that_there_was_twice_is_the_first_and_known() -> None:
    """The text keeps clock and offset, by which `settled` finds it."""
    text = moment("2026-10-25T02:30:00")
    assert text == "2026-10-25T02:30:00+02:00"
    assert TWICE.search(text)
    assert not TWICE.search(moment("2026-10-25T03:00:00"))


def test_a_time_that_there_was_not_is_refused() -> None:
    """Spring leaves an hour out."""
    with pytest.raises(ValueError, match="there was no such time in Europe/Berlin"):
        moment("2026-03-29T02:30:00")


@pytest.mark.parametrize(
    ("start", "end", "ended"),
    [
        ("2026-10-25T02:59:58+02:00", "2026-10-25T02:00:03+02:00", "2026-10-25T02:00:03+01:00"),
        ("2026-10-25T02:10:00+02:00", "2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+02:00"),
        ("2026-10-25T02:30:00Z", "2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+02:00"),
        ("nonsense", "2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+02:00"),
        ("2026-10-25T02:10:00+02:00", "2026-10-25T05:00:00Z", "2026-10-25T05:00:00Z"),
    ],
)
def test_the_end_of_a_span_is_the_second_where_it_must_be(start: str, end: str, ended: str) -> None:
    """An end before its start moves by the hour, unless that does not help or cannot be told."""
    batch = Batch((1,), {"start": [start], "end": [end], "other": ["x"]})
    [found] = settled(Table(("start", "end"), iter([batch]), "line"), BERLIN).batches
    assert found.columns == {"start": [start], "end": [ended], "other": ["x"]}


def test_without_a_zone_nothing_is_touched() -> None:
    """A table whose times have offsets is the same table."""
    table = Table(("start",), iter(()), "line")
    assert settled(table, "") is table
