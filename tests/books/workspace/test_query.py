"""Queries: a period or a time, and the mark of provisional figures."""

from __future__ import annotations

from pathlib import Path

from inferworks.books.workspace.query import Query


def test_a_query_is_of_everything_under_the_rules_of_the_settings() -> None:
    """Unless something is asked for."""
    assert Query() == (None, None, None, None, None, "")


def test_a_query_between_moments_keeps_its_rules_and_loses_its_period() -> None:
    """The query itself stays as it was."""
    query = Query("2026-11", policy="full", pools_path=Path("pools.toml"), provisional="so far")
    cut = query.between(3, None)
    assert cut == Query(None, 3, None, "full", Path("pools.toml"), "so far")
    assert query.period == "2026-11"


def test_figures_are_marked_as_provisional_or_final() -> None:
    """Beside what they are; the figures given are not changed."""
    figures: dict[str, object] = {"billed": "1.00"}
    assert Query().marked(figures) == {"billed": "1.00", "provisional": False}
    assert Query(provisional="so far").marked(figures) == {"billed": "1.00", "provisional": True}
    assert figures == {"billed": "1.00"}
