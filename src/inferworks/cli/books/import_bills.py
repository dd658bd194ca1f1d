"""`inferworks books import`: bills and time sheets in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inferworks.books.bills.base import BillFile, BillReader, open_bill
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.store import BookStore
from inferworks.cli.options import config_option, data_option, read_config
from inferworks.cli.show import print_table
from inferworks.clock import SystemClock
from inferworks.errors import BillError
from inferworks.folder import DataFolder
from inferworks.money import format_pico

READERS: tuple[BillReader, ...] = (FocusBillReader(), TimesheetReader())
"""The kinds of file that can be imported, told apart by their header."""


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@config_option
@data_option
def import_bills(files: tuple[Path, ...], config_path: Path | None, data_path: Path | None) -> None:
    """Take in bills (FOCUS CSV, 1.0 and later) and time sheets (CSV).

    The kind is told by the header. A file lands whole or not at all, and the same file or line twice
    lands once. A line that is here already with another amount is refused.

    \b
    Examples:
      inferworks books import aws-2026-11.csv
      inferworks books import bills/*.csv timesheet.csv

    \b
    A time sheet names a node or an activity in each line:
      person,start,end,minutes,node,activity,pay,currency,sheet
      ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,gpu-3,,32.00,USD,2026-47
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    rows: list[tuple[str, ...]] = []
    refused: list[str] = []
    with BookStore(folder.books, currency=config.books.currency) as store:
        for path in files:
            try:
                rows.append(_import_file(path, store))
            except BillError as error:
                refused.append(str(error))
    if rows:
        columns = ("FILE", "KIND", "NEW", "DUPLICATE", "AMOUNT", "CURRENCY")
        print_table(columns, rows, right="NEW DUPLICATE AMOUNT")
    if refused:
        raise BillError("\n".join(refused))


def _import_file(path: Path, store: BookStore) -> tuple[str, ...]:
    """Read and store one file; what became of its lines, as a row to print."""
    bill = open_bill(path)
    reader = reader_for(bill, READERS)
    with _watched(bill) as rows_read:
        charges = reader.read(bill, store.currency, rows_read)
    done = store.add(bill, reader.kind, charges, SystemClock().now_ns())
    counts = (str(done.accepted), str(done.duplicate))
    return path.name, reader.kind, *counts, format_pico(done.accepted_pico), store.currency


@contextmanager
def _watched(bill: BillFile) -> Iterator[RowsRead]:
    """A progress bar on standard error, when that is a terminal."""
    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=terminal, transient=True, disable=not terminal.is_terminal
    ) as progress:
        task = progress.add_task(bill.name, total=bill.text.count("\n"))
        yield lambda rows: progress.update(task, completed=rows)
