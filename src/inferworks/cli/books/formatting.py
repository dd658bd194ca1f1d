"""Amounts as text: rounded for reading, on the right, within 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from inferworks.books.calendar.moments import utc_text
from inferworks.books.statement.computation import Line
from inferworks.books.statement.statement import NO_COSTS, Figures, remarks
from inferworks.cli.show import print_columns, say
from inferworks.money import PICO, round_pico


def print_figures(
    columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str] = ()
) -> None:
    """Print a table of amounts, aligned right; the first column and those in `words` are text."""
    left = {*columns[:1], *words}
    print_columns([(name, "left" if name in left else "right") for name in columns], rows)
    say()


def places_of(figures: Figures) -> int:
    """Decimals to show: cents for a company, millionths for an afternoon."""
    return places_for(figures.billed_pico, figures.revenue_pico)


def places_for(*amounts_pico: int) -> int:
    """Decimals to show where the largest of `amounts_pico` is the largest figure."""
    return 2 if max(map(abs, amounts_pico), default=0) >= 1000 * PICO else 6


def amount(pico: int, places: int) -> str:
    """An amount for people, its thousands apart."""
    whole, point, decimals = round_pico(pico, places=places).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.removeprefix('-')):,}{point}{decimals}"


def percentage(share: Decimal | None) -> str:
    """A percentage for people; a dash where there is none."""
    return "-" if share is None else f"{share:,}"


def span_text(figures: Figures) -> str:
    """The span of a statement, in words."""
    if figures.end_ns <= figures.start_ns:
        return "nothing recorded yet"
    return f"{utc_text(figures.start_ns)} to {utc_text(figures.end_ns)}"


def print_no_costs(lines: Sequence[Line]) -> None:
    """A word where figures have no cost in them, which look like a margin of 100 % else."""
    for remark in remarks(lines, ()):
        say(f"Note: {remark}")
        if remark == NO_COSTS:
            say("Import bills with: inferworks books import FILE")
