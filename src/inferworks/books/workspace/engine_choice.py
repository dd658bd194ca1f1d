"""Choice of the code that computes a statement: the reference in Python, or an engine.

All give the same figures. The reference in Python starts at once, but holds every fact in memory; an
engine takes a second and a half to load, and then reads files of any size. So small books go to the
reference and large ones to DuckDB, unless the user chooses. Where an engine cannot do the task, the
reference does it, with a note.

Nothing here imports an engine, for loading takes that time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from inferworks.books.allocation.pools import Method
from inferworks.books.calendar.span import Span
from inferworks.books.closing.ledger import standing
from inferworks.books.statement.computation import Rules
from inferworks.books.statement.statement import Dimension
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.meter.archive.journals import JournalsReader
from inferworks.meter.archive.manifest import read_manifest

MANY_FACTS = 100_000
"""Number of facts from which `auto` is DuckDB: where its time equals the reference's (docs/books.md)."""
WHY_NOT_SEALED = "closed periods are read from their seals, and what is late is set against those"
BY_CALL = (Dimension.PROVIDER, Dimension.REGION, Dimension.CHIP)
"""Cuts for which revenue is given back to single calls."""


class Choice(NamedTuple):
    """Engine that computes a statement, and a note on it for the reader."""

    engine: EngineName
    note: str = ""


def chosen(wanted: EngineName, facts: Callable[[], int], unable: str) -> Choice:
    """Choose the engine; fall back to the reference if `unable` gives a reason.

    `facts` counts what is recorded of the span; it is called only where that matters.
    """
    if wanted is EngineName.REFERENCE:
        return Choice(wanted)
    if wanted is EngineName.AUTO:
        if facts() < MANY_FACTS:
            return Choice(EngineName.REFERENCE)
        wanted = EngineName.DUCKDB
    if unable:
        return Choice(
            EngineName.REFERENCE,
            f"computed by the reference in Python, not by {wanted}: {unable}.",
        )
    return Choice(wanted)


def why_unable(rules: Rules, by: Dimension | None) -> str:
    """Return the reason why relations cannot compute a statement under `rules`, cut by `by`; else empty."""
    sampled = [pool.name for pool in rules.pools if pool.method is Method.SHAPLEY]
    if sampled:
        return f"method M3 of pool {sampled[0]} samples orders of calls and is no relation"
    if by in BY_CALL:
        return f"a cut by {by} gives revenue back to single calls"
    return ""


def open_span(settings: Settings, period: str) -> Span | None:
    """The span of the open period called `period`; None where a closed one may have to be corrected in it.

    A closed period is read from its seal, and corrections are computed from sealed inputs: both are the
    definition's.
    """
    with open_ledger(settings, read_only=True) as ledger:
        wanted = ledger.periods().named(period)
        return None if standing(ledger.records()) else wanted.span


def facts_recorded(settings: Settings, span: Span) -> int:
    """Return the number of facts of `span`, at most: files and journals are counted whole."""
    folder = settings.folder
    lake = settings.lake()
    meeting = (
        segment.rows
        for segment in read_manifest(lake).segments
        if segment.start_ns < span.end_ns and segment.end_ns > span.start_ns
    )
    with JournalsReader(folder.written_journals()) as reader:
        return sum(meeting) + sum(reader.unsealed_counts().values())
