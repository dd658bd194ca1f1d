"""A file is read once where it is written as we write, and twice where a cell says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.command_line import run

from inferworks.books.bills.base import BillFile, bill_file, no_progress, read_rows
from inferworks.books.bills.detect import understood
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.bills.spelling import (
    NOTHING_GIVEN,
    Sort,
    SpelledOtherwiseError,
    Spelling,
    Survey,
    assumed_plain,
)
from inferworks.books.bills.tables import PLAIN, open_table
from inferworks.books.repository.store import BookStore
from inferworks.money import format_pico

SORTS = {"number": Sort.NUMBER, "moment": Sort.MOMENT, "currency": Sort.CURRENCY}
NUMBERS = (
    "1",
    "-1.5",
    "1.234",
    "0.5",
    "12.345678",
    "1e3",
    "1,5",
    "1,234",
    "(1)",
    "$2",
    "NULL",
    "x",
    "",
)
MOMENTS = (
    "2026-11-01",
    "2026-11-01T00:00:00Z",
    "2026-11-01 09:00",
    "11/1/2026",
    "1.11.2026",
    "20261101",
    "",
)
CURRENCIES = ("USD", "EUR", "usd", "", "null")
CELLS = st.tuples(*map(st.sampled_from, (NUMBERS, MOMENTS, CURRENCIES)))


@given(st.lists(CELLS, min_size=1, max_size=9))
def test_what_is_taken_as_it_is_would_be_so_after_a_survey(
    rows: list[tuple[str, str, str]],
) -> None:
    """A survey would change nothing of rows that are taken as they are, whatever mixture of spellings."""
    lines = [",".join(f'"{cell}"' for cell in row) for row in [tuple(SORTS), *rows]]
    raw = "\n".join(lines).encode()
    try:
        for _ in assumed_plain(open_table("a.csv", raw, PLAIN).batches, SORTS):
            pass
    except SpelledOtherwiseError:
        return
    survey = Survey("a.csv", SORTS, doubtful=False, stated=NOTHING_GIVEN)
    for batch in open_table("a.csv", raw, PLAIN).batches:
        survey.add("line", batch)
    assert survey.spelling() == Spelling()


@pytest.mark.parametrize("cell", ["1\n2", "1\n", " 1 ", "1\n,5", "\n"])
def test_lines_of_a_cell_are_not_cells(cell: str) -> None:
    """A cell of two numbers is none, and white space around one is none of it."""
    raw = f'BilledCost\n5\n"{cell}"\n'.encode()
    table = open_table("a.csv", raw, PLAIN)
    batches = assumed_plain(table.batches, {"BilledCost": Sort.NUMBER})
    if len(cell.split()) < 2:
        assert sum(len(batch.numbers) for batch in batches) == 2
    else:
        with pytest.raises(SpelledOtherwiseError):
            list(batches)


HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,InvoiceIssuerName,ResourceId\n"
)


def a_bill(*amounts: str) -> BillFile:
    """A bill with a line for each amount."""
    rows = [
        f'"{amount}",USD,2026-11-01,2026-11-02,A Cloud,vm-{n}\n' for n, amount in enumerate(amounts)
    ]
    return bill_file("a.csv", (HEADER + "".join(rows)).encode())


def test_a_late_cell_that_says_otherwise() -> None:
    """Behind more rows than are read at once: it ends the reading, and a survey reads all of them."""
    bill = a_bill(*["2"] * 9_000, "3,5")
    known = FocusBillReader().recognises
    assumed = understood(bill, known, assuming=True)
    with pytest.raises(SpelledOtherwiseError):
        list(read_rows(assumed, [], no_progress))
    surveyed = understood(bill, known)
    assert surveyed.spelling.marks == {"BilledCost": ","}
    assert not surveyed.assumed


def test_an_import_that_has_to_begin_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the first reading is left: each line counts once, as the survey reads it."""
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes(a_bill("2", "1.234,50", "7").raw)
    run("books", "import", "a.csv")
    with BookStore(tmp_path / "inferworks-data" / "books.db", read_only=True) as store:
        amounts = sorted(format_pico(charge.amount_pico) for charge in store.charges())
    assert amounts == ["1234.50", "2.00", "7.00"]
