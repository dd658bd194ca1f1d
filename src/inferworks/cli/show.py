"""How figures are printed: tables that fit 80 columns, or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Standard output: coloured in a terminal, plain and 80 columns wide elsewhere."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=80, no_color=True, highlight=False)


def counted(number: int, noun: str) -> str:
    """`1 key`, `2 keys`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Exactly one JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> None:
    """A table; the columns named in `right` (space-separated) are aligned to the right.

    Without column names there is no head. The first column is never broken into lines.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(
            name, justify="right" if name in right.split() else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*row)
    console().print(table)
