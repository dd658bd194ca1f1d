"""Files read by a mapping."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.bills.base import BillFile, bill_file, no_progress
from inferworks.books.bills.detect import reader_for, understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.mapping import BillMapping, shipped
from inferworks.books.bills.payroll import PayrollReader
from inferworks.books.bills.spelling import GivenSpelling
from inferworks.books.bills.timesheet import TimesheetReader
from inferworks.books.charge import Charge

READERS = (FocusBillReader(), TimesheetReader(), PayrollReader())


def knows(header: Sequence[str]) -> bool:
    """Return whether `header` is of a file of our own."""
    return any(reader.recognises(header) for reader in READERS)


def stated(text: str, given: BillMapping, form: GivenSpelling | None = None) -> BillFile:
    """The file as its mapping makes it."""
    raw = text.encode(given.form.encoding or "utf-8")
    bill = bill_file("bill.csv", raw, given.form.encoding)
    return understood(bill, knows, form or GivenSpelling(), shipped(), given)


def charges(text: str, given: BillMapping, form: GivenSpelling | None = None) -> tuple[Charge, ...]:
    """The charges of the file."""
    bill = stated(text, given, form)
    return reader_for(bill, READERS).read(bill, "USD", no_progress)
