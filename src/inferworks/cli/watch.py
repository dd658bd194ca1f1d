"""A progress bar for files that take a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn

from inferworks.books.bills.base import BillFile
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.forms import is_packed
from inferworks.cli.show import progress_bar
from inferworks.visible import visible


@contextmanager
def watched(bill: BillFile) -> Iterator[RowsRead]:
    """Show the progress of reading `bill`, on standard error when that is a terminal."""
    countable = bill.is_text and not is_packed(bill.raw)
    rows = bill.raw.count(b"\n") if countable else None
    with progress_bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(visible(bill.name), total=rows)
        yield lambda done: progress.update(task, completed=done)
