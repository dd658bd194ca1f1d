"""Which kind of file is this? Told by its header, never by its name."""

from __future__ import annotations

from collections.abc import Sequence

from inferworks.books.bills.base import BillFile, BillReader, header_of
from inferworks.errors import BillError


def reader_for(bill: BillFile, readers: Sequence[BillReader]) -> BillReader:
    """The first of `readers` that recognises `bill`; BillError when none does."""
    header = header_of(bill)
    for reader in readers:
        if reader.recognises(header):
            return reader
    seen = ", ".join(header)[:120]
    raise BillError(
        f"{bill.name}: neither a FOCUS bill (columns BilledCost, ChargePeriodStart, ...) nor a time "
        "sheet (columns person, start, end, minutes, ...), payroll, depreciation schedule, voucher, "
        "storage or rates file (see docs/costs-in.md); "
        f"its columns are: {seen}"
    )
