"""Everything a journal can hold."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from inferworks.ids import NodeId, ReplicaId
from inferworks.meter.capacity import Activity, Capacity, State, Step
from inferworks.meter.usage import Checkpoint, Opened, Usage


class SpoolCursor(msgspec.Struct, frozen=True):
    """Position up to which a replica's spool file was read. The newest one by `file` counts.

    It is written in the same transaction as the facts it stands for, so that a line of the spool is
    counted once however often the collector dies.
    """

    file: str
    """The spool's file name, without its folder."""
    replica: ReplicaId
    node: NodeId
    offset: int
    """Bytes taken in; always the beginning of a line."""
    state: State
    """The replica's state at `covered_ns`, apart from its steps."""
    covered_ns: int
    """The replica's time is in `Capacity` rows until here."""
    last_seq: int
    """The newest step's number; -1 before the first."""
    finished: bool = False
    """The replica's process is gone and nothing will follow."""


class Quarantined(msgspec.Struct, frozen=True):
    """Record that arrived and was not counted, kept for inspection.

    The same thing quarantined again (by `source`, `key` and `body`) is kept once.
    """

    source: str
    """A spool file, a table of the journal or the source of an activity."""
    key: str
    """A byte offset, a primary key or the id of an activity."""
    reason: str
    body: str
    existing: str | None
    """The body that holds the place this one claimed, if that is the reason."""


class Retracted(msgspec.Struct, frozen=True, gc=False):
    """Retraction of the report under (`source`, `id`): the report counts as never made.

    A retraction is final, for the name stays used: the corrected report needs another name. The retracted
    report stays on record, in the journal or in the lake, and every figure leaves it out.
    """

    source: str
    id: str
    start_ns: int
    """Start of what is taken back, so that the retraction belongs to the same intervals."""
    end_ns: int
    at_ns: int
    by: str
    """A key's id, or a user of the machine."""
    reason: str


Record: TypeAlias = (
    Opened | Checkpoint | Usage | Capacity | Step | Activity | SpoolCursor | Quarantined | Retracted
)
