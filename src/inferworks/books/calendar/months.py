"""The calendar: months and days in UTC, as spans. A month is the period of bills and price plans."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from inferworks.books.calendar.span import Span
from inferworks.units import NS_PER_SECOND

DAY_NS = 86_400 * NS_PER_SECOND
_EPOCH = dt.date(1970, 1, 1)


def day_of(at_ns: int) -> int:
    """The midnight that the day of `at_ns` began with."""
    return at_ns - at_ns % DAY_NS


def date_of(at_ns: int) -> dt.date:
    """The date of `at_ns`."""
    return _EPOCH + dt.timedelta(days=at_ns // DAY_NS)


def month_of(at_ns: int) -> Span:
    """The calendar month that holds `at_ns`."""
    first = date_of(at_ns).replace(day=1)
    after = (first + dt.timedelta(days=32)).replace(day=1)
    return Span(_midnight_ns(first), _midnight_ns(after))


def months(span: Span) -> Iterator[Span]:
    """The calendar months that meet `span`, in order, whole."""
    at_ns = span.start_ns
    while at_ns < span.end_ns:
        month = month_of(at_ns)
        yield month
        at_ns = month.end_ns


def month_name(month: Span) -> str:
    """A month as people write it: `2026-11`."""
    day = date_of(month.start_ns)
    return f"{day.year:04d}-{day.month:02d}"


def _midnight_ns(day: dt.date) -> int:
    return (day - _EPOCH).days * DAY_NS
