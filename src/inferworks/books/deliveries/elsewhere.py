"""Lines that are already in the books, under the month of their usage.

Problem. A file states the billing period of a line. Before that column was read, as for the month of a
Google Cloud invoice, the line went to the delivery of the month in which its charge begins. When it comes
again with its billing period, it belongs to another delivery, where no line is like it: it would count
twice.

Decision. Of a line whose billing period is not the month of its charge, the name that it had without one is
looked up. Where that is in force the file is refused, with the import that has to be taken back first. That
is exact, and asked only of the few lines that are billed in another month.

Rejected. Moving such lines when a folder is opened (records of closed periods would change their names).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from inferworks.books.deliveries.arriving import ArrivingLines
from inferworks.books.deliveries.canonical import (
    FOCUS,
    PERIOD,
    billing_day,
    delivery_of,
    line_of,
)
from inferworks.errors import BillError

_IN_FORCE = """
SELECT parts.number FROM deliveries JOIN parts ON parts.delivery = deliveries.number
JOIN lines ON lines.part = parts.number
WHERE kind = ? AND issuer = ? AND account = ? AND period = ? AND parts.state = 'in force' AND name = ?"""


def counted_once(db: sqlite3.Connection, given: Iterable[ArrivingLines]) -> Iterator[ArrivingLines]:
    """Yield what is `given`; BillError at a line that is in force under the month of its usage."""
    for some in given:
        told = list(zip(some.places, some.starts_ns, strict=True))
        odd = {
            (at, start_ns)
            for at, start_ns in set(told)
            if some.deliveries[at].kind == FOCUS
            and some.deliveries[at].period != billing_day("", start_ns)
        }
        for place in (place for place, one in enumerate(told) if one in odd) if odd else ():
            charge = some.charge(place)
            other = tuple(pair for pair in charge.other if pair[0] != PERIOD)
            untold = msgspec.structs.replace(charge, other=other)
            by_usage = delivery_of(FOCUS, untold)
            found = db.execute(_IN_FORCE, (*by_usage, line_of(by_usage, untold).name)).fetchone()
            if found is not None:
                billed = some.deliveries[some.places[place]].period
                raise BillError(
                    f"{charge.file}, line {charge.row}: is billed in {billed[:7]} and stands in the books "
                    f"in {by_usage.period[:7]}, the month of its usage, by an import that knew no better; "
                    f"take that back (inferworks books imports void {found[0]} --reason ...) and import "
                    "this file again"
                )
        yield some
