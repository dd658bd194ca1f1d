"""`--budget` of `inferworks books statement`: a statement beside the budget."""

from __future__ import annotations

import click

from inferworks.books.analysis.budget import (
    WHICH_IS,
    Against,
)
from inferworks.cli.books.formatting import amount, percentage, places_for, print_figures
from inferworks.cli.options import FilePath
from inferworks.cli.show import say

budget_option = click.option(
    "--budget",
    "budget",
    type=FilePath(folders=False),
    help="Budget to compare with: a CSV of period, line and amount.",
)
"""The option that names a budget."""


def print_budget(against: Against) -> list[str]:
    """Print a statement beside its budget, and return the notes to that."""
    lines = against.shown
    places = places_for(
        *(pico for one in lines for pico in (one.budget_pico or 0, one.actual_pico))
    )
    say(f"Beside it the budget of {against.file}", "")
    columns = ("", "BUDGET", "ACTUAL", "VARIANCE", "%", "WHICH IS")
    rows = []
    for one in lines:
        amounts = (one.budget_pico, one.actual_pico, one.variance_pico)
        texts = ("-" if pico is None else amount(pico, places) for pico in amounts)
        rows.append((one.name, *texts, percentage(one.percent), WHICH_IS[one.favourable]))
    print_figures(columns, rows, words=("WHICH IS",))
    return [
        f"Note: this is a part of {period}; its budget is cut by time." for period in against.cut
    ]
