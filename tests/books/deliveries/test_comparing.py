"""Comparison of lines as multisets: alike ones, those about the same, and the odd ones left over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferworks.books.charge import Charge
from inferworks.books.deliveries import arriving
from inferworks.books.deliveries.arriving import Total, arriving_lines, charge_row
from inferworks.books.deliveries.canonical import FOCUS, Delivery, delivery_of, line_of, with_id
from inferworks.books.deliveries.comparing import Lines
from inferworks.books.deliveries.parts import Part
from inferworks.books.repository.layout import SCHEMA, execute_all
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9
JANUARY = Delivery(FOCUS, "a-cloud", "", "1970-01-01")


def a_line(day: int, amount: str = "1", resource: str = "vm-1", **changes: Any) -> Charge:
    """A line of one day, on no invoice yet."""
    span = (day * DAY_NS, (day + 1) * DAY_NS)
    return a_charge("", amount, span, resource=resource, **{"invoice": "", **changes})


class Both:
    """Empty books, into which a test puts lines, and beside them those that arrive."""

    def __init__(self, db: sqlite3.Connection) -> None:
        execute_all(db, SCHEMA)
        db.execute(arriving.SCHEMA)
        self._db = db
        self._numbers = 0
        self.lines = Lines(db)

    def arriving(self, *charges: Charge) -> Part:
        """A part that arrives."""
        self._numbers += 1
        [found] = arriving.stage(self._db, arriving_lines(FOCUS, charges), ("", ""), -self._numbers)
        return found.part

    def there(self, *charges: Charge) -> Part:
        """A part that is in the books."""
        self._numbers += 1
        number, total = self._numbers, arriving.PartSum()
        for ordinal, charge in enumerate(charges, start=100 * number):
            line = line_of(delivery_of(FOCUS, charge), charge)
            kept = with_id(charge, line.name, ordinal)
            total.add(line, charge)
            self._db.execute("INSERT INTO charges VALUES (?, ?, ?, ?, ?, ?)", charge_row(kept))
            self._db.execute(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?)",
                (number, line.name, kept.id, line.about, line.carried),
            )
        return total.part(number, "", "")


@pytest.fixture(name="both")
def _both() -> Iterator[Both]:
    """Both sides, empty."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        yield Both(db)


ONE, TWO = a_line(0, "1"), a_line(1, "2")
CHANGED = a_line(0, "5")
ELSEWHERE = a_line(0, "1", "vm-2")


@pytest.mark.parametrize(
    ("one", "other", "common", "one_restates", "other_restates", "apart", "restated"),
    [
        ([ONE], [ONE], 1, True, True, False, False),
        ([ONE, TWO], [TWO, ONE], 2, True, True, False, False),
        ([ONE, TWO], [ONE], 1, True, False, False, False),
        ([ONE], [ONE, TWO], 1, False, True, False, False),
        ([ONE, ONE], [ONE], 1, True, False, False, False),
        ([ONE, ONE], [ONE, ONE], 2, True, True, False, False),
        ([CHANGED], [ONE], 0, True, True, False, True),
        ([CHANGED, TWO], [ONE, TWO], 1, True, True, False, True),
        ([ONE, CHANGED], [ONE], 1, True, False, False, False),
        ([ELSEWHERE], [ONE], 0, False, False, True, False),
    ],
)
def test_lines_are_compared_as_multisets(
    both: Both,
    one: list[Charge],
    other: list[Charge],
    common: int,
    one_restates: bool,
    other_restates: bool,
    apart: bool,
    restated: bool,
) -> None:
    """By name and by subject, in any order; arriving lines with those there, and these among themselves."""
    wanted = (common, len(one), len(other), one_restates, other_restates, apart, restated)
    arrived, there = both.arriving(*one), both.there(*other)
    assert both.lines.alike([arrived], [there]) == wanted
    assert both.lines.alike([both.there(*one)], [there]) == wanted
    assert both.lines.alike([arrived], [both.arriving(*other)]) == wanted


def test_parts_on_one_side_are_compared_together(both: Both) -> None:
    """Two parts of one line each are alike one part of both; nothing is alike nothing."""
    parts = [both.there(ONE), both.there(TWO)]
    whole = both.arriving(ONE, TWO)
    assert both.lines.alike([whole], parts)[:3] == (2, 2, 2)
    assert both.lines.alike([whole, both.arriving(ONE)], parts)[:3] == (2, 3, 2)
    assert both.lines.alike([], parts) == (0, 0, 2, False, True, True, False)


def test_amounts_that_are_written_otherwise_are_alike(both: Both) -> None:
    """Carried columns, as a tag or the number of an invoice, make no other line."""
    tagged = a_line(0, "1.00", other=(("Tags", "{}"),), invoice="INV-1")
    assert both.lines.alike([both.arriving(tagged)], [both.there(ONE)]).common == 1


def test_lines_within_a_time_lie_in_it_as_a_whole(both: Both) -> None:
    """To the nanosecond at both ends, on both sides."""
    parts = [both.arriving(ONE, TWO), both.there(ONE, a_line(5))]
    assert both.lines.within(parts, 0, 6 * DAY_NS) == 4
    assert both.lines.within(parts, 0, DAY_NS) == 2
    assert both.lines.within(parts, 1, DAY_NS) == 0
    assert both.lines.within(parts, 0, DAY_NS - 1) == 0
    assert both.lines.within(parts[:1], 0, 6 * DAY_NS) == 2
    assert both.lines.within([], 0, 6 * DAY_NS) == 0


TO_DATE = {
    "grown": ([a_line(1, "3"), a_line(2)], True),
    "the same": ([a_line(1, "2"), a_line(2)], True),
    "more lines": ([a_line(1, "2"), a_line(1, "1"), a_line(2)], True),
    "shrunk": ([a_line(1, "1"), a_line(2)], False),
    "gone": ([a_line(2)], False),
    "a credit instead": ([a_line(1, "-3"), a_line(2)], False),
    "grown, credited in part": ([a_line(1, "4"), a_line(1, "-1"), a_line(2)], True),
    "credited below": ([a_line(1, "4"), a_line(1, "-3"), a_line(2)], False),
}


@pytest.mark.parametrize(("tail", "wanted"), TO_DATE.values(), ids=TO_DATE)
def test_the_last_day_of_an_export_to_date_may_only_grow(
    both: Both, tail: list[Charge], wanted: bool
) -> None:
    """Two days, of which the second was not over: 2 of it may be 3 by now, and nothing less."""
    older = both.there(ONE, TWO)
    newer = both.arriving(ONE, *tail)
    assert both.lines.to_date([older], [newer]) is wanted


def test_credits_of_the_last_day_may_grow_too(both: Both) -> None:
    """A credit of 2 may be one of 3 by now."""
    older = both.there(ONE, a_line(1, "-2"))
    assert both.lines.to_date([older], [both.arriving(ONE, a_line(1, "-3"))])
    assert not both.lines.to_date([older], [both.arriving(ONE, a_line(1, "-1"))])


def test_earlier_days_of_an_export_to_date_are_settled(both: Both) -> None:
    """Another amount of the first day, a day less, or another beginning, is no later state."""
    older = both.there(ONE, TWO, a_line(2, "4"))
    for days in (
        [a_line(0, "9"), TWO, a_line(2, "4")],
        [ONE, a_line(2, "4")],
        [ONE, TWO, a_line(1, "7"), a_line(2, "4")],
        [TWO, a_line(2, "4"), a_line(3)],
    ):
        assert not both.lines.to_date([older], [both.arriving(*days)])
    assert both.lines.to_date([older], [both.arriving(ONE, TWO, a_line(2, "5"))])


def test_a_single_day_tells_of_no_export_to_date(both: Both) -> None:
    """Nothing of it was settled, so nothing shows that the other is a later state of it."""
    assert not both.lines.to_date([both.there(ONE)], [both.arriving(a_line(0, "3"))])
    assert not both.lines.to_date([both.there(ONE)], [both.arriving(ONE, TWO)])


def test_effective_costs_of_the_last_day_may_not_shrink_either(both: Both) -> None:
    """The billed amount stays at 2, and the effective one goes from 1 to half of it, or to twice."""
    older = both.there(ONE, a_line(1, "2", effective_pico=10**12))
    for effective_pico, wanted in ((2 * 10**12, True), (10**12 // 2, False)):
        newer = both.arriving(ONE, a_line(1, "2", effective_pico=effective_pico))
        assert both.lines.to_date([older], [newer]) is wanted


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ([ONE], [ONE], True),
        ([CHANGED], [ONE], True),
        ([a_line(0, "-1")], [ONE], False),
        ([ONE], [a_line(0, "-1")], False),
        ([a_line(0, "-1")], [a_line(0, "-2")], True),
        ([a_line(0, "-1", "vm-9")], [ONE], True),
        ([ONE, a_line(0, "-1")], [ONE], False),
        ([ONE, a_line(0, "-1")], [ONE, a_line(0, "-1")], True),
    ],
)
def test_a_credit_in_place_of_a_charge_goes_another_way(
    both: Both, one: list[Charge], other: list[Charge], wanted: bool
) -> None:
    """A credit about something that the other side lacks says nothing about it."""
    assert both.lines.same_way([both.arriving(*one)], [both.there(*other)]) is wanted


def test_further_lines_are_apart_where_nothing_else_is_about_them(both: Both) -> None:
    """Lines beyond those within; a second line of a subject is further too."""
    within, rest = both.there(ONE), both.there(TWO)
    for lines, wanted in (
        ([ONE], True),
        ([ONE, ELSEWHERE], True),
        ([ONE, a_line(1, "7")], False),
        ([ONE, TWO], False),
    ):
        assert both.lines.is_apart(both.arriving(*lines), [within], [rest]) is wanted
    twice = both.arriving(ONE, CHANGED)
    assert both.lines.is_apart(twice, [within], [rest])
    assert not both.lines.is_apart(twice, [within], [both.there(a_line(0, "3"))])


def test_a_part_reissues_an_invoice_if_it_charges_for_all_of_it(both: Both) -> None:
    """INV-1 is about vm-1 and vm-2, INV-2 about vm-3: the part must cover one of them, with charges."""
    first = both.there(a_line(0, "1", invoice="INV-1"), a_line(0, "1", "vm-2", invoice="INV-1"))
    second = both.there(a_line(0, "1", "vm-3", invoice="INV-2"))
    for lines, wanted in (
        ([a_line(0, "9"), a_line(0, "9", "vm-2")], True),
        ([a_line(0, "9", "vm-3")], True),
        ([a_line(0, "9")], False),
        ([a_line(0, "9"), a_line(0, "-9", "vm-2")], False),
        ([a_line(0, "0"), a_line(0, "9", "vm-2")], False),
        ([a_line(0, "-9", "vm-3")], False),
    ):
        assert both.lines.reissues(both.arriving(*lines), [first, second]) is wanted
    assert not both.lines.reissues(both.arriving(a_line(0, "9", "vm-3")), [first])


def names(both: Both, there: Part, *arriving_: Part, days: Sequence[tuple[int, int]]) -> list[int]:
    """The number of lines of `there` that are replaced in these days, and of those that stay."""
    spans = tuple((start * DAY_NS, end * DAY_NS) for start, end in days)
    by = [part.number for part in arriving_]
    goes = both.lines.of_time(there.number, spans, by)
    stays = both.lines.of_time(there.number, spans, by, inside=False)
    assert not set(goes) & set(stays)
    return [len(goes), len(stays)]


def test_lines_of_a_time_lie_within_it_or_are_about_the_same(both: Both) -> None:
    """A line that reaches beyond stays, unless an arriving one is about it."""
    long = a_charge("", "9", (0, 5 * DAY_NS), resource="vm-9", invoice="")
    there = both.there(ONE, TWO, a_line(2), long)
    other = both.arriving(ELSEWHERE)
    assert names(both, there, other, days=[(0, 1)]) == [1, 3]
    assert names(both, there, other, days=[(0, 1), (2, 3)]) == [2, 2]
    assert names(both, there, other, days=[(0, 5)]) == [4, 0]
    assert names(both, there, other, days=[(7, 8)]) == [0, 4]
    same = both.arriving(a_charge("", "1", (0, DAY_NS), resource="vm-9", invoice=""))
    assert names(both, there, same, days=[(7, 8)]) == [1, 3]


def test_lines_that_stay_are_a_part_with_totals_of_their_own(both: Both) -> None:
    """Number, series and place are those of the part that they were in."""
    there = both.there(ONE, TWO, a_line(5, "4", invoice="INV-1"))
    rest = both.lines.of_time(there.number, ((0, DAY_NS),), [], inside=False)
    part, totals = both.lines.part_of(JANUARY, rest, there)
    assert (part.number, part.lines, part.invoices) == (there.number, 2, ("", "INV-1"))
    assert part.spans == ((DAY_NS, 2 * DAY_NS), (5 * DAY_NS, 6 * DAY_NS))
    assert totals == {"USD": Total("6", 6 * 10**12)}
    assert part.digest == both.arriving(TWO, a_line(5, "4", invoice="INV-1")).digest


DRAWN = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["1", "2"])), max_size=4)


@settings(max_examples=6)
@given(DRAWN, DRAWN)
def test_a_comparison_is_the_same_from_either_side(
    one: list[tuple[int, str]], other: list[tuple[int, str]]
) -> None:
    """Sides exchanged, so are the counts and the restatements, and nothing else."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        both = Both(db)
        sides = [[both.there(*(a_line(*pair) for pair in drawn))] for drawn in (one, other)]
        found, turned = both.lines.alike(*sides), both.lines.alike(*sides[::-1])
    assert turned == found._replace(
        one=found.other,
        other=found.one,
        one_restates=found.other_restates,
        other_restates=found.one_restates,
    )
    common = sum(min(one.count(pair), other.count(pair)) for pair in set(one))
    assert (found.common, found.one, found.other) == (common, len(one), len(other))
