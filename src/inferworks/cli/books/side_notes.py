"""What stands beside a statement, printed or in a report: another time, and what was planned."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inferworks.books.exports.base import Books
from inferworks.books.statement.statement import remarks
from inferworks.cli.books.budgets import planned, print_against
from inferworks.cli.books.comparatives import print_compared, set_beside
from inferworks.cli.books.formatting import span_text
from inferworks.cli.books.query import Asked
from inferworks.cli.show import print_json, say


def told_beside(question: Asked, books: Books, what: str | None, budget: Path | None) -> Books:
    """The `books` that `question` asks for, with the time that `what` names and the `budget` beside."""
    now = books.statement
    return msgspec.structs.replace(
        books,
        beside=None if what is None else set_beside(question, now, what),
        budget=None if budget is None else planned(question.settings, now, budget),
    )


def print_beside(
    question: Asked, what: str | None, budget: Path | None, engine: str | None, *, as_json: bool
) -> None:
    """Print the statement that `question` asks for, the time that `what` names and the `budget` beside."""
    drawn = question.statement(engine)
    compared = None if what is None else set_beside(question, drawn, what, engine)
    plan = None if budget is None else planned(question.settings, drawn, budget)
    if as_json:
        told = drawn.to_json() | {"notes": remarks(drawn.lines, drawn.notes)}
        told |= {} if compared is None else {"compared": compared.to_json()}
        told |= {} if plan is None else {"budget": plan.to_json()}
        print_json(question.marked(told))
        return
    say(f"Statement in {drawn.currency}, policy {drawn.policy}, {span_text(drawn)}")
    notes = [f"Note: {note}" for note in remarks(drawn.lines, drawn.notes)]
    if compared is not None:
        notes = print_compared(drawn, compared, question.period)
    if plan is not None:
        notes = [*print_against(plan), *notes]
    for note in notes:
        say(note)
