"""Notes on an imported file: no errors, but worth a look."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.book_settings import NOVEMBER_NS

from inferworks.books.charge import Charge
from inferworks.books.deliveries.arriving import arriving_lines
from inferworks.books.workspace.file_notes import FileNotes
from inferworks.testing.books import a_charge, a_shift

DAY_NS = 86_400 * 10**9
DAY = (NOVEMBER_NS, NOVEMBER_NS + DAY_NS)
YEAR_NS = 366 * DAY_NS


def noted(*charges: Charge, taxes: tuple[str, ...] = ()) -> list[str]:
    """The notes on a file with these lines, imported on 1 November 2026."""
    notes = FileNotes("a.csv", "USD", taxes, NOVEMBER_NS)
    for lines in arriving_lines("focus", charges):
        notes.check(lines)
    return list(notes.texts())


def a_tax(amount: str, name: str) -> Charge:
    """A line of tax."""
    return replace(a_charge(name, amount, DAY), charge_category="Tax")


def pay(amount: str, **more: Any) -> Charge:
    """A line of pay of nobody in particular."""
    return replace(a_shift("ann", amount, DAY, node=None, activity="x"), resource_id=None, **more)


def test_a_usual_file_has_no_notes() -> None:
    """Nor has one without lines."""
    assert noted() == []
    assert noted(a_charge("a", "1", DAY), a_shift("ann", "1", DAY, node="node-1")) == []


def test_notes_of_the_reader_come_first_with_the_name_of_the_file() -> None:
    """In the order in which they were added."""
    notes = FileNotes("a.csv", "USD", (), NOVEMBER_NS)
    notes.add("one")
    notes.add("two")
    assert list(notes.texts()) == ["a.csv: one", "a.csv: two"]


def test_pay_that_is_nobodys_is_summed() -> None:
    """A line that names a node, an activity or a department is somebody's."""
    assert noted(pay("5"), pay("0.25"), pay("9", department="sales")) == [
        (
            "a.csv: 2 lines of pay without a split or a department: 5.25 USD stays unallocated, in cost of "
            "revenue"
        )
    ]
    assert "1 line of pay" in noted(pay("5"))[0]


def test_tax_that_nobody_gets_back_is_summed() -> None:
    """By the names of the company's recoverable taxes."""
    taxes = [a_tax("19", "VAT 19 %"), a_tax("5", "sales tax"), a_tax("1", "city tax")]
    text = "a.csv: {} USD of tax counts as cost; name what you get back in books.recoverable_taxes"
    assert noted(*taxes) == [text.format("25.00")]
    assert noted(*taxes, taxes=("VAT",)) == [text.format("6.00")]
    assert noted(*taxes, taxes=("*",)) == []


def test_tax_that_comes_to_nothing_is_not_told() -> None:
    """A tax and its credit."""
    assert noted(a_tax("5", "sales tax"), a_tax("-5", "sales tax")) == []


@pytest.mark.parametrize(
    ("start_ns", "text"),
    [
        (NOVEMBER_NS + YEAR_NS, ""),
        (NOVEMBER_NS + YEAR_NS + 1, "begins more than a year ahead (2027-11); is the year right?"),
        (NOVEMBER_NS - 3653 * DAY_NS - DAY_NS, ""),
        (
            NOVEMBER_NS - 3653 * DAY_NS - DAY_NS - 1,
            "is more than ten years ago (2016-10); is the year right?",
        ),
    ],
)
def test_times_far_off_are_doubted(start_ns: int, text: str) -> None:
    """A year ahead and ten years back, to the nanosecond; the farthest month is named."""
    line = a_charge("a", "1", (start_ns, start_ns + DAY_NS))
    found = noted(line, a_charge("b", "1", DAY))
    assert found == ([f"a.csv: 1 line is for a time that {text}"] if text else [])


def test_minutes_that_do_not_fit_their_time_are_doubted() -> None:
    """A quarter of an hour more may be rounded up."""
    hour = (NOVEMBER_NS, NOVEMBER_NS + 3_600 * 10**9)
    shifts = [
        replace(a_shift(f"ann {minutes}", "1", hour, node="node-1"), quantity=minutes, row=7)
        for minutes in ("60", "75", "75.5", "600")
    ]
    assert noted(*shifts) == [
        (
            "a.csv: 2 lines have more minutes than there are from start to end, such as 75.5 of ann 75.5 "
            "in line 7; are the minutes right?"
        )
    ]


def test_notes_are_of_all_blocks_of_a_file() -> None:
    """Lines come some at a time, and the sums are of all of them."""
    notes = FileNotes("a.csv", "EUR", (), NOVEMBER_NS)
    for _ in range(2):
        for lines in arriving_lines("focus", [pay("5"), a_tax("1", "city tax")] * 150):
            notes.check(lines)
    first, second = notes.texts()
    assert first.startswith("a.csv: 300 lines of pay without a split or a department: 1500.00 EUR")
    assert second.startswith("a.csv: 300.00 EUR of tax counts as cost")
