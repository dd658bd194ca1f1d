"""The default period of a command of the books.

Problem. A statement of everything since the beginning looks like one of a month and is none: last year's
bills stand beside today's calls, and the figures change with every import. An empty statement, because
the month began an hour ago, is of no use either.

Decision. The newest period with anything in it: that of the last call, machine interval or bill line that
is over. It is the running month while the platform is in use, and the last month with records where only
old bills exist. A running month is shown so far: amounts billed for its later days are left out by time.
It is *provisional*, and is marked so wherever it is printed; so is any named month that is not over.
Without any use, the month of the bill line that began last is shown whole. Records for a future time (a
clock was wrong) do not move the default: a note names them, and they stand in their own period.

Rejected. The last complete month (empty on the first day, and without the calls that somebody has just
made); the running month by the clock alone (empty for old books, other figures every second).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inferworks.books.calendar.moments import utc_text
from inferworks.books.period import Period, Periods, Status, span_name
from inferworks.books.repository.store import BookStore
from inferworks.books.workspace.gathering import wanted_span
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.settings import Settings
from inferworks.errors import UserError
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import read_manifest


class SelectedPeriod(NamedTuple):
    """The period of a query, and notes on it."""

    name: str | None
    """Name of the period as `--period` takes it; None for dates, or without records."""
    provisional: str = ""
    notes: tuple[str, ...] = ()
    """Sentences on a period that was not named."""


def select_period(
    settings: Settings,
    name: str | None,
    start_ns: int | None,
    end_ns: int | None,
    *,
    whole: bool = False,
) -> SelectedPeriod:
    """Return the period called `name`, dates, or else the newest period with records, with a note.

    With `whole` a running period is meant to its end: the entries of a journal stand on its days. A note
    says so where dates meet closed periods, which a journal has as they were sealed.
    """
    now_ns = settings.clock.now_ns()
    with open_ledger(settings, read_only=True) as ledger:
        calendar = ledger.periods()
    if start_ns is not None or end_ns is not None:
        text = (
            _provisional(end_ns, now_ns)
            if end_ns is not None
            else _unless_closed(calendar, _last_since(settings, calendar, start_ns or 0), now_ns)
        )
        asked = wanted_span(start_ns, end_ns)
        sealed = [one.name for one in calendar.closed if one.span.meet(*asked).length_ns]
        return SelectedPeriod(None, text, () if whole else _beside_seals(sealed))
    if name is not None:
        return SelectedPeriod(name, _unless_closed(calendar, calendar.named(name), now_ns))
    last = _newest(settings, now_ns)
    if last is None:
        return SelectedPeriod(None)
    period = calendar.holding(last.at_ns - 1)
    text = _unless_closed(calendar, period, now_ns)
    notes: tuple[str, ...] = ()
    if last.recorded_ns > max(now_ns, calendar.holding(now_ns).end_ns):
        until = utc_text(last.recorded_ns)
        notes += (f"records reach until {until}, in the future; check the clock of their source",)
    state = "" if not text else ", which is not over" if whole else " so far"
    notes += (f"no period was named; this is {period.name}{state}.",)
    if text and last.used_ns and not whole:
        return SelectedPeriod(span_name(period.start_ns, last.at_ns), text, notes)
    return SelectedPeriod(period.name, text, notes)


def _last_since(settings: Settings, calendar: Periods, start_ns: int) -> Period:
    """The period in which a time without an end ends: that of what happened last, else of now."""
    now_ns = settings.clock.now_ns()
    last = _newest(settings, now_ns)
    return calendar.holding(now_ns if last is None or last.at_ns <= start_ns else last.at_ns - 1)


def _beside_seals(sealed: Sequence[str]) -> tuple[str, ...]:
    """A note that a statement of dates is none of the sealed ones, where the dates meet closed periods."""
    if not sealed:
        return ()
    which = f"{sealed[0]} is" if len(sealed) == 1 else f"{sealed[0]} to {sealed[-1]} are"
    note = (
        f"{which} closed; between dates all is computed from what is recorded now, and --period NAME "
        "(period) has a closed period as it was sealed"
    )
    return (note,)


class Running(NamedTuple):
    """A period that is not over."""

    whole: Period
    so_far: Period
    """Until now, or until when all that happened is said to be recorded."""
    used_ns: int
    """Until when something was used, of what is recorded; 0 without anything."""


def running_period(settings: Settings, name: str | None, until_ns: int | None = None) -> Running:
    """The period called `name`, or else the running one, and what of it has passed.

    UserError when it is over or closed, has not begun, or `until_ns` is not of what has passed of it.
    """
    now_ns = settings.clock.now_ns()
    with open_ledger(settings, read_only=True) as ledger:
        calendar = ledger.periods()
    period = calendar.holding(now_ns) if name is None else calendar.named(name)
    if not _unless_closed(calendar, period, now_ns):
        raise UserError(
            f"{period.name} is over; see: inferworks books statement --period {period.name}"
        )
    if now_ns <= period.start_ns:
        raise UserError(f"{period.name} has not begun; there is nothing to forecast it from")
    passed_ns = now_ns if until_ns is None else until_ns
    if not period.start_ns < passed_ns <= now_ns:
        raise UserError(f"--until must lie in {period.name}, and not later than now")
    last = _newest(settings, now_ns)
    so_far = Period(period.start_ns, passed_ns, span_name(period.start_ns, passed_ns))
    return Running(period, so_far, last.used_ns if last else 0)


def _unless_closed(calendar: Periods, period: Period, now_ns: int) -> str:
    closed = calendar.status(period) is Status.CLOSED
    return "" if closed else _provisional(period.end_ns, now_ns)


def _provisional(end_ns: int, now_ns: int) -> str:
    return f"Provisional: it is not over until {utc_text(end_ns)}." if end_ns > now_ns else ""


class _Last(NamedTuple):
    """Until when something has happened."""

    at_ns: int
    used_ns: int
    """Until when something was used, and not only billed; 0 without."""
    recorded_ns: int = 0
    """End of all records, future ones included."""


def _newest(settings: Settings, now_ns: int) -> _Last | None:
    """The end of what has happened; None when nothing is recorded."""
    folder = settings.folder
    lake = settings.lake()
    segments = read_manifest(lake).segments
    used = [min(one.end_ns, now_ns) for one in segments if one.start_ns <= now_ns]
    recorded = [one.end_ns for one in segments]
    if journals := folder.written_journals():
        with JournalsReader(journals) as reader:
            happened_ns, last_ns = reader.latest_ns(now_ns)
        used.append(happened_ns)
        recorded.append(last_ns)
    over_ns = begun_ns = 0
    if folder.books.exists():
        with BookStore(folder.books, read_only=True) as store:
            over_ns, begun_ns = store.newest(now_ns)
    if any(used):
        return _Last(max(*used, over_ns), used_ns=max(used), recorded_ns=max(recorded))
    if begun_ns:
        return _Last(begun_ns + 1, used_ns=0, recorded_ns=max(recorded, default=0))
    last_ns = max(recorded, default=0)
    return _Last(last_ns, used_ns=last_ns, recorded_ns=last_ns) if last_ns else None
