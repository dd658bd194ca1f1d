"""No cell of our CSV is worked out by a spreadsheet, and every text comes back from it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferworks.books.bills.base import BillFile, bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.charge import Charge
from inferworks.books.exports.base import content
from inferworks.books.exports.focus import FocusExporter
from inferworks.books.exports.tables import Column, Kind, Table
from inferworks.books.exports.tabular import csv_file, parquet_file
from inferworks.spreadsheet import inert, restored

from .books.exports.conftest import some_books

TRIGGERS = "=+-@\t\r\n"
texts = st.text(st.sampled_from("'=+-@\t\r\n1.a日") | st.characters(codec="utf-8"), max_size=8)


@given(texts)
def test_every_text_comes_back(text: str) -> None:
    """Any text comes back, and two texts never become one."""
    assert restored(inert(text)) == text


@given(texts)
def test_no_cell_is_a_formula(text: str) -> None:
    """A cell begins with nothing that is computed, unless it is a plain number."""
    cell = inert(text)
    if cell[:1] in TRIGGERS and cell:
        assert float(cell) == float(text)
    assert cell.removeprefix("'") == text or cell == text


@pytest.mark.parametrize("text", ["acme", "'tis", "", "-5", "+1.50", "a=b", "日本"])
def test_what_is_no_formula_stays(text: str) -> None:
    """Names and numbers stay as they are."""
    assert inert(text) == text


def test_only_text_of_csv_is_changed() -> None:
    """Numbers are written as they are; Parquet has types, and needs nothing."""
    columns = (Column("name"), Column("amount", Kind.DECIMAL), Column("count", Kind.WHOLE))
    table = Table("t", columns, (("=1+1", -5 * 10**12, -7), ("@x", None, 0)))
    rows = list(csv.reader(io.StringIO(content(csv_file(table)).decode())))
    assert rows[1:] == [["'=1+1", "-5.00", "-7"], ["'@x", "", "0"]]
    assert b"'=1+1" not in content(parquet_file(table))


HOSTILE = ("=cmd|' /C calc'!A0", "+acme", "@sum", "'=quoted", "-x", "acme")


def test_our_focus_gives_the_names_back() -> None:
    """Importing what was exported, from CSV as from Parquet: the same charges, named as they were."""
    files = {file.name: content(file) for file in FocusExporter().files(some_books(HOSTILE))}
    for name in ("customers", "suppliers"):
        one, other = (
            _charges(bill_file(name, files[f"{name}.{kind}"])) for kind in ("csv", "parquet")
        )
        assert {charge.id for charge in one} == {charge.id for charge in other}
        accounts = {
            value for charge in one for key, value in charge.other if key == "BillingAccountId"
        }
        if name == "customers":
            assert accounts == set(HOSTILE) - {"freda"}


def test_a_bill_of_others_is_read_as_it_stands() -> None:
    """An apostrophe of theirs is theirs: only what we wrote is read back."""
    bill = (
        "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName\n"
        "1.00,USD,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,'=them\n"
    )
    [charge] = _charges(bill_file("theirs.csv", bill.encode()))
    assert charge.issuer == "'=them"


def _charges(bill: BillFile) -> tuple[Charge, ...]:
    return FocusBillReader().read(bill, "USD", no_progress)
