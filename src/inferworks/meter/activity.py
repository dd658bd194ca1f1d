"""Record reports of others, activities and calls, each exactly once (theorem 3).

A report is named by (source, id) for ever. The same again is a duplicate and changes nothing, so a
sender may send again whenever it is unsure. The same name with another body is a conflict: only people can
tell which of the two is true, so it is not counted and both bodies are quarantined.

A report can be retracted (`retract`): nothing is deleted, but a record of the retraction is added, once,
and figures leave the report out (`facts.in_force`). Its name stays used.

An `Activity` carries its name in fields of its own; the `Usage` of a reported call carries it in its
call id (`events.reported_call_id`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from inferworks.errors import RecordError
from inferworks.meter.capacity import Activity
from inferworks.meter.events import Reported, name_of, reported_call_id, starts_ns
from inferworks.meter.journal import Journal
from inferworks.meter.record import Quarantined, Retracted
from inferworks.meter.stores.base import JournalReads

_CONFLICT: Final = "this source used this id before, for something else"

Name: TypeAlias = tuple[str, str]
Report = TypeVar("Report", bound=Reported)


class Received(msgspec.Struct, frozen=True):
    """Counts of the reports handed in, by their fate.

    received = accepted + duplicate + conflict + rejected; anything else cannot be constructed.
    """

    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int = 0
    """Could not be read, or might not be reported; never reached the journal."""

    def __post_init__(self) -> None:
        parts = self.accepted + self.duplicate + self.conflict + self.rejected
        if self.received != parts:
            raise AssertionError(f"received {self.received}, accounted for {parts}")

    def __add__(self, other: Received) -> Received:
        return Received(
            self.received + other.received,
            self.accepted + other.accepted,
            self.duplicate + other.duplicate,
            self.conflict + other.conflict,
            self.rejected + other.rejected,
        )


class Sorted(NamedTuple, Generic[Report]):
    """Reports sorted by their fate."""

    accepted: tuple[Report, ...]
    duplicates: tuple[Report, ...]
    conflicts: tuple[Quarantined, ...]


class Retraction(NamedTuple):
    """Outcome of taking back the reports of some names."""

    retracted: tuple[Retracted, ...]
    """Reports taken back now."""
    before: int
    """Number of reports taken back before."""
    unknown: tuple[Name, ...]
    """Names under which nothing was ever reported."""


async def record_reported(journal: Journal, reports: Sequence[Reported]) -> Received:
    """Journal the new reports among `reports`; durable when this returns, all or none of them.

    RecordError when one of them cannot be stored, JournalError when the journal has failed.
    """
    before: Sorted[Reported] | None = None
    while True:
        found = await asyncio.to_thread(_sorted_out, journal, reports)
        try:
            await journal.commit_all((*found.accepted, *found.conflicts))
        except RecordError:
            if found == before:
                raise
            before = found  # somebody else may have journaled one of them meanwhile: look again
        else:
            return Received(
                received=len(reports),
                accepted=len(found.accepted),
                duplicate=len(found.duplicates),
                conflict=len(found.conflicts),
            )


async def retract(
    journal: Journal, names: Mapping[str, Sequence[Name]], *, at_ns: int, by: str
) -> Retraction:
    """Retract the reports under `names`, each with its reason.

    Durable when this returns, all or none: when nothing was reported under some names, those are returned
    and nothing is retracted. JournalError when the journal has failed.
    """
    before: Sequence[Retracted] | None = None
    reasons = {name: reason for reason, some in names.items() for name in some}
    while True:
        found = await asyncio.to_thread(_retraction, journal, reasons, at_ns, by)
        if found.unknown:
            return Retraction((), found.before, found.unknown)
        try:
            await journal.commit_all(found.retracted)
        except RecordError:
            if found.retracted == before:
                raise
            before = found.retracted  # somebody else may have taken one back meanwhile: look again
        else:
            return found


def sort_out(known: Mapping[Name, Report], reports: Sequence[Report]) -> Sorted[Report]:
    """Sort `reports` by comparison with the `known` ones of the same (source, id), and with each other."""
    seen = dict(known)
    accepted: list[Report] = []
    duplicates: list[Report] = []
    conflicts: list[Quarantined] = []
    for report in reports:
        existing = seen.get(name_of(report))
        if existing is None:
            seen[name_of(report)] = report
            accepted.append(report)
        elif existing == report:
            duplicates.append(report)
        else:
            source, id_ = name_of(report)
            conflicts.append(
                Quarantined(
                    source=source,
                    key=id_,
                    reason=_CONFLICT,
                    body=msgspec.json.encode(report).decode(),
                    existing=msgspec.json.encode(existing).decode(),
                )
            )
    return Sorted(tuple(accepted), tuple(duplicates), tuple(conflicts))


def _sorted_out(journal: Journal, reports: Sequence[Reported]) -> Sorted[Reported]:
    with journal.reads() as reads:
        return sort_out(_known(reads, [name_of(report) for report in reports]), reports)


def _retraction(journal: Journal, reasons: Mapping[Name, str], at_ns: int, by: str) -> Retraction:
    with journal.reads() as reads:
        known, before = _known(reads, [*reasons]), reads.known_retracted(reasons)
    return Retraction(
        retracted=tuple(
            Retracted(
                *name,
                starts_ns(report),
                report.end_ns if isinstance(report, Activity) else report.opened_ns,
                at_ns,
                by,
                reasons[name],
            )
            for name, report in known.items()
            if name not in before
        ),
        before=len(before),
        unknown=tuple(name for name in reasons if name not in known),
    )


def _known(reads: JournalReads, names: Sequence[Name]) -> dict[Name, Reported]:
    """Return the journal's reports under `names`, activities and calls."""
    calls = [reported_call_id(*name) for name in names]
    known: dict[Name, Reported] = dict(reads.known_activities(names))
    return known | {name_of(usage): usage for usage in reads.known_usages(calls).values()}
