"""Output of commands: lines, tables, or JSON.

Every command prints here and nowhere else, so that text from outside is always escaped first
(`inferworks.visible`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from inferworks.visible import visible, visible_json

Side = Literal["left", "right"]

DESCRIPTION = TextColumn("{task.description}", markup=False)
"""Description of a progress bar; give it `visible` text."""


_CLEAR = "\x1b[H\x1b[2J"
_ID = re.compile(r"\b(?:key_[a-z2-7]{16}|[a-z]+_[0-9a-f]{16,})")
"""An id of ours: of a key, a call, a charge."""
_LONGEST_WORD = 48
"""Longest word that stays whole, in characters; longer ones, such as generated ids, are folded."""
_NARROWEST = 10
"""Least width of a column with longer words, in characters."""


def say(*lines: str, err: bool = False) -> None:
    """Print each of `lines` as one line, escaped; an empty one when there are none."""
    for line in lines or ("",):
        click.echo(visible(line), err=err)


def say_on(text: str) -> None:
    """A piece of a text that is still coming: its lines stay lines, and the last goes on."""
    lines = text.replace("\t", "    ").split("\n")
    click.echo("\n".join(map(visible, lines)), nl=False)


def clear_screen() -> None:
    """Begin anew at the top of the terminal that standard output is."""
    click.echo(_CLEAR, nl=False)


def counted(number: int, noun: str) -> str:
    """`1 key`, `2 keys`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def iso(at_ns: int) -> str:
    """`2026-12-01T09:00:00+00:00`, to the second."""
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat()


def print_json(value: Any) -> None:
    """Exactly one JSON document on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    click.echo(visible_json(text))


def print_title(title: str) -> None:
    """A heading, bold in a terminal."""
    _console().print(Text(visible(title), "bold"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = "") -> None:
    """A table; the columns named in `right` (space-separated) are aligned to the right.

    Without column names there is no head. Neither an id nor a name is broken into lines: they are there to
    be copied and searched for. A table that has too many of them is wider than its terminal.
    """
    names = right.split()
    print_columns([(name, "right" if name in names else "left") for name in columns], rows)


def print_columns(columns: Sequence[tuple[str, Side]], rows: Iterable[Sequence[str]]) -> None:
    """A table of columns, which may share a name, that stand on these sides."""
    cells = [[visible(cell) for cell in row] for row in rows]
    table = Table(
        box=None, pad_edge=False, header_style="bold", show_header=any(name for name, _ in columns)
    )
    needed = -1
    for number, (name, side) in enumerate(columns):
        texts = [row[number] for row in cells]
        has_ids = any(map(_ID.search, texts))
        longest = max([cell_len(name), *map(cell_len, texts)])
        words = [cell_len(word) for text in texts for word in text.split()]
        whole = max([cell_len(name), *(word for word in words if word <= _LONGEST_WORD)])
        least = longest if has_ids else max(whole, min(max([0, *words]), _NARROWEST))
        needed += 2 + least
        table.add_column(name, justify=side, overflow="fold", no_wrap=has_ids, min_width=least)
    for row in cells:
        table.add_row(*map(Text, row))
    console = _console()
    with console.capture() as printed:
        console.print(table, width=max(console.width, needed), crop=False)
    click.echo("\n".join(map(str.rstrip, printed.get().splitlines())))


def progress_bar(*columns: ProgressColumn) -> Progress:
    """Return a progress bar on standard error, shown in a terminal: the share done, and `columns`."""
    terminal = Console(stderr=True)
    return Progress(
        DESCRIPTION, *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    )


class _Console(Console):
    """Console that leaves the handling of a closed reader to the command."""

    def on_broken_pipe(self) -> None:
        """Say that there is no reader, where rich would end the program with an error."""
        raise BrokenPipeError


def _console() -> Console:
    """Standard output: coloured in a terminal, plain and 80 columns wide elsewhere."""
    terminal = _Console()
    return terminal if terminal.is_terminal else _Console(width=80, no_color=True, highlight=False)
