"""How amounts are printed: rounded for reading, on the right, within 80 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.table import Table

from inferworks.books.statement import Statement
from inferworks.cli.show import console
from inferworks.money import PICO, round_pico
from inferworks.units import NS_PER_SECOND

if TYPE_CHECKING:  # Ibis takes its time to load
    from inferworks.books.engine.cut import CustomerStatement


def print_figures(
    columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str] = ()
) -> None:
    """A table of amounts, which stand on the right; the first column and those in `words` are words."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        left = place == 0 or name in words
        table.add_column(name, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
    click.echo()


def places_of(drawn: Statement | CustomerStatement) -> int:
    """Decimals to show: cents for a company, millionths for an afternoon."""
    return places_for(drawn.billed_pico, drawn.revenue_pico)


def places_for(*amounts_pico: int) -> int:
    """Decimals to show where the largest of `amounts_pico` is the largest figure."""
    return 2 if max(map(abs, amounts_pico), default=0) >= 1000 * PICO else 6


def amount(pico: int, places: int) -> str:
    """An amount for people."""
    return round_pico(pico, places=places)


def span_text(drawn: Statement | CustomerStatement) -> str:
    """The span of a statement, in words."""
    return f"{moment_text(drawn.start_ns)} to {moment_text(drawn.end_ns)}"


def moment_text(at_ns: int) -> str:
    """A moment as the date and time of day in UTC, to the second."""
    moment = dt.datetime.fromtimestamp(at_ns // NS_PER_SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
