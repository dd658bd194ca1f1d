"""Results of an import in words and in numbers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from inferworks.books.deliveries.arriving import Total
from inferworks.books.deliveries.canonical import Delivery
from inferworks.books.deliveries.decide import Fate
from inferworks.books.deliveries.landing import Changed
from inferworks.books.deliveries.record import DeliveryOutcome
from inferworks.books.workspace.import_result import (
    CHANGING,
    Change,
    ImportedFile,
    ImportResult,
    change_of,
    conflict_text,
    line_count,
    no_rows_text,
)
from inferworks.errors import BillError

DELIVERY = Delivery("focus", "A Cloud", "acct-1", "2026-11-01")
NOTHING = Change("A Cloud, 2026-11", Fate.NEW, 1, 0, 0, 0, 0, 0, {}, {})
DONE = ImportedFile(file="a.csv", kind="focus", received=2, accepted=1, duplicate=1, amount="1",
                    currency="USD")  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines"), (2_000, "2,000 lines")]
)
def test_lines_are_counted_in_words(number: int, text: str) -> None:
    """One line alone is singular; thousands have their comma."""
    assert line_count(number) == text


def test_a_change_counts_replaced_lines_apart() -> None:
    """Of five added and four gone lines three replaced another: two were added, one is gone."""
    changed = Changed(added=5, kept=9, gone=4, changed=3, amended=6, withheld=7)
    outcome = DeliveryOutcome(
        DELIVERY, Fate.REVISION, 2, changed, {"USD": Total("10", 10**13)},
        {"USD": Total("125E-1", 125 * 10**11), "EUR": Total("1E-7", 10**5)}, "a remark",
    )  # fmt: skip
    assert change_of(outcome) == Change(
        "A Cloud, account acct-1, 2026-11", Fate.REVISION, 2, 2, 1, 3, 6, 7,
        {"USD": "10.00"}, {"USD": "12.50", "EUR": "0.0000001"}, "a remark",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fate", "text"),
    [
        (Fate.NEW, ""),
        (Fate.REVISION, "revision 3 of A Cloud, 2026-11: 1 line added"),
        (Fate.PART, "a further part of A Cloud, 2026-11: 1 line added"),
        (Fate.DUPLICATE, "A Cloud, 2026-11, which is here already: 1 line added"),
        (Fate.OLDER, "A Cloud, 2026-11, which is here already: 1 line added"),
    ],
)
def test_a_change_says_what_the_file_was_to_its_delivery(fate: Fate, text: str) -> None:
    """A new delivery needs no words: its file is in the list."""
    assert replace(NOTHING, fate=fate, revision=3, added=1).text == text


def test_a_change_lists_all_that_changed_and_the_totals() -> None:
    """In one order, currencies by name, zero left out, and the remark last."""
    change = replace(
        NOTHING, fate=Fate.REVISION, added=1_000, gone=1, changed=2, amended=3, withheld=4,
        after={"USD": "2.50", "EUR": "1.00"}, remark="two lines stay",
    )  # fmt: skip
    assert change.text == (
        "revision 1 of A Cloud, 2026-11: 1,000 lines added, 1 line gone, 2 lines changed, "
        "3 lines amended, 4 lines of a closed period left as sealed; 0.00 before, "
        "1.00 EUR and 2.50 USD after; two lines stay"
    )


def test_totals_that_stay_are_not_told() -> None:
    """An amendment alone moves no money."""
    same = {"USD": "1.00"}
    change = replace(NOTHING, fate=Fate.DUPLICATE, amended=1, before=same, after=same)
    assert change.text == "A Cloud, 2026-11, which is here already: 1 line amended"


@pytest.mark.parametrize("fate", list(Fate))
def test_without_a_change_there_is_only_the_remark(fate: Fate) -> None:
    """An older copy says why it changed nothing; else nothing is said."""
    assert replace(NOTHING, fate=fate).text == ""
    assert replace(NOTHING, fate=fate, remark="older").text == "older"


def test_fates_that_change_lines_are_all_but_repetitions() -> None:
    """A duplicate and an older copy are reported only with an amendment or a remark."""
    assert set(Fate) - CHANGING == {Fate.DUPLICATE, Fate.OLDER}


def test_a_result_without_refusals_raises_nothing() -> None:
    """Duplicates and notes are no errors; nor is an import of no files."""
    assert ImportResult((), (), ()).raise_for_refused() is None
    assert ImportResult((DONE,), (), ("a note",)).raise_for_refused() is None


def test_a_result_raises_every_refusal_and_the_conflicts_of_all_files() -> None:
    """A line for each refused file, and one for all rows that conflict with the record."""
    files = (replace(DONE, conflict=2), DONE, replace(DONE, conflict=3))
    with pytest.raises(BillError) as refused:
        ImportResult(files, ("a.csv: bad", "b.csv: worse"), ()).raise_for_refused()
    assert str(refused.value).splitlines() == ["a.csv: bad", "b.csv: worse", conflict_text(5)]
    with pytest.raises(BillError) as refused:
        ImportResult(files, (), ()).raise_for_refused()
    assert str(refused.value) == (
        "5 rows are on record already with other values; they were not counted, and both "
        "versions are in quarantine. Give a correction an id of its own"
    )


def test_a_file_without_rows_is_asked_about() -> None:
    """A header alone is likely an export that failed."""
    assert no_rows_text("a.csv") == (
        "a.csv: it names its columns and has no rows; was it exported whole?"
    )
