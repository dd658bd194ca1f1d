"""`--budget` of `inferworks books statement`: a statement beside what was planned."""

from __future__ import annotations

from pathlib import Path

import click

from inferworks.books.analysis.budget import (
    COLUMNS,
    WHICH_IS,
    Against,
    Variance,
    against,
    read_budget,
)
from inferworks.books.bills.detect import open_ours
from inferworks.books.statement.statement import Statement
from inferworks.books.workspace.ledgers import open_ledger
from inferworks.books.workspace.settings import Settings
from inferworks.cli.books.formatting import amount, percentage, places_for, print_figures
from inferworks.cli.show import say

budgeting = click.option(
    "--budget",
    "budget",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Beside it what was planned: a CSV of period, line and amount.",
)
"""The option that names a budget."""


def planned(settings: Settings, drawn: Statement, path: Path) -> Against:
    """`drawn` beside the budget in the file at `path`."""
    with open_ledger(settings, read_only=True) as ledger:
        calendar = ledger.periods()
    bill, known = open_ours(path, COLUMNS), settings.departments
    return against(drawn, read_budget(bill, calendar.named, known, drawn.currency))


def print_against(found: Against) -> list[str]:
    """Print a statement beside its budget; the notes to that."""
    lines = found.shown
    places = places_for(
        *(pico for one in lines for pico in (one.budget_pico or 0, one.actual_pico))
    )
    say(f"Beside it the budget of {found.file}", "")
    columns = ("", "BUDGET", "ACTUAL", "VARIANCE", "%", "WHICH IS")
    print_figures(columns, [_row(one, places) for one in lines], words=("WHICH IS",))
    return [f"Note: this is a part of {period}; its budget is cut by time." for period in found.cut]


def _row(one: Variance, places: int) -> tuple[str, ...]:
    amounts = (one.budget_pico, one.actual_pico, one.variance_pico)
    texts = ["-" if pico is None else amount(pico, places) for pico in amounts]
    return (one.name, *texts, percentage(one.percent), WHICH_IS[one.favourable])
