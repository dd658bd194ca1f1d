"""Statements computed by an engine, which reads the lake itself: no call is held in memory.

Imported only when an engine is needed, because Ibis takes its time to load.
"""

from __future__ import annotations

from collections.abc import Iterable

from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.engines.base import Engine
from inferworks.books.engines.bundled import as_divided_on
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.customer_statement import CustomerStatement, close_by_customer
from inferworks.books.engines.lake import Lake, day_sums, lake_of
from inferworks.books.lines import Charges
from inferworks.books.statement.computation import Inputs, Rules
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.books.workspace.bill_lines import BillLines
from inferworks.books.workspace.gathering import (
    Recorded,
    around,
    gather,
    lake_reader,
    query_span,
    refusals,
    wanted_span,
)
from inferworks.books.workspace.ledgers import check_folder
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.extras import check_installed
from inferworks.meter.facts import NO_FACTS


def statement_on(name: EngineName, settings: Settings, query: Query) -> Statement:
    """Return the statement of `query` by the engine `name`, which is not the definition."""
    with refusals(), open_engine(name, settings) as engine:
        return build_statement(compute_on(engine, *_gathered(engine, settings, query)))


def customer_statement_on(name: EngineName, settings: Settings, query: Query) -> CustomerStatement:
    """Return the same by customer alone: no call and no target is held in memory."""
    with refusals(), open_engine(name, settings) as engine:
        return close_by_customer(engine, *_gathered(engine, settings, query))


def _gathered(engine: Engine, settings: Settings, query: Query) -> tuple[Lake, Inputs]:
    """Return everything recorded between the moments of `query`; the facts as tables of `engine`."""
    folder = settings.folder
    check_folder(folder)
    wanted = wanted_span(query.start_ns, query.end_ns)
    lines = BillLines(folder, wanted, settings.currency)
    # the sealed facts are read in their files, the others from the journal
    reader, near = lake_reader(settings), around(wanted)
    moment = reader.moment(*near)
    files = {name: map(reader.locate, found) for name, found in moment.segments.items()}
    lake = lake_of(engine, files, moment.unsealed, day_sums(reader, moment)).within(*near)
    span = query_span(settings, query.start_ns, query.end_ns, lines.times, lake.whole_span())

    def divided(charges: Charges, rules: Rules, span: Span) -> Iterable[Charge]:
        return as_divided_on(engine, lake, charges, rules, span)

    recorded = Recorded(NO_FACTS, lake.bought(), divided)
    return lake, gather(settings, query, lines, span, recorded)


def open_engine(name: EngineName, settings: Settings) -> Engine:
    """The engine called `name`. ConfigError when it is not installed."""
    if name is EngineName.SPARK:
        from inferworks.books.engines.spark import SparkEngine

        return SparkEngine(master=settings.spark_master, memory_bytes=settings.memory_bytes)
    check_installed("duckdb", "engines", "the engine duckdb")
    from inferworks.books.engines.duckdb import DuckEngine

    return DuckEngine(memory_bytes=settings.memory_bytes, threads=settings.threads)
