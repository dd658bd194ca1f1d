"""Comparatives of a statement: another time, and a budget."""

from __future__ import annotations

from pathlib import Path

from inferworks.books.statement.statement import remarks
from inferworks.books.workspace.query import Query
from inferworks.books.workspace.workspace import Workspace
from inferworks.cli.books.budgets import print_against
from inferworks.cli.books.comparatives import print_compared
from inferworks.cli.books.formatting import span_text
from inferworks.cli.show import print_json, say


def print_beside(
    workspace: Workspace,
    query: Query,
    what: str | None,
    budget: Path | None,
    engine: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the statement of `query`, beside the time that `what` names and the `budget`."""
    drawn = workspace.statement(query, engine)
    compared = None if what is None else workspace.beside(query, drawn, what, engine)
    plan = None if budget is None else workspace.against(drawn, budget)
    if as_json:
        told = drawn.to_json() | {"notes": remarks(drawn.lines, drawn.notes)}
        told |= {} if compared is None else {"compared": compared.to_json()}
        told |= {} if plan is None else {"budget": plan.to_json()}
        print_json(query.marked(told))
        return
    say(f"Statement in {drawn.currency}, policy {drawn.policy}, {span_text(drawn)}")
    notes = [f"Note: {note}" for note in remarks(drawn.lines, drawn.notes)]
    if compared is not None:
        notes = print_compared(drawn, compared, query.period)
    if plan is not None:
        notes = [*print_against(plan), *notes]
    for note in notes:
        say(note)
