"""Inputs too large for the reference: DuckDB reads the segments in place, and holds no call in memory.

The choice follows from the inputs alone, never from a setting: a closed statement is recomputed whenever
it is verified, perhaps years later, by the same code. So from `MANY_FACTS` on it is DuckDB, below it the
reference. All amounts are the same; but only the reference divides revenue among single calls, so that of
large inputs is not shown by provider, region and chip.

A segment is read twice: its bytes are hashed first, for an engine does not verify that a file is the one
that was sealed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inferworks.books.calendar.span import Span
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.books.workspace import engine_choice as engines
from inferworks.books.workspace.engine_choice import why_unable
from inferworks.books.workspace.gathering import around
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.meter.archive.manifest import Segment
from inferworks.meter.archive.reader import LakeReader
from inferworks.meter.archive.schema import LAKE_TABLES
from inferworks.meter.facts import Facts
from inferworks.meter.usage import Usage

if TYPE_CHECKING:  # Ibis takes its time to load
    from inferworks.books.engines.base import Engine
    from inferworks.books.engines.lake import Lake


def many(segments: Sequence[Segment], facts: Facts) -> bool:
    """Return True if there are too many for the reference, those of other spans in `segments` included."""
    loose = (facts.usages, facts.steps, facts.capacity, facts.activities)
    rows = sum(segment.rows for segment in segments) + sum(map(len, loose))
    return rows >= engines.MANY_FACTS


def is_large(inputs: Inputs) -> bool:
    """Return True if DuckDB computes the statement of `inputs`."""
    return many(inputs.segments, inputs.facts) and not why_unable(inputs.rules, None)


def large_statement(inputs: Inputs, reader: LakeReader, settings: Settings) -> Statement:
    """The statement of `inputs`, every theorem about money checked.

    BooksError when one does not hold. LakeError when a segment is missing or was altered.
    """
    from inferworks.books.engines.compute import compute_on

    for segment in inputs.segments:
        reader.check(segment)
    with _tables(inputs.segments, inputs.facts, inputs.span, reader, settings) as (engine, lake):
        computation = compute_on(engine, lake, inputs)
        return build_statement(computation)


def large_api_usage(
    segments: Sequence[Segment], facts: Facts, span: Span, reader: LakeReader, settings: Settings
) -> tuple[Usage, ...]:
    """The calls around `span` of which somebody else's API served an attempt."""
    with _tables(segments, facts, span, reader, settings) as (_, lake):
        return lake.bought()


@contextmanager
def _tables(
    segments: Sequence[Segment], facts: Facts, span: Span, reader: LakeReader, settings: Settings
) -> Iterator[tuple[Engine, Lake]]:
    """The facts around `span` as tables of an engine, while the block runs."""
    from inferworks.books.engines.lake import lake_of
    from inferworks.books.workspace.on_engine import open_engine

    files = {
        name: [reader.locate(segment) for segment in segments if segment.table == name]
        for name in LAKE_TABLES
    }
    with open_engine(EngineName.DUCKDB, settings) as engine:
        yield engine, lake_of(engine, files, facts).within(*around(span))
