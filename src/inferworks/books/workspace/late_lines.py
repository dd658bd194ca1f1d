"""Notes on late lines at import: the open period that each corrects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inferworks.books.closing.ledger import Ledger
from inferworks.books.deliveries.landing import NOTHING_CLOSED, Closed
from inferworks.books.period import Periods, Recorded, late_texts
from inferworks.folder import DataFolder
from inferworks.meter.capacity import Activity
from inferworks.meter.events import Reported
from inferworks.meter.reader import JournalReader
from inferworks.meter.usage import Usage


def calendar_of(folder: DataFolder) -> Periods:
    """The periods of `folder`; none are closed where nothing was ever closed."""
    if not folder.ledger.exists():
        return Periods()
    with Ledger(folder.ledger, read_only=True) as ledger:
        return ledger.periods()


def closed_time(calendar: Periods) -> Closed:
    """The time of the closed periods of `calendar`."""
    if not calendar.closed:
        return NOTHING_CLOSED
    return Closed(calendar.closed[0].start_ns, calendar.closed[-1].end_ns)


def late_lines(recorded: Iterable[Recorded], folder: DataFolder) -> list[str]:
    """A sentence for each closed period that something of `recorded` corrects."""
    return late_texts(recorded, calendar_of(folder))


def late_reports(reports: Sequence[Reported], folder: DataFolder) -> list[str]:
    """Return notes on those of `reports` not on record yet; call it before they are imported."""
    calendar = calendar_of(folder)
    if not calendar.closed:
        return []
    activities = {(r.source, r.id): r for r in reports if isinstance(r, Activity)}
    usages = {r.call_id: r for r in reports if isinstance(r, Usage)}
    if folder.journal.exists():  # those under whose (source, id) something stands there are known
        with JournalReader(folder.journal) as reader:
            known = reader.known_activities(activities)
            served = reader.known_usages(usages)
        activities = {key: r for key, r in activities.items() if key not in known}
        usages = {key: r for key, r in usages.items() if key not in served}
    return late_texts([*activities.values(), *usages.values()], calendar)
