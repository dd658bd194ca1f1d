"""The bridge from revenue to the result: every line once, pool by pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace
from tests.support.small_company import USD, drawn, thorough, worked_out

from inferworks.books.accounting.policy import load_policy
from inferworks.books.analysis.bridge import Step, bridge, shipped_views, step_of
from inferworks.books.statement.statement import build_statement, whole_span
from inferworks.errors import BooksError
from inferworks.money import round_pico
from inferworks.testing.books import World, worlds


def test_the_bridge_by_hand() -> None:
    """17 - 3 = 14 - 6.80 = 7.20 - 5 = 2.20 - 7.20 = -5, pool by pool."""
    built = bridge(drawn())
    lines = {
        step.step: {line.pool: line.cost_pico * 10 // USD for line in step.lines}
        for step in built.steps
    }
    assert lines == {
        Step.AVOIDABLE: {"providers": 20, "storage": 10},
        Step.USED: {"machines": 30, "people": 30, "web": 8},
        Step.UNUSED: {"machines": 50},
        Step.BELOW: {"machines": 20, "people": 20, "storage": 30, "web": 2},
    }
    margins = [step.margin_pico * 10 // USD for step in built.steps]
    assert (built.revenue_pico, margins) == (17 * USD, [140, 72, 22, -50])


@pytest.mark.slow
@thorough
@given(worlds())
def test_every_line_stands_once_on_the_bridge(world: World) -> None:
    """The steps sum to everything billed, each line in one of them, under any policy."""
    computation = worked_out(world, whole_span(world.charges, world.facts))
    for name in ("gaap", "marginal", "full"):
        statement = build_statement(computation.under(load_policy(name)))
        built = bridge(statement)
        assert sum(step.cost_pico for step in built.steps) == statement.billed_pico
        assert built.margin_pico(Step.UNUSED) == statement.gross_margin_pico
        views = shipped_views()
        for step in built.steps:
            behind = [line for line in statement.lines if step_of(line, views) is step.step]
            assert sum(line.amount_pico for line in behind) == step.cost_pico


def test_a_bridge_that_loses_money_is_refused() -> None:
    """A statement whose lines do not sum to what was billed has no bridge."""
    statement = drawn()
    short = replace(statement, lines=statement.lines[1:])
    with pytest.raises(BooksError, match="fully loaded margin of the bridge is"):
        bridge(short)


def test_the_worked_example_of_the_docs_is_what_the_code_says() -> None:
    """The bridge in docs/books.md, line by line."""
    page = Path(__file__).parents[3].joinpath("docs", "books.md").read_text("utf-8")
    block = page.split("<!-- the bridge of a_company -->")[1].split("```")[1]
    told = [tuple(line.strip().rsplit(maxsplit=1)) for line in block.strip().splitlines()]
    built = bridge(drawn())
    said = [("Revenue", built.revenue_pico)]
    for step in built.steps:
        for line in step.lines:
            said.append((f"- {step.step}: {line.pool} ({line.function})", -line.cost_pico))
        said.append((step.margin, step.margin_pico))
    rounded = [(name, round_pico(pico, places=2)) for name, pico in said]
    assert [(name.strip(), amount) for name, amount in told] == rounded
