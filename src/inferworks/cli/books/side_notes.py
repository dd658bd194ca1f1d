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
    statement = workspace.statement(query, engine)
    compared = None if what is None else workspace.beside(query, statement, what, engine)
    plan = None if budget is None else workspace.against(statement, budget)
    if as_json:
        told = statement.to_json() | {"notes": remarks(statement.lines, statement.notes)}
        told |= {} if compared is None else {"compared": compared.to_json()}
        told |= {} if plan is None else {"budget": plan.to_json()}
        print_json(query.marked(told))
        return
    say(f"Statement in {statement.currency}, policy {statement.policy}, {span_text(statement)}")
    notes = [f"Note: {note}" for note in remarks(statement.lines, statement.notes)]
    if compared is not None:
        notes = print_compared(statement, compared, query.period)
    if plan is not None:
        notes = [*print_against(plan), *notes]
    for note in notes:
        say(note)
