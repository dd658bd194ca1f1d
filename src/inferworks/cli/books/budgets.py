"""`inferworks books statement --budget`: a statement beside what was planned."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.bills.detect import open_ours
from inferworks.books.budget import COLUMNS, WHICH_IS, Against, Variance, against, read_budget
from inferworks.books.statement import Statement, remarks
from inferworks.cli.books.asked import Asked
from inferworks.cli.books.figures import amount, percentage, places_for, print_figures, span_text
from inferworks.cli.books.ledgers import open_ledger
from inferworks.cli.books.papers import departments_of
from inferworks.cli.show import print_json, say
from inferworks.config import Config

budgeting = click.option(
    "--budget",
    "budget",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Beside it what was planned: a CSV of period, line and amount.",
)
"""The option that names a budget."""


def set_against(question: Asked, path: Path, engine: str | None, *, as_json: bool) -> None:
    """Print the statement that `question` asks for beside the budget in the file at `path`."""
    drawn = question.statement(engine)
    found = planned(question.config, drawn, path)
    if as_json:
        told: dict[str, object] = {
            "notes": remarks(drawn.lines, drawn.notes),
            "budget": found.to_json(),
        }
        print_json(question.marked(drawn.to_json() | told))
    else:
        _print(drawn, found)


def planned(config: Config, drawn: Statement, path: Path) -> Against:
    """`drawn` beside the budget in the file at `path`."""
    with open_ledger(config, read_only=True) as ledger:
        calendar = ledger.periods()
    bill, known = open_ours(path, COLUMNS), departments_of(config)
    return against(drawn, read_budget(bill, calendar.named, known, drawn.currency))


def _print(drawn: Statement, found: Against) -> None:
    lines = found.shown
    places = places_for(
        *(pico for one in lines for pico in (one.budget_pico or 0, one.actual_pico))
    )
    say(f"Statement in {drawn.currency}, policy {drawn.policy}, {span_text(drawn)}")
    say(f"Beside it the budget of {found.file}", "")
    columns = ("", "BUDGET", "ACTUAL", "VARIANCE", "%", "WHICH IS")
    print_figures(columns, [_row(one, places) for one in lines], words=("WHICH IS",))
    for period in found.cut:
        say(f"Note: this is a part of {period}; its budget is cut by time.")
    for note in remarks(drawn.lines, drawn.notes):
        say(f"Note: {note}")


def _row(one: Variance, places: int) -> tuple[str, ...]:
    amounts = (one.budget_pico, one.actual_pico, one.variance_pico)
    texts = ["-" if pico is None else amount(pico, places) for pico in amounts]
    return (one.name, *texts, percentage(one.percent), WHICH_IS[one.favourable])
