"""Retracted facts count as never reported: for the definition and for DuckDB, wherever they lie."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.accounting.policy import load_policy
from inferworks.books.calendar.span import Span
from inferworks.books.engines.compute import compute_on
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.lake import lake_of
from inferworks.books.statement.computation import Computation, Inputs, compute, shipped_rules
from inferworks.books.statement.statement import build_statement, whole_span
from inferworks.meter.archive.schema import LAKE_TABLES, batch_of
from inferworks.meter.events import name_of, reported_call_id
from inferworks.meter.facts import NO_FACTS, Facts, in_force
from inferworks.meter.record import Retracted
from inferworks.testing.books import World, worlds

pytestmark = pytest.mark.slow

GAAP, RULES = load_policy("gaap"), shipped_rules()


def with_reports(world: World) -> Facts:
    """The facts of `world`; calls without steps of ours were reported by somebody."""
    ours = {part.call_id for step in world.facts.steps for part in step.calls}
    usages = tuple(
        usage
        if usage.call_id in ours
        else replace(usage, call_id=reported_call_id("a gateway/b", usage.call_id))
        for usage in world.facts.usages
    )
    return replace(world.facts, usages=usages)


def taken_back(facts: Facts, dice: random.Random) -> tuple[Facts, Facts]:
    """`facts` with some reports taken back, and without those."""
    reported = [u for u in facts.usages if "/" in u.call_id]
    reports = [*reported, *facts.activities]
    chosen = {name_of(report) for report in reports if dice.random() < 0.5}
    retracted = tuple(Retracted(*name, 0, 0, 1, "key_1", "a test") for name in sorted(chosen))
    never = replace(
        facts,
        usages=tuple(u for u in facts.usages if "/" not in u.call_id or name_of(u) not in chosen),
        activities=tuple(a for a in facts.activities if name_of(a) not in chosen),
    )
    return replace(facts, retracted=retracted), never


def defined(world: World, facts: Facts, span: Span) -> Computation:
    """The workings by definition."""
    return compute(Inputs(world.charges, facts, world.plans, GAAP, "USD", span, RULES))


def related(world: World, facts: Facts, span: Span, sealed: int = 0) -> Computation:
    """The workings by relations, the first `sealed` of each kind of report read from files."""
    with DuckEngine() as engine, tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, rows in (("usage", facts.usages), ("activity", facts.activities)):
            if rows[:sealed]:
                path = Path(folder) / f"{name}.parquet"
                pq.write_table(
                    pa.Table.from_batches([batch_of(LAKE_TABLES[name], rows[:sealed])]), path
                )
                files[name] = [str(path)]
        rest = replace(facts, usages=facts.usages[sealed:], activities=facts.activities[sealed:])
        lake = lake_of(engine, files, rest)
        return compute_on(
            engine, lake, Inputs(world.charges, NO_FACTS, world.plans, GAAP, "USD", span, RULES)
        )


@settings(max_examples=6)
@given(worlds(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_what_was_taken_back_counts_as_never_reported(
    world: World, sealed: int, dice: random.Random
) -> None:
    """The whole statement is that of a world in which it was never reported."""
    facts, never = taken_back(with_reports(world), dice)
    assert in_force(facts) == never
    assert whole_span(world.charges, facts) == whole_span(world.charges, never)
    span = Span(*whole_span(world.charges, with_reports(world)))
    wanted = build_statement(defined(world, never, span))
    assert build_statement(defined(world, facts, span)) == wanted
    by_relations = related(world, facts, span, sealed)
    assert by_relations.lines == wanted.lines
    assert by_relations.entries == wanted.entries
    assert by_relations.revenue == defined(world, never, span).revenue
