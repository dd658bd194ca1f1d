"""Midnights of calls by the clocks of their customers: as `Calendars` has them, call by call."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from inferworks.accounts.directory import Directory, Zoned
from inferworks.books.calendar.calendars import IN_UTC, calendars_of
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.midnights import with_midnights
from inferworks.ids import CustomerId
from inferworks.meter.archive.schema import DAY_NS

pytestmark = pytest.mark.slow

SPAN = Span(parse_moment_ns("2026-03-20"), parse_moment_ns("2026-04-10"))
HOUR_NS = 3_600 * 10**9
ZONES = {
    "berlin": "Europe/Berlin",
    "kolkata": "Asia/Kolkata",
    "york": "America/New_York",
    "bonn": "Europe/Berlin",
}


def found(
    duck: DuckEngine, calls: list[tuple[str, int]], zones: dict[str, str]
) -> list[tuple[str, int, int, int]]:
    """Customer, moment, midnight and month of each call."""
    directory = Directory(zones=tuple(Zoned(CustomerId(c), 0, zone) for c, zone in zones.items()))
    customers, opened = zip(*calls, strict=True)
    rows = duck.table(
        pa.table({"customer": customers, "opened_ns": pa.array(opened, pa.int64()), "more": opened})
    )
    dated = with_midnights(duck, rows, calendars_of(directory) if zones else IN_UTC, SPAN)
    assert dated.columns == ("customer", "opened_ns", "more", "day_ns", "month")
    return sorted(
        (row["customer"], row["opened_ns"], row["day_ns"], row["month"])
        for row in duck.fetch(dated).to_pylist()
    )


def test_without_zones_a_day_is_one_of_utc(duck: DuckEngine) -> None:
    """To the nanosecond before midnight; the months are those of everybody."""
    moments = [SPAN.start_ns, SPAN.start_ns + DAY_NS - 1, SPAN.start_ns + DAY_NS]
    assert found(duck, [("acme", at_ns) for at_ns in moments], {}) == [
        ("acme", at_ns, at_ns // DAY_NS * DAY_NS, -1) for at_ns in moments
    ]


def test_midnights_are_those_of_utc_and_of_the_customers_clock(duck: DuckEngine) -> None:
    """In Berlin, after the clocks went forward: 22:30 UTC is half an hour after a midnight of its own."""
    at_ns = parse_moment_ns("2026-04-01T22:30:00Z")
    own_ns, first_ns = at_ns - HOUR_NS // 2, parse_moment_ns("2026-03-31T22:00:00Z")
    calls = [("berlin", at_ns), ("acme", at_ns), ("berlin", at_ns + 2 * HOUR_NS)]
    assert found(duck, calls, ZONES) == [
        ("acme", at_ns, at_ns // DAY_NS * DAY_NS, -1),
        ("berlin", at_ns, own_ns, first_ns),
        ("berlin", at_ns + 2 * HOUR_NS, own_ns + 2 * HOUR_NS, first_ns),
    ]


def test_every_call_has_the_midnight_and_the_month_of_its_calendar(duck: DuckEngine) -> None:
    """Random calls of a time in which the clocks go forward, and at all the edges."""
    dice = random.Random(1)
    directory = Directory(zones=tuple(Zoned(CustomerId(c), 0, zone) for c, zone in ZONES.items()))
    calendars = calendars_of(directory)
    moments = {dice.randrange(*SPAN) for _ in range(60)} | {SPAN.start_ns, SPAN.end_ns - 1}
    for zone in ZONES:
        edges = {piece.start_ns for piece in calendars.of(CustomerId(zone)).pieces(SPAN)}
        moments |= edges | {edge - 1 for edge in edges if edge > SPAN.start_ns}
    calls = [(customer, at_ns) for customer in (*ZONES, "acme") for at_ns in sorted(moments)]
    for customer, at_ns, day_ns, month in found(duck, calls, ZONES):
        clock = calendars.of(CustomerId(customer))
        assert day_ns == clock.booked_ns(at_ns)
        assert month == (clock.month(at_ns).start_ns if customer in ZONES else -1)
    assert ZoneInfo("Europe/Berlin")  # the machine has the zones
