"""Calendars: when the months and days of a customer begin, by its own clock.

Problem. What a plan owes for a month is owed for the customer's month, and the books are kept in the
operator's, UTC. In Berlin a month begins an hour or two before that, in New York four or five hours after;
clocks are put forward and back, some zones are off by half an hour, Samoa left out a day, and a customer
moves.

Decision. A day begins when the customer's clock *first* shows it, and lasts until the next one does; a
month begins with its first day. So months follow each other without a gap and without counting an hour
twice, whatever clocks do: an hour that is put forward shortens its month, one that is put back lengthens
it, and a day that is left out has no length. A change of zone is the same: the running month began by the
old clock and ends by the new one. It stays one month, with one fee and one set of tiers.

What is booked stands on a UTC day, cut at the customer's midnight (`booked_ns`): a moment that is in one
month of the operator's and in one of the customer's.

Rejected. A month that ends with a change of zone, and another that begins with it: two part months have two
fees to cut and two first tiers, and the customer agreed on neither. Fixed offsets from UTC: wrong for half
of the year.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from inferworks.accounts.directory import ALONE, Directory, Zoned
from inferworks.accounts.zone import UTC
from inferworks.books.calendar.months import DAY_NS, date_of, day_of
from inferworks.books.calendar.span import Span
from inferworks.ids import CustomerId
from inferworks.units import NS_PER_SECOND

_EPOCH = dt.date(1970, 1, 1)
_EVER_NS = 2**80
"""Before and after everything."""


class Calendar:
    """The months and days of one clock, which may have been in one zone after another."""

    def __init__(self, zones: Sequence[tuple[int, str]] = ()) -> None:
        """Keep `zones`, each from a moment on, in order; UTC before the first."""
        starts = [(-_EVER_NS, UTC), *zones, (_EVER_NS, UTC)]
        self._stretches: list[tuple[int, int, str]] = [
            (from_ns, until_ns, zone) for (from_ns, zone), (until_ns, _) in pairwise(starts)
        ]
        self._months: dict[int, tuple[Span, Span]] = {}
        self._midnights: dict[int, tuple[int, ...]] = {}
        """Its own midnights within a day of UTC, the last one first."""

    def begins_ns(self, date: dt.date) -> int:
        """Return the moment at which the customer's clock first shows `date`, in nanoseconds UTC."""
        return self._reached_ns((date - _EPOCH).days)

    def month(self, at_ns: int) -> Span:
        """The month that holds `at_ns`."""
        day_ns = day_of(at_ns)
        if day_ns not in self._months:
            self._months[day_ns] = self._month(day_ns), self._month(day_ns + DAY_NS - 1)
        first, last = self._months[day_ns]
        return last if last.start_ns <= at_ns else first

    def months(self, span: Span) -> Iterator[Span]:
        """The months that meet `span`, in order, whole."""
        at_ns = span.start_ns
        while at_ns < span.end_ns:
            month = self.month(at_ns)
            yield month
            at_ns = month.end_ns

    def date(self, at_ns: int) -> dt.date:
        """The date of the day that holds `at_ns`."""
        return _EPOCH + dt.timedelta(days=self._day(at_ns))

    def day(self, at_ns: int) -> Span:
        """The day that holds `at_ns`."""
        number = self._day(at_ns)
        return Span(self._reached_ns(number), self._reached_ns(number + 1))

    def booked_ns(self, at_ns: int) -> int:
        """The later of the midnights, UTC's and its own, that came before `at_ns`."""
        day_ns = day_of(at_ns)
        if day_ns not in self._midnights:
            number, day = day_ns // DAY_NS, Span(day_ns + 1, day_ns + DAY_NS)
            near = {self._reached_ns(number + days) for days in range(-1, 3)}
            self._midnights[day_ns] = tuple(sorted(filter(day.holds, near), reverse=True))
        own = (midnight_ns for midnight_ns in self._midnights[day_ns] if midnight_ns <= at_ns)
        return next(own, day_ns)

    def piece(self, at_ns: int) -> Span:
        """The time between the midnights, UTC's and its own, before and after `at_ns`."""
        return self.day(at_ns).meet(day_of(at_ns), day_of(at_ns) + DAY_NS)

    def pieces(self, span: Span) -> Iterator[Span]:
        """`span` cut at every midnight, UTC's and its own."""
        at_ns = span.start_ns
        while at_ns < span.end_ns:
            piece = self.piece(at_ns).meet(*span)
            yield piece
            at_ns = piece.end_ns

    def _day(self, at_ns: int) -> int:
        number = at_ns // DAY_NS + 1
        while self._reached_ns(number) > at_ns:
            number -= 1
        return number

    def _month(self, at_ns: int) -> Span:
        date = date_of(at_ns)
        number = date.year * 12 + date.month
        while self._reached_ns(_first_day(number)) > at_ns:
            number -= 1
        return Span(*(self._reached_ns(_first_day(month)) for month in (number, number + 1)))

    def _reached_ns(self, day: int) -> int:
        """Return the first moment of the day numbered `day` from 1970-01-01, or of the next if left out."""
        return next(
            max(from_ns, _begins_ns(zone, day))
            for from_ns, until_ns, zone in self._stretches
            if _begins_ns(zone, day) < until_ns
        )


class Calendars:
    """The calendar of each customer."""

    def __init__(self, zones: Iterable[Zoned] = ()) -> None:
        """Build the calendar of each customer from `zones`, which are in order of time."""
        histories: dict[CustomerId, dict[int, str]] = defaultdict(dict)
        for zoned in zones:
            histories[zoned.customer][zoned.from_ns] = zoned.zone
        made: dict[tuple[tuple[int, str], ...], Calendar] = {}
        self.zoned: dict[CustomerId, Calendar] = {}
        """Calendars of the customers that have a time zone of their own."""
        for customer, history in histories.items():
            key = tuple(history.items())
            self.zoned[customer] = made.setdefault(key, Calendar(key))

    def of(self, customer: CustomerId) -> Calendar:
        """The calendar of `customer`."""
        return self.zoned.get(customer, UTC_CALENDAR)

    def since_ns(self, at_ns: int, customers: Iterable[CustomerId] | None = None) -> int:
        """Return the start of the earliest month that holds `at_ns` for `customers`, by default for all."""
        own = set(self.zoned.values() if customers is None else map(self.of, customers))
        return min(calendar.month(at_ns).start_ns for calendar in own | {UTC_CALENDAR})


UTC_CALENDAR = Calendar()
IN_UTC = Calendars()


def calendars_of(directory: Directory = ALONE) -> Calendars:
    """The calendars of the customers in `directory`."""
    return _calendars(directory.zones)


@lru_cache(maxsize=8)
def _calendars(zones: tuple[Zoned, ...]) -> Calendars:
    return Calendars(zones) if zones else IN_UTC


def _first_day(month: int) -> int:
    """Return the number (from 1970-01-01) of the first day of a month counted from the year 0."""
    return (dt.date(month // 12, month % 12 + 1, 1) - _EPOCH).days


@lru_cache(maxsize=2**16)
def _begins_ns(zone: str, day: int) -> int:
    """Return the moment at which clocks in `zone` first show a day, or the next one if it is left out."""
    if zone == UTC:
        return day * DAY_NS
    clock, date = ZoneInfo(zone), _EPOCH + dt.timedelta(days=day)
    midnight = dt.datetime.combine(date, dt.time(), clock)
    first, last = sorted(int(midnight.replace(fold=fold).timestamp()) for fold in (0, 1))
    begun = bisect_left(
        range(first, last), True, key=lambda at: dt.datetime.fromtimestamp(at, clock).date() >= date
    )
    return (first + begun) * NS_PER_SECOND
