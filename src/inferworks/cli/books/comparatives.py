"""`--compare` of `inferworks books statement`: a statement beside that of another time."""

from __future__ import annotations

import click

from inferworks.books.analysis.change_effects import MEANINGS, Explained
from inferworks.books.analysis.comparatives import CAPTIONS, Comparison
from inferworks.books.statement.statement import Statement, remarks
from inferworks.cli.books.formatting import amount, percentage, places_for, print_figures, span_text
from inferworks.cli.show import say

compare_option = click.option(
    "--compare",
    "beside",
    metavar="WHAT",
    help="Time to compare with, and causes of change: previous, year-before, year-to-date, or a period.",
)
"""The option that names another time."""


def print_compared(now: Statement, found: Comparison, period: str | None) -> list[str]:
    """Print `now`, the statement of `period`, beside the comparatives `found`; return the notes to both."""
    name, then, rows, why = found
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
    _print_causes(why, places)
    return [
        f"Note, {which}: {note}"
        for which, statement in ((heads[0], now), (heads[1], then))
        for note in remarks(statement.lines, statement.notes)
    ]


def _print_causes(why: Explained, places: int) -> None:
    """Print why the gross margin changed; the causes sum to the change."""
    shown = [
        (f"{cause.value}: {MEANINGS[cause]}", amount(pico, places), why.mostly(cause))
        for cause, pico in why.by_cause().items()
        if why.mostly(cause)
    ]
    if shown:
        total = ("Gross margin", amount(why.change_pico, places), "")
        print_figures(("WHY IT CHANGED", "EFFECT", "MOSTLY"), [*shown, total], words=("MOSTLY",))
