"""A statement drawn up by an engine, which reads the lake itself: no call is held in memory.

Imported only when an engine is asked for, for Ibis takes its time to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferworks.books.calendar.span import Span
from inferworks.books.engines.base import Engine
from inferworks.books.engines.bundled import as_divided_on
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.customer_statement import CustomerStatement, close_by_customer
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import Lake, day_sums, lake_of
from inferworks.books.engines.spark import SparkEngine
from inferworks.books.lines import with_more
from inferworks.books.statement.computation import Inputs
from inferworks.books.statement.statement import Statement, build_statement
from inferworks.books.workspace.accruing import unbilled
from inferworks.books.workspace.bill_lines import BillLines
from inferworks.books.workspace.gathering import (
    around,
    asked_span,
    lake_reader,
    no_folder,
    plans_of,
    policy_of,
    prepaid_for,
    rules_of,
    wanted_span,
)
from inferworks.books.workspace.settings import EngineName, Settings
from inferworks.errors import BooksError
from inferworks.meter.facts import NO_FACTS


def drawn_on(
    name: EngineName,
    settings: Settings,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Statement:
    """`papers.drawn_up` by the engine `name`, which is not the definition."""
    with _refusals(), opened(name, settings) as engine:
        lake, given = _gathered(engine, settings, policy, pools_path, start_ns, end_ns)
        return build_statement(compute_on(engine, lake, given))


def customers_on(
    name: EngineName,
    settings: Settings,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> CustomerStatement:
    """The same by customer alone: no call and no target is held in memory."""
    with _refusals(), opened(name, settings) as engine:
        lake, given = _gathered(engine, settings, policy, pools_path, start_ns, end_ns)
        return close_by_customer(engine, lake, given)


def _gathered(
    engine: Engine,
    settings: Settings,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> tuple[Lake, Inputs]:
    """Everything recorded from `start_ns` up to `end_ns`; what is not given is that of all time."""
    folder = settings.folder
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    lines = BillLines(folder, wanted, settings.currency)
    currency = lines.currency
    plans, rules = plans_of(settings), rules_of(settings, pools_path)
    lake = _lake(engine, settings, around(wanted))
    span = asked_span(settings, start_ns, end_ns, lines.times, lake.whole_span())
    charges = lines.charges()
    bills = as_divided_on(engine, lake, charges, rules, span)
    more = unbilled(settings, bills, lake.bought(), rules, span, currency)
    prepaid = prepaid_for(settings, plans, span, currency, rules)
    drawn_under = policy_of(settings, policy)
    charges = with_more(charges, more)
    return lake, Inputs(charges, NO_FACTS, plans, drawn_under, currency, span, rules, prepaid)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say of a refusal of the books what it refuses."""
    try:
        yield
    except BooksError as error:
        raise BooksError(f"no statement can be drawn up: {error}") from error


def _lake(engine: Engine, settings: Settings, span: Span) -> Lake:
    """The facts of `span` as tables: the sealed ones in their files, the others from the journal."""
    reader = lake_reader(settings)
    moment = reader.moment(*span)
    files = {name: map(reader.locate, found) for name, found in moment.segments.items()}
    return lake_of(engine, files, moment.unsealed, day_sums(reader, moment)).within(*span)


def opened(name: EngineName, settings: Settings) -> Engine:
    """The engine called `name`. ConfigError when it is not installed."""
    if name is EngineName.SPARK:
        return SparkEngine(master=settings.spark_master, memory_bytes=settings.memory_bytes)
    return DuckEngine(memory_bytes=settings.memory_bytes, threads=settings.threads)
