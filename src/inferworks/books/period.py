"""Periods: the spans for which the books are closed, and where corrections of a closed one are shown.

A period is a calendar month (`2026-11`), a span written out (`2026-11-01..2026-11-16`) or a span that was
declared under a name of its own (`fy27-p02`). Periods are closed in order of time and adjoin, so the
closed ones cover the past without a gap and without counting a day twice; the time after the last of them
is open. Status names are those of FOCUS's Billing Period.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.errors import UserError
from inferworks.meter.capacity import Activity
from inferworks.meter.usage import Usage
from inferworks.units import NS_PER_SECOND

Recorded: TypeAlias = Charge | Activity | Usage
"""Record that belongs to a span and may come late."""

_MONTH = re.compile(r"(\d{4})-(\d{2})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_BETWEEN = ".."


class Status(StrEnum):
    """FOCUS's BillingPeriodStatus."""

    OPEN = "Open"
    CLOSED = "Closed"


class Period(msgspec.Struct, frozen=True, order=True):
    """A named span: from `start_ns` up to, not including, `end_ns` (nanoseconds since 1970, UTC)."""

    start_ns: int
    end_ns: int
    name: str

    @property
    def span(self) -> Span:
        """Return the span from start to end."""
        return Span(self.start_ns, self.end_ns)


class Periods(msgspec.Struct, frozen=True):
    """Declared periods, and the closed ones in order of time."""

    declared: tuple[Period, ...] = ()
    closed: tuple[Period, ...] = ()

    @property
    def closed_until_ns(self) -> int | None:
        """Return the start of the open time; None if nothing was ever closed."""
        return self.closed[-1].end_ns if self.closed else None

    def status(self, period: Period) -> Status:
        """Return the status of `period`, open or closed."""
        return Status.CLOSED if period in self.closed else Status.OPEN

    def named(self, text: str) -> Period:
        """The period called `text`: a declared or closed one, a month, or `START..END`.

        UserError when there is none of that name, or it overlaps one that is known by another name: but the
        first part of a declared one that is open is that period so far.
        """
        known = {period.name: period for period in (*self.declared, *self.closed)}
        if text in known:
            return known[text]
        if _MONTH.fullmatch(text):
            period = _month(text)
        else:
            first, separator, last = text.partition(_BETWEEN)
            try:
                if not separator:
                    raise ValueError("no period of this name is declared")
                period = Period(parse_moment_ns(first), parse_moment_ns(last), text)
            except ValueError as error:
                raise UserError(
                    f"period {text[:80]!r}: {error}; write a month (2026-11), a span "
                    "(2026-11-01..2026-11-16), or declare it with: inferworks books periods"
                ) from None
            if period.end_ns <= period.start_ns:
                raise UserError(f"period {text}: it must end after it starts")
        so_far = [
            whole
            for whole in self.declared
            if period.start_ns == whole.start_ns
            and period.end_ns <= whole.end_ns
            and self.status(whole) is Status.OPEN
        ]
        refuse_overlap(period, [other for other in known.values() if other not in so_far])
        return period

    def holding(self, at_ns: int) -> Period:
        """The period of the moment `at_ns`: a closed or declared one, else its month.

        A month of which a part is taken by another period gives what is left of it around `at_ns`.
        """
        for period in (*self.closed, *self.declared):
            if period.span.holds(at_ns):
                return period
        month, others = month_of(at_ns), [*self.closed, *self.declared]
        before = [p.end_ns for p in others if month.start_ns < p.end_ns <= at_ns]
        after = [p.start_ns for p in others if at_ns < p.start_ns < month.end_ns]
        start_ns, end_ns = max(before, default=month.start_ns), min(after, default=month.end_ns)
        if (start_ns, end_ns) == (month.start_ns, month.end_ns):
            return month
        return Period(start_ns, end_ns, span_name(start_ns, end_ns))

    def first_open(self, after_ns: int) -> Period:
        """The open period that a posting made for the moment `after_ns` goes to.

        The period of the moment while it is open, else the one that follows the last closed one.
        """
        return self.holding(max(after_ns, self.closed_until_ns or after_ns))


def posting_period(recorded: Recorded, periods: Periods) -> Period:
    """Return the open period in which a new record is first shown.

    Its own period (of a charge or an activity: where it begins; of a call: where it was opened) while
    that is open; else the first open one, where it is a correction (`corrects` names of what).
    """
    return periods.first_open(_extent(recorded).start_ns)


def corrects(recorded: Recorded, periods: Periods) -> tuple[Period, ...]:
    """Return the closed periods that a new record reaches into: it corrects each of them."""
    extent = _extent(recorded)
    return tuple(p for p in periods.closed if p.span.meet(*extent).length_ns > 0)


def late_texts(recorded: Iterable[Recorded], periods: Periods) -> list[str]:
    """Yield a sentence for each closed period that any of `recorded` belongs to, in order of time."""
    counts = Counter(period for record in recorded for period in corrects(record, periods))
    shown_in = periods.first_open(0).name
    return [
        f"1 line is for {period.name}, which is closed: it corrects {shown_in}"
        if counts[period] == 1
        else f"{counts[period]} lines are for {period.name}, which is closed: they correct {shown_in}"
        for period in sorted(counts)
    ]


def declared(name: str, start_ns: int, end_ns: int, periods: Periods) -> Period:
    """A new period called `name`. UserError when the name or the span cannot be used."""
    if not _NAME.fullmatch(name) or _MONTH.fullmatch(name):
        raise UserError(
            f"period name {name[:80]!r} is not usable: use up to 40 of A-Z a-z 0-9 . _ -, and not a month"
        )
    if end_ns <= start_ns:
        raise UserError(f"period {name}: it must end after it starts")
    known = (*periods.declared, *periods.closed)
    if any(period.name == name for period in known):
        raise UserError(
            f"period {name} is already declared, and a declared period cannot be changed"
        )
    period = Period(start_ns, end_ns, name)
    refuse_overlap(period, known)
    return period


def month_of(at_ns: int) -> Period:
    """The calendar month (UTC) of the moment `at_ns`."""
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return _month(f"{moment.year:04d}-{moment.month:02d}")


def refuse_overlap(period: Period, known: Sequence[Period]) -> None:
    """UserError when `period` shares time with one of `known`."""
    for other in known:
        if other.span.meet(*period.span).length_ns > 0:
            raise UserError(
                f"period {period.name} overlaps period {other.name} "
                f"({_date_text(other.start_ns)} to {_date_text(other.end_ns)}); periods must not overlap"
            )


def span_name(start_ns: int, end_ns: int) -> str:
    """The name of a span that is written out: `2026-11-01..2026-11-16`."""
    return f"{_date_text(start_ns)}{_BETWEEN}{_date_text(end_ns)}"


def _extent(recorded: Recorded) -> Span:
    """The time that a recorded thing belongs to; a moment counts as one nanosecond."""
    if isinstance(recorded, Charge):
        return Span(recorded.period_start_ns, recorded.period_end_ns)
    if isinstance(recorded, Usage):
        return Span(recorded.opened_ns, recorded.opened_ns + 1)
    return Span(recorded.start_ns, max(recorded.end_ns, recorded.start_ns + 1))


def _month(text: str) -> Period:
    year, month = map(int, text.split("-"))
    try:
        start = dt.datetime(year, month, 1, tzinfo=dt.UTC)
        end = dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
    except ValueError:
        raise UserError(f"there is no month {text}; write YYYY-MM, as in 2026-11") from None
    return Period(_ns(start), _ns(end), text)


def _ns(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * NS_PER_SECOND


def _date_text(at_ns: int) -> str:
    """The moment as a date, with the time of day where it has one."""
    seconds, fraction_ns = divmod(at_ns, NS_PER_SECOND)
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if at_ns % (86_400 * NS_PER_SECOND) == 0:
        return moment.strftime("%Y-%m-%d")
    fraction = f".{fraction_ns:09d}" if fraction_ns else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
