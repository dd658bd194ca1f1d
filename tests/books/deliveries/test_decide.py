"""Theorem 16 of what says otherwise: a total is right, or nothing changed and the amounts are asked."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.books.deliveries.test_landing import Row, a_file, a_row, alone, there

from inferworks.books.bills.base import bill_file, no_progress
from inferworks.books.bills.focus import FocusBillReader
from inferworks.books.deliveries.decide import Answer, Fate
from inferworks.books.deliveries.landing import NOTHING_CLOSED
from inferworks.books.deliveries.parts import series_of
from inferworks.books.deliveries.record import Outcome
from inferworks.books.repository.store import BookStore

DAYS = range(1, 9)
ALONE, PARTS = "file {there}-{number}", "part-{number:05}"
"""Names of files: unlike any other, or those of the parts of an export that is written over."""
FULL = [a_row(day, "10", resource, InvoiceId="I-1") for day in DAYS for resource in ("a", "b")]


def give(
    store: BookStore, *files: list[Row], names: str = ALONE, answer: Answer | None = None
) -> list[Outcome]:
    """Import files of these rows in one command."""
    for number, rows in enumerate(files):
        file = a_file(names.format(number=number, there=len(store.imports())), rows)
        bill = bill_file(file.name, file.raw)
        lines = FocusBillReader().lines(bill, "USD", no_progress)
        store.stage_lines(lines, series_of("/bills", file.name))
    return list(store.land(answer))


def total(rows: list[Row]) -> Decimal:
    """Sum of `rows`."""
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def booked(store: BookStore) -> Decimal:
    """Sum of the books."""
    in_force = [one for one in store.imports() if one.state == "in force"]
    exact = sum((Decimal(t.exact) for one in in_force for t in one.totals.values()), Decimal(0))
    assert exact * 10**12 == sum(charge.amount_pico for charge in store.charges())
    return exact


def spanned(rows: list[Row]) -> tuple[str, str]:
    """From the first to the last moment of `rows`."""
    return min(row["ChargePeriodStart"] for row in rows), max(
        row["ChargePeriodEnd"] for row in rows
    )


def outside(there: list[Row], *files: list[Row]) -> list[Row]:
    """Rows of `there` which lie outside the time of each of `files`."""
    spans = list(map(spanned, files))
    return [
        row
        for row in there
        if all(
            row["ChargePeriodStart"] < start or row["ChargePeriodEnd"] > end for start, end in spans
        )
    ]


@pytest.mark.slow
@given(
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from(["7", "9.99", "10.5", "12", "-4", "0"]),
    st.sampled_from(["I-1", "I-2", ""]),
    st.sampled_from(["a", "ab", "abc", "c"]),
    st.booleans(),
    st.integers(0, 4),
)
@settings(max_examples=15, deadline=None)
def test_nothing_that_says_otherwise_is_dropped(
    days: set[int], amount: str, invoice: str, resources: str, as_series: bool, kept: int
) -> None:
    """Restated, credited, cut and added to, as a file of any name: without an answer, with each."""
    odd = [a_row(day, amount, one, InvoiceId=invoice) for day in sorted(days) for one in resources]
    second = [row for row in FULL if row["ChargePeriodStart"] < odd[0]["ChargePeriodStart"]][
        :kept
    ] + odd
    names = PARTS if as_series else ALONE
    for answer in (None, Answer.PART, Answer.REPLACE):
        with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
            give(store, FULL, names=names)
            [outcome] = give(store, second, names=names, answer=answer)
            found = booked(store)
            both, instead = total(FULL + second), total(outside(FULL, second) + second)
            if outcome.questions:
                assert answer is None
                assert found == total(FULL)
                assert f"({both:.2f} USD in all)" in outcome.questions[0]
                assert f"({instead:.2f} USD in all)" in outcome.questions[0]
                continue
            [told] = outcome.deliveries
            assert told.fate in (Fate.PART, Fate.REVISION, Fate.OLDER)
            assert found == {Fate.PART: both, Fate.REVISION: instead}.get(told.fate, total(FULL))
            if told.fate is Fate.OLDER:  # the last of its days was not over
                assert answer is None
                assert 0 <= Decimal(amount) < 10
                assert (len(second) - len(odd), len(days)) == (2 * (min(days) - 1), 1)
                assert "older copy" in told.remark
            if answer is Answer.PART:
                assert found == both
            if answer is Answer.REPLACE:
                assert found == instead


@pytest.mark.slow
def test_parts_that_are_cut_anew_replace_together() -> None:
    """A month of two parts, and again at other amounts, cut elsewhere: in one folder, and in another."""
    anew = [a_row(day, "9", one) for day in DAYS for one in ("a", "b")]
    for cut in (4, 8, 10):
        for names, answer in ((PARTS, None), (ALONE, Answer.REPLACE)):
            with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
                give(store, FULL[:8], FULL[8:], names=names)
                told = [
                    one.deliveries[0]
                    for one in give(store, anew[:cut], anew[cut:], names=names, answer=answer)
                ]
                assert booked(store) == total(anew)
                assert [one.changed.changed for one in told] == [cut, 16 - cut]
                assert sum(one.changed.gone for one in told) == 16
                assert there(store) == alone(*anew)


def test_a_part_of_another_cut_alone_is_asked() -> None:
    """A part that was written over and reaches into the time of the next one."""
    with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
        give(store, FULL[:8], FULL[8:], names=PARTS)
        [outcome] = give(
            store, [a_row(day, "9", one) for day in range(1, 7) for one in "ab"], names=PARTS
        )
        assert "(148.00 USD in all)" in outcome.questions[0]
        assert booked(store) == total(FULL)


def test_a_file_stands_for_the_time_that_it_spans_and_what_stays_is_told() -> None:
    """A month that lacks its last day: that is left, and may be taken back; a copy brings nothing back."""
    with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
        give(store, FULL)
        shorter = [row | {"BilledCost": "9"} for row in FULL[:14]]
        [outcome] = give(store, shorter, answer=Answer.REPLACE)
        assert "in place of 14 lines of file 0-0.csv (140.00 USD)" in outcome.deliveries[0].remark
        assert (
            "2 lines of file 0-0.csv (20.00 USD) from 2026-11-08 to 2026-11-09 stay"
            in outcome.deliveries[0].remark
        )
        assert give(store, FULL)[0].deliveries[0].fate is Fate.OLDER
        assert booked(store) == Decimal(146)
        [left] = [one for one in store.imports() if one.state == "in force" and one.lines == 2]
        store.void(left.number, "no such day", NOTHING_CLOSED, "ann", 1)
        assert booked(store) == Decimal(126)
        [outcome] = give(store, FULL, answer=Answer.REPLACE)
        assert booked(store) == total(FULL)
        assert there(store) == alone(*FULL)


def test_an_export_grows_beside_a_credit_that_was_added() -> None:
    """The export replaces its own lines, and the credit stays, until the export says otherwise."""
    credit = [a_row(2, "-4", InvoiceId="", ResourceId="a")]
    with TemporaryDirectory() as folder, BookStore(Path(folder) / "books.db") as store:
        give(store, FULL[:8])
        assert give(store, credit)[0].questions
        give(store, credit, answer=Answer.PART)
        give(store, FULL[:12])
        assert booked(store) == total(FULL[:12] + credit)
        give(store, FULL[4:6], answer=Answer.REPLACE)
        restated = [row | {"BilledCost": "11"} if row in FULL[2:4] else row for row in FULL]
        assert give(store, restated)[0].questions
        assert booked(store) == total(FULL[:12] + credit)
        give(store, restated[2:4], answer=Answer.REPLACE)
        assert booked(store) == total(restated[:12])
