"""Bills as CSV, read by whichever reader recognises them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from inferworks.books.bills.base import BillFile, bill_file, no_progress
from inferworks.books.bills.detect import reader_for
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge
from inferworks.money import format_pico

READERS = (FocusBillReader(), TimesheetReader())
SHIFT = {
    "person": "ann",
    "start": "2026-11-21T09:00:00Z",
    "end": "2026-11-21T17:00:00Z",
    "minutes": "40",
    "node": "gpu-3",
    "activity": "",
    "pay": "32.00",
    "currency": "USD",
    "sheet": "2026-47",
}


def csv_file(rows: Sequence[dict[str, str]], name: str = "bill.csv") -> BillFile:
    """A file with the columns of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return bill_file(name, text.getvalue().encode())


def read(bill: BillFile, currency: str = "USD") -> tuple[Charge, ...]:
    """The charges of `bill` by whichever reader recognises it."""
    return reader_for(bill, READERS).read(bill, currency, no_progress)


def billed(charges: Sequence[Charge]) -> str:
    """The total of `charges`."""
    return format_pico(sum(charge.amount_pico for charge in charges))
