"""Exchange rates, dated: what one unit of a currency was worth in another on a day.

    date,from,to,rate,source
    2026-11-02,EUR,USD,1.0842,ECB reference rate

`rate` is a decimal of at most twelve places, greater than zero. `source` says who quoted it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from inferworks.books.bills.base import (
    BillFile,
    Cells,
    Problem,
    Progress,
    read_rows,
    refuse,
    require_columns,
)
from inferworks.books.currency import RateRow
from inferworks.errors import BillError

KIND = "rates"
_COLUMNS = ("date", "from", "to", "rate", "source")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def recognises(header: Sequence[str]) -> bool:
    """Return True if the header is that of a file of rates."""
    return {"from", "to", "rate"} <= set(header)


def read_rates(bill: BillFile, progress: Progress) -> tuple[RateRow, ...]:
    """The rates in `bill`; BillError with every bad cell."""
    require_columns(bill, _COLUMNS)
    problems: list[Problem] = []
    rows: list[RateRow] = []
    for cells in read_rows(bill, problems, progress):
        if cells.amount_pico("rate") <= 0 and cells.optional("rate"):
            cells.note("rate", "must be a number greater than zero")
        pair = _currency(cells, "from"), _currency(cells, "to")
        if pair[0] == pair[1]:
            cells.note("to", "must be another currency than the one before")
        written = cells.text("date")
        day = written.removesuffix("T00:00:00.000000000Z")  # a Parquet timestamp of midnight
        if written and not _DAY.fullmatch(day):
            cells.note("date", "not a day; write 2026-11-21")
        elif written:
            try:
                day = dt.date.fromisoformat(day).isoformat()
            except ValueError:
                cells.note("date", "no such day")
        rows.append(RateRow(day, *pair, cells.text("rate"), cells.text("source")))
    refuse(problems)
    if not rows:
        raise BillError(f"{bill.name}: there are no rates in it")
    return tuple(rows)


def _currency(cells: Cells, column: str) -> str:
    text = cells.text(column)
    if text and not _CURRENCY.fullmatch(text):
        cells.note(column, "must be three capital letters (ISO 4217)")
    return text
