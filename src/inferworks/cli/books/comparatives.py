"""`--compare` and `--budget` of `books statement`: a statement beside another time and the budget."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.analysis.change_effects import MEANINGS
from inferworks.books.analysis.comparatives import CAPTIONS, Comparison
from inferworks.books.statement.statement import Statement, remarks
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.workspace import Workspace
from inferworks.cli.books.budgets import print_budget
from inferworks.cli.books.formatting import amount, percentage, places_for, print_figures, span_text
from inferworks.cli.show import print_json, say

compare_option = click.option(
    "--compare",
    "beside",
    metavar="WHAT",
    help="Time to compare with, and causes of change: previous, year-before, year-to-date, or a period.",
)
"""The option that names another time."""


def print_comparatives(
    workspace: Workspace,
    query: Query,
    beside: str | None,
    budget: Path | None,
    engine: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the statement of `query` beside that of another time, named `beside`, and the `budget`."""
    statement = workspace.statement(query, engine)
    compared = None if beside is None else workspace.beside(query, statement, beside, engine)
    against = None if budget is None else workspace.against(statement, budget)
    if as_json:
        document = statement.to_json() | {"notes": remarks(statement.lines, statement.notes)}
        document |= {} if compared is None else {"compared": compared.to_json()}
        document |= {} if against is None else {"budget": against.to_json()}
        print_json(query.marked(document))
        return
    say(f"Statement in {statement.currency}, policy {statement.policy}, {span_text(statement)}")
    notes = [f"Note: {note}" for note in remarks(statement.lines, statement.notes)]
    if compared is not None:
        notes = _print_comparison(statement, compared, query.period)
    if against is not None:
        notes = [*print_budget(against), *notes]
    for note in notes:
        say(note)


def _print_comparison(now: Statement, compared: Comparison, period: str | None) -> list[str]:
    """Print `now`, the statement of `period`, beside the comparatives; return the notes to both."""
    name, then, rows, why = compared
    amounts = [pico for row in rows for pico in (row.now_pico, row.then_pico)]
    places = places_for(*amounts)
    say(f"Beside it {name}: {span_text(then)}", "")
    shown = [row for row in rows if row.now_pico or row.then_pico]
    table = [
        (
            CAPTIONS[row.name],
            *(amount(pico, places) for pico in (row.now_pico, row.then_pico, row.change_pico)),
            percentage(row.percent),
        )
        for row in shown
    ]
    heads = (period if period and len(period) <= 12 else "NOW", name if len(name) <= 12 else "THEN")
    print_figures(("", *heads, "CHANGE", "CHANGE %"), table)
    causes = [  # they sum to the change of the gross margin
        (f"{cause.value}: {MEANINGS[cause]}", amount(pico, places), why.mostly(cause))
        for cause, pico in why.by_cause().items()
        if why.mostly(cause)
    ]
    if causes:
        total = ("Gross margin", amount(why.change_pico, places), "")
        print_figures(("WHY IT CHANGED", "EFFECT", "MOSTLY"), [*causes, total], words=("MOSTLY",))
    return [
        f"Note, {which}: {note}"
        for which, statement in ((heads[0], now), (heads[1], then))
        for note in remarks(statement.lines, statement.notes)
    ]
