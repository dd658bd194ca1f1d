"""The customer's day and month in which a call was opened: `calendars.py` as relations."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from inferworks.books.calendar.calendars import Calendars
from inferworks.books.calendar.months import day_of
from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine, small_table, whole_divide
from inferworks.meter.archive.schema import DAY_NS

_BY_UTC = -1
"""The month of a customer without a zone: the eras of `revenue.py` have it."""


def with_midnights(engine: Engine, calls: ir.Table, calendars: Calendars, span: Span) -> ir.Table:
    """`calls` opened in `span` with `day_ns`, the last midnight before each, and a number `month`.

    A midnight is one of UTC, or of the customer's clock; so few rows for each clock and day say it all.
    """
    day = whole_divide(calls.opened_ns, DAY_NS)
    if not calendars.zoned:
        return calls.mutate(day_ns=day * DAY_NS, month=ibis.literal(_BY_UTC, "int64"))
    clocks = {clock: number for number, clock in enumerate(dict.fromkeys(calendars.zoned.values()))}
    own = small_table(
        engine,
        {"of_customer": calendars.zoned},
        {"clock": (clocks[clock] for clock in calendars.zoned.values())},
    )
    parts = [  # the span cut at all midnights, for each clock
        (number, piece, clock.booked_ns(piece.start_ns), clock.month(piece.start_ns).start_ns)
        for clock, number in clocks.items()
        for piece in clock.pieces(span)
    ]
    pieces = small_table(
        engine,
        {},
        {
            "of_clock": (number for number, _, _, _ in parts),
            "of_day": (day_of(piece.start_ns) // DAY_NS for _, piece, _, _ in parts),
            "from_ns": (piece.start_ns for _, piece, _, _ in parts),
            "until_ns": (piece.end_ns for _, piece, _, _ in parts),
            "midnight_ns": (midnight_ns for _, _, midnight_ns, _ in parts),
            "of_month": (month_ns for _, _, _, month_ns in parts),
        },
    )
    columns = calls.columns
    calls = calls.mutate(day=day).left_join(own, [("customer", "of_customer")])
    calls = calls.left_join(
        pieces,
        [
            calls.clock == pieces.of_clock,
            calls.day == pieces.of_day,
            calls.opened_ns >= pieces.from_ns,
            calls.opened_ns < pieces.until_ns,
        ],
    )
    return calls.select(
        *columns,
        day_ns=ibis.coalesce(calls.midnight_ns, calls.day * DAY_NS),
        month=ibis.coalesce(calls.of_month, _BY_UTC),
    )
