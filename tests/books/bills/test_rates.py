"""Files of exchange rates."""

from __future__ import annotations

import pytest
from tests.support.own_bills import file

from inferworks.books.bills.base import no_progress
from inferworks.books.bills.rates import read_rates
from inferworks.errors import BillError


def test_rates_are_rows_of_text() -> None:
    """A day, a pair, a decimal and who said so."""
    text = "date,from,to,rate,source\n2026-11-02,EUR,USD,1.0842,ECB\n"
    (row,) = read_rates(file(text), no_progress)
    assert (row.day, row.rate, row.source) == ("2026-11-02", "1.0842", "ECB")
    for bad in ("0", "-1", "x", "1.0000000000001", ""):
        with pytest.raises(BillError, match="column rate"):
            read_rates(file(text.replace("1.0842", bad)), no_progress)
    for before, after in (
        ("EUR", "euro"),
        ("EUR", "USD"),
        ("2026-11-02", "2026-11-31"),
        ("ECB", ""),
    ):
        with pytest.raises(BillError, match="line 2, column"):
            read_rates(file(text.replace(before, after)), no_progress)
