"""A statement drawn up by an engine, which reads the lake itself: no call is held in memory.

Imported only when an engine is asked for, for Ibis takes its time to load.
"""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.engine.base import Engine
from inferworks.books.engine.draw import work_out_on
from inferworks.books.engine.duckdb import DuckEngine
from inferworks.books.engine.lake import Lake, lake_of
from inferworks.books.engine.spark import SparkEngine
from inferworks.books.span import Span
from inferworks.books.statement import Statement, draw_up, whole_span
from inferworks.cli.books.engines import EngineName
from inferworks.cli.books.estimating import estimated
from inferworks.cli.books.papers import (
    LONGEST_CALL_NS,
    charges_of,
    no_folder,
    plans_of,
    policy_of,
    prepaid_for,
    rules_of,
    wanted_span,
)
from inferworks.config import Books, Config
from inferworks.errors import BooksError
from inferworks.folder import DataFolder
from inferworks.meter.facts import Facts
from inferworks.meter.lake import LakeReader
from inferworks.meter.lakes.detect import lake_at

NO_FACTS = Facts((), (), (), ())


def drawn_on(
    name: EngineName,
    config: Config,
    policy: str,
    pools_path: Path | None,
    start_ns: int | None,
    end_ns: int | None,
) -> Statement:
    """`papers.drawn_up` by the engine `name`, which is not the definition."""
    folder = DataFolder(Path(config.data.folder))
    if not folder.path.is_dir():
        raise no_folder(folder)
    wanted = wanted_span(start_ns, end_ns)
    charges, currency = charges_of(folder, wanted, config.books.currency)
    plans, rules = plans_of(folder), rules_of(pools_path)
    around = Span(max(0, wanted.start_ns - LONGEST_CALL_NS), wanted.end_ns)
    try:
        with opened(name, config.books) as engine:
            lake = _lake(engine, config, folder, around)
            span = wanted
            if None in (start_ns, end_ns):
                span = wanted.meet(*_both(whole_span(charges, NO_FACTS), lake.whole_span(engine)))
            bought = lake.bought(engine)
            charges += estimated(folder, charges, bought, rules.pools, span, currency).booked
            prepaid = prepaid_for(config, folder, plans, span, currency)
            drawn_under = policy_of(config, policy)
            return draw_up(
                work_out_on(
                    engine, lake, charges, plans, drawn_under, currency, span, rules, prepaid
                )
            )
    except BooksError as error:
        raise click.ClickException(f"no statement can be drawn up: {error}") from error


def _lake(engine: Engine, config: Config, folder: DataFolder, span: Span) -> Lake:
    """The facts of `span` as tables: the sealed ones in their files, the others from the journal."""
    reader = LakeReader(lake_at(config.lake.url or str(folder.lake)), folder.journal)
    moment = reader.moment(*span)
    files = {name: map(reader.locate, found) for name, found in moment.segments.items()}
    return lake_of(engine, files, moment.unsealed).within(*span)


def _both(one: Span, other: Span) -> Span:
    """The smallest span that holds two, of which either may be empty."""
    spans = [span for span in (one, other) if span.length_ns]
    start_ns = min((span.start_ns for span in spans), default=0)
    return Span(start_ns, max((span.end_ns for span in spans), default=start_ns))


def opened(name: EngineName, settings: Books) -> Engine:
    """The engine called `name`. ConfigError when it is not installed."""
    memory_bytes = int(settings.memory_gb * 2**30)
    if name is EngineName.SPARK:
        return SparkEngine(master=settings.spark_master, memory_bytes=memory_bytes)
    return DuckEngine(memory_bytes=memory_bytes, threads=settings.threads)
