"""Takes in what others report, activities and calls, each exactly once (theorem 3).

A report is named by (source, id) for ever. The same again is a duplicate and changes nothing, so a
sender may send again whenever it is unsure. The same name with another body is a conflict: which of the
two is true only people can tell, so it is not counted and both bodies are quarantined.

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
from inferworks.meter.events import Reported, name_of
from inferworks.meter.journal import Journal
from inferworks.meter.record import Quarantined
from inferworks.meter.usage import Usage

_CONFLICT: Final = "this source used this id before, for something else"

Name: TypeAlias = tuple[str, str]
Report = TypeVar("Report", bound=Reported)


class Received(msgspec.Struct, frozen=True):
    """What became of the reports that were handed in.

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
    """Reports by what is to become of them."""

    accepted: tuple[Report, ...]
    duplicates: tuple[Report, ...]
    conflicts: tuple[Quarantined, ...]


async def record_reported(journal: Journal, reports: Sequence[Reported]) -> Received:
    """Journal what is new in `reports`; durable when this returns, all or none of it.

    RecordError when one of them cannot be stored, JournalError when the journal has failed.
    """
    before: Sorted[Reported] | None = None
    while True:
        known = await asyncio.to_thread(_known, journal, reports)
        found = sort_out(known, reports)
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


def sort_out(known: Mapping[Name, Report], reports: Sequence[Report]) -> Sorted[Report]:
    """`reports` against what is `known` by (source, id), and against each other."""
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
            conflicts.append(_conflict(report, existing))
    return Sorted(tuple(accepted), tuple(duplicates), tuple(conflicts))


def _conflict(report: Reported, existing: Reported) -> Quarantined:
    source, id_ = name_of(report)
    return Quarantined(
        source=source,
        key=id_,
        reason=_CONFLICT,
        body=msgspec.json.encode(report).decode(),
        existing=msgspec.json.encode(existing).decode(),
    )


def _known(journal: Journal, reports: Sequence[Reported]) -> dict[Name, Reported]:
    """What the journal has under the names of `reports`, whichever kind it is."""
    activities = [report for report in reports if isinstance(report, Activity)]
    calls = [report.call_id for report in reports if isinstance(report, Usage)]
    with journal.reads() as reads:
        known: dict[Name, Reported] = dict(reads.known_activities(activities))
        known |= {name_of(usage): usage for usage in reads.known_usages(calls).values()}
    return known
