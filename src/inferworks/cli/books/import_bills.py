"""`inferworks books import`: everything that says what things cost, in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from inferworks.books.bills import rates
from inferworks.books.bills.base import (
    BillFile,
    BillReader,
    bill_file,
    header_of,
    open_bill,
    refuse,
)
from inferworks.books.bills.base import Progress as RowsRead
from inferworks.books.bills.depreciation import DepreciationReader
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.payroll import PayrollReader, paid_twice
from inferworks.books.bills.reports import STORAGE, kind_of, read_reports
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.bills.voucher import VoucherReader
from inferworks.books.store import BookStore, Imported
from inferworks.cli.books.late_lines import late_lines, late_reports
from inferworks.cli.options import config_option, data_option, json_option, read_config
from inferworks.cli.show import print_json, print_table
from inferworks.cli.usage import conflict_text, take_in
from inferworks.cli.watch import watched
from inferworks.clock import SystemClock
from inferworks.errors import BillError
from inferworks.folder import DataFolder
from inferworks.money import format_pico

READERS: tuple[BillReader, ...] = (
    FocusBillReader(),
    TimesheetReader(),
    PayrollReader(),
    DepreciationReader(),
    VoucherReader(),
)
"""The kinds of file that become charges, told apart by their header."""


class Landed(msgspec.Struct, frozen=True):
    """What became of the lines of a file that was taken in: received = accepted + duplicate."""

    file: str
    kind: str
    received: int
    accepted: int
    duplicate: int
    amount: str
    """What the new lines sum to, in `currency`; zero where a file carries no money."""
    currency: str
    conflict: int = 0
    rejected: int = 0
    late: tuple[str, ...] = ()
    """Which closed periods the new lines are for, and which open one they correct."""


@click.command("import")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@config_option
@data_option
@json_option
def import_bills(
    files: tuple[Path, ...], config_path: Path | None, data_path: Path | None, as_json: bool
) -> None:
    """Take in what things cost: bills, time sheets, payroll and the like.

    CSV, JSON Lines or Parquet. The kind is told by the header: FOCUS bills (1.0 to 1.4), time sheets,
    payroll, depreciation schedules, vouchers, metered storage, and exchange rates, which go in before
    the rest. docs/costs-in.md shows the columns of each.

    A file lands whole or not at all, and the same file or line twice lands once. A line that is here
    already with another amount is refused and kept in quarantine. A line for a closed period lands and
    corrects the open one; a note says which.

    \b
    Examples:
      inferworks books import aws-2026-11.parquet
      inferworks books import rates.csv bills/*.csv timesheet.csv

    \b
    A time sheet names a node or an activity in each line:
      person,start,end,minutes,node,activity,pay,currency,sheet
      ann,2026-11-21T09:00Z,2026-11-21T17:00Z,40,gpu-3,,32.00,USD,2026-47
    """
    config = read_config(config_path, data_path)
    folder = DataFolder(Path(config.data.folder))
    folder.create()
    landed: list[Landed] = []
    refused: list[str] = []
    with BookStore(folder.books, currency=config.books.currency) as store:
        for path in sorted(files, key=_turn):
            try:
                landed.append(_import_file(path, store, folder))
            except BillError as error:
                refused.append(str(error))
        notes = _notes(landed, store)
    if as_json:
        print_json({"files": landed, "refused": refused, "notes": notes})
    elif landed:
        columns = ("FILE", "KIND", "NEW", "DUPLICATE", "AMOUNT", "CURRENCY")
        print_table(columns, map(_row, landed), right="NEW DUPLICATE AMOUNT")
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    conflicts = sum(file.conflict for file in landed)
    if conflicts:
        refused.append(conflict_text(conflicts))
    if refused:
        raise BillError("\n".join(refused))


def _notes(landed: Sequence[Landed], store: BookStore) -> list[str]:
    """What is no error and still worth a look."""
    late = [f"{file.file}: {text}" for file in landed for text in file.late]
    return [*late, *_paid_twice(landed, store)]


def _paid_twice(landed: Sequence[Landed], store: BookStore) -> list[str]:
    if not {file.kind for file in landed} & {PayrollReader.kind, TimesheetReader.kind}:
        return []
    return [
        f"{person} is paid by a time sheet and by the payroll for the same time; "
        "if that is the same money, one of the two is too much"
        for person in paid_twice(store.charges())
    ]


def _turn(path: Path) -> int:
    """When a file is taken in: exchange rates first, because the bills beside them may need them."""
    try:
        with path.open("rb") as file:
            return 0 if rates.recognises(header_of(bill_file(path.name, file.readline()))) else 1
    except (OSError, BillError):
        return 1  # whatever is wrong with it is said in its turn


def _import_file(path: Path, store: BookStore, folder: DataFolder) -> Landed:
    """Read and store one file; what became of its lines."""
    bill = open_bill(path)
    header = header_of(bill)
    report = kind_of(header)
    with watched(bill) as rows_read:
        if rates.recognises(header):
            return _import_rates(bill, store, rows_read)
        if report is not None and report.name == STORAGE:
            return _import_storage(bill, store, folder, rows_read)
        reader = reader_for(bill, READERS)
        charges = reader.read(bill, store.currency, rows_read, store.rates())
    done = store.add(bill, reader.kind, charges, SystemClock().now_ns())
    late = late_lines(done.charges, folder)
    return _landed(bill, reader.kind, done, store.currency, late)


def _import_rates(bill: BillFile, store: BookStore, rows_read: RowsRead) -> Landed:
    rows = rates.read_rates(bill, rows_read)
    done = store.add_rates(bill, rows, SystemClock().now_ns())
    return _landed(bill, rates.KIND, done, store.currency)


def _import_storage(
    bill: BillFile, store: BookStore, folder: DataFolder, rows_read: RowsRead
) -> Landed:
    """What was held is no cost but what divides one: it goes to the meter, as if it were reported."""
    reports, problems = read_reports(bill, STORAGE, rows_read)
    refuse(problems)
    late = late_reports(reports, folder)
    received = take_in(reports, folder)
    return Landed(
        file=bill.name,
        kind=STORAGE,
        received=received.received,
        accepted=received.accepted,
        duplicate=received.duplicate,
        conflict=received.conflict,
        amount=format_pico(0),
        currency=store.currency,
        late=tuple(late),
    )


def _landed(
    bill: BillFile, kind: str, done: Imported, currency: str, late: Sequence[str] = ()
) -> Landed:
    return Landed(
        file=bill.name,
        kind=kind,
        received=done.accepted + done.duplicate,
        accepted=done.accepted,
        duplicate=done.duplicate,
        amount=format_pico(done.accepted_pico),
        currency=currency,
        late=tuple(late),
    )


def _row(file: Landed) -> tuple[str, ...]:
    counts = str(file.accepted), str(file.duplicate)
    return file.file, file.kind, *counts, file.amount, file.currency
