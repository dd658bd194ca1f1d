"""A progress bar for files that take a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inferworks.books.bills.base import BillFile
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.tables import is_text


@contextmanager
def watched(bill: BillFile) -> Iterator[RowsRead]:
    """How far the reading of `bill` is, on standard error when that is a terminal."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    rows = bill.raw.count(b"\n") if is_text(bill.raw) else None
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as progress:
        task = progress.add_task(bill.name, total=rows)
        yield lambda done: progress.update(task, completed=done)
