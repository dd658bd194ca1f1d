"""Usage that other systems reported, as it is on record: listed, and retracted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from inferworks.books.calendar.moments import utc_text
from inferworks.books.workspace.late_lines import late_lines
from inferworks.errors import UserError
from inferworks.folder import DataFolder
from inferworks.ids import CustomerId
from inferworks.meter.capacity import Activity
from inferworks.meter.events import Reported, name_of, starts_ns
from inferworks.meter.reader import JournalReader
from inferworks.meter.record import Retracted
from inferworks.wiring.usage_reports import retract_usage


class ReportOnRecord(msgspec.Struct, frozen=True):
    """One report of a source; `start` is its time in UTC, `retracted` its retraction, if it has one."""

    id: str
    kind: str
    customer: CustomerId | None
    start: str
    retracted: Retracted | None


class SourceOnRecord(msgspec.Struct, frozen=True):
    """A source with the number of its reports, that of the retracted ones, and when they begin in UTC."""

    source: str
    reports: int
    retracted: int
    first: str
    last: str


class RetractedUsage(msgspec.Struct, frozen=True):
    """Result of a retraction: reports retracted now and before, and notes on closed periods."""

    retracted: int
    before: int
    notes: list[str]


def reports_of(source: str, folder: DataFolder) -> list[ReportOnRecord]:
    """Return the reports of `source`."""
    with JournalReader(folder.journal) as reader:
        return list(_reports(reader, source))


def sources_on_record(folder: DataFolder) -> list[SourceOnRecord]:
    """Return how much each source reported."""
    found = []
    with JournalReader(folder.journal) as reader:
        for source in reader.sources():
            reports = list(_reports(reader, source))
            starts = [report.start for report in reports]
            retracted = sum(report.retracted is not None for report in reports)
            found.append(SourceOnRecord(source, len(reports), retracted, min(starts), max(starts)))
    return found


def retract_reports(
    folder: DataFolder,
    source: str,
    reason: str,
    *,
    ids: Sequence[str] = (),
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> RetractedUsage:
    """Retract the reports of `source`: those with `ids`, or all; of those that began in the span.

    UserError when one of `ids` was never reported, or nothing was, and as `retract_usage` has it.
    """
    with JournalReader(folder.journal) as reader:
        reports = {name_of(report)[1]: report for report in reader.reported(source)}
        unknown = [id_ for id_ in ids if id_ not in reports]
        if unknown or not reports:
            what = ", ".join(map(repr, unknown[:5])) or "anything"
            raise UserError(
                f"{source!r} never reported {what}, so nothing is retracted; "
                "see: inferworks usage list"
            )
        chosen: list[Reported] = [
            report
            for id_, report in reports.items()
            if (not ids or id_ in ids)
            and (start_ns is None or starts_ns(report) >= start_ns)
            and (end_ns is None or starts_ns(report) < end_ns)
        ]
        before = reader.known_retracted(map(name_of, chosen))
    notes = late_lines((one for one in chosen if name_of(one) not in before), folder)
    taken = retract_usage(list(map(name_of, chosen)), reason, folder)
    return RetractedUsage(taken.accepted, taken.duplicate, notes)


def _reports(reader: JournalReader, source: str) -> Iterator[ReportOnRecord]:
    reports = list(reader.reported(source))
    retracted = reader.known_retracted(map(name_of, reports))
    for report in reports:
        yield ReportOnRecord(
            id=name_of(report)[1],
            kind="activity" if isinstance(report, Activity) else "call",
            customer=report.customer,
            start=utc_text(starts_ns(report)),
            retracted=retracted.get(name_of(report)),
        )
