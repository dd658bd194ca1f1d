"""The repeated hour in autumn: ambiguous wall clock times without an offset.

Problem. Where clocks are put back, 02:00 to 03:00 passes twice, and a file in local time does not tell
which is meant. A call from 02:59:58 to 02:00:03 lasted five seconds, and not minus an hour.

Decision. Each such time is the first; the end of a span that would lie before its start is the second.
Such times are noted (`Survey.remarks`), for a start in the second hour cannot be recognised.

Rejected. To refuse such files (one hour of the year would keep a month out); the shortest span that there
could be (an hour that is billed as one would be none).
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator
from typing import Final

from inferworks.books.bills.tables import Batch, Table, worked

TWICE: Final = re.compile(r":\d\d(?:\.\d+)?[+-]\d\d:\d\d$")
"""Suffix of a moment of which `in_zone` knows another."""
SPANS: Final = (("start", "end"), ("ChargePeriodStart", "ChargePeriodEnd"))
"""The columns in which a span begins and ends, of the kinds of file that have spans."""
_OFFSET: Final = len("+02:00")


def in_zone(at: dt.datetime, fraction: str, zone: str) -> str:
    """The moment of a wall clock's time; of the two in an hour that autumn repeats the first.

    It is UTC, but that it keeps its clock and offset where there are two: `settled` may know better.
    """
    local = at.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    utc = local.astimezone(dt.UTC)
    if utc.astimezone(local.tzinfo).replace(tzinfo=None) != at:
        raise ValueError(f"there was no such time in {zone}: the clocks were put forward")
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        clock, offset = local.isoformat()[:19], local.isoformat()[19:25]
        return f"{clock}{fraction}{offset}"
    return f"{utc.replace(tzinfo=None).isoformat()}{fraction}Z"


def settled(table: Table, zone: str) -> Table:
    """`table`, in which no span ends before it begins that ends in an hour which `zone` had twice."""

    def later(span: tuple[str, str]) -> str:
        start, end = span
        if not TWICE.search(end):
            return end
        try:
            first, begun = dt.datetime.fromisoformat(end), dt.datetime.fromisoformat(start)
            second = first.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=1)
            is_second = first < begun <= second
        except (ValueError, TypeError):
            return end  # its reader says what is wrong with it
        return f"{end[:-_OFFSET]}{second.isoformat()[-_OFFSET:]}" if is_second else end

    def batches() -> Iterator[Batch]:
        for batch in table.batches:
            columns = dict(batch.columns)
            for start, end in SPANS:
                if start in columns and end in columns:
                    spans = list(zip(columns[start], columns[end], strict=True))
                    columns[end] = worked(spans, later)
            yield batch._replace(columns=columns)

    return table._replace(batches=batches()) if zone else table
