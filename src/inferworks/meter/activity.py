"""Takes in activities from outside, each exactly once (theorem 3).

An activity is named by (source, id) for ever. The same again is a duplicate and changes nothing, so a
sender may send again whenever it is unsure. The same name with another body is a conflict: which of the
two is true only people can tell, so it is not counted and both bodies are quarantined.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from inferworks.errors import RecordError
from inferworks.meter.capacity import Activity
from inferworks.meter.journal import Journal
from inferworks.meter.record import Quarantined

_CONFLICT: Final = "this source used this id before, for something else"


class Received(msgspec.Struct, frozen=True):
    """What became of the activities that were handed in; the three sum to their number."""

    accepted: int
    duplicate: int
    conflict: int


class Sorted(NamedTuple):
    """Activities by what is to become of them."""

    accepted: tuple[Activity, ...]
    duplicates: tuple[Activity, ...]
    conflicts: tuple[Quarantined, ...]


async def record_activities(journal: Journal, activities: Sequence[Activity]) -> Received:
    """Journal what is new in `activities`; durable when this returns, all or none of it.

    RecordError when one of them cannot be stored, JournalError when the journal has failed.
    """
    before: Sorted | None = None
    while True:
        known = await asyncio.to_thread(_known, journal, activities)
        found = sort_out(known, activities)
        try:
            await journal.commit_all((*found.accepted, *found.conflicts))
        except RecordError:
            if found == before:
                raise
            before = found  # somebody else may have journaled one of them meanwhile: look again
        else:
            return Received(len(found.accepted), len(found.duplicates), len(found.conflicts))


def sort_out(known: Mapping[tuple[str, str], Activity], activities: Sequence[Activity]) -> Sorted:
    """`activities` against what is `known` by (source, id), and against each other."""
    seen = dict(known)
    accepted: list[Activity] = []
    duplicates: list[Activity] = []
    conflicts: list[Quarantined] = []
    for activity in activities:
        existing = seen.get((activity.source, activity.id))
        if existing is None:
            seen[activity.source, activity.id] = activity
            accepted.append(activity)
        elif existing == activity:
            duplicates.append(activity)
        else:
            conflicts.append(_conflict(activity, existing))
    return Sorted(tuple(accepted), tuple(duplicates), tuple(conflicts))


def _conflict(activity: Activity, existing: Activity) -> Quarantined:
    return Quarantined(
        source=activity.source,
        key=activity.id,
        reason=_CONFLICT,
        body=msgspec.json.encode(activity).decode(),
        existing=msgspec.json.encode(existing).decode(),
    )


def _known(journal: Journal, activities: Sequence[Activity]) -> Mapping[tuple[str, str], Activity]:
    with journal.reads() as reads:
        return reads.known_activities(activities)
