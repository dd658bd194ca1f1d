"""What a report tells beside its statement: another time, and what was planned."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inferworks.books.exports.base import Books
from inferworks.cli.books.asked import Asked
from inferworks.cli.books.budgets import planned
from inferworks.cli.books.comparatives import set_beside


def told_beside(question: Asked, books: Books, what: str | None, budget: Path | None) -> Books:
    """The `books` that `question` asks for, with the time that `what` names and the `budget` beside."""
    now = books.statement
    return msgspec.structs.replace(
        books,
        beside=None if what is None else set_beside(question, now, what),
        budget=None if budget is None else planned(question.config, now, budget),
    )
