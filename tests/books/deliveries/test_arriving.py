"""Arriving lines: named, summed and staged column by column, exactly as a line on its own would be."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferworks.books.charge import Charge, Foreign, NaturalClass
from inferworks.books.deliveries.arriving import (
    INDEX,
    SCHEMA,
    ArrivingLines,
    PartSum,
    Total,
    added,
    arriving_lines,
    charge_row,
    discard,
    rounding_pico,
    sort_of,
    stage,
    totals_of,
)
from inferworks.books.deliveries.canonical import FOCUS, delivery_of, line_of
from inferworks.books.deliveries.parts import Part
from inferworks.checksum import long_row_checksum
from inferworks.errors import BillError
from inferworks.testing.books import a_charge

DAY_NS = 86_400 * 10**9


@pytest.fixture(name="db")
def _db() -> Iterator[sqlite3.Connection]:
    """A connection with the table of arriving lines."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute(SCHEMA)
        yield db


def a_line(day: int, amount: str = "1", **changes: Any) -> Charge:
    """A line of one day."""
    return a_charge("", amount, (day * DAY_NS, (day + 1) * DAY_NS), invoice="", **changes)


def rows(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """The part and the start, in days, of each staged line."""
    found = db.execute("SELECT part, period_start_ns FROM arriving ORDER BY rowid").fetchall()
    return [(part, start_ns // DAY_NS) for part, start_ns in found]


def test_no_charges_are_no_lines() -> None:
    """An empty file has not even an empty block."""
    assert list(arriving_lines(FOCUS, [])) == []


@pytest.mark.parametrize(("lines", "blocks"), [(1, [1]), (200, [200]), (201, [200, 1])])
def test_lines_come_in_blocks(lines: int, blocks: list[int]) -> None:
    """Two hundred are named and written together, and the next begin another block."""
    found = list(arriving_lines(FOCUS, (a_line(0, str(number)) for number in range(lines))))
    assert list(map(len, found)) == blocks
    assert [charge.amount_pico // 10**12 for some in found for charge in some.charges()] == list(
        range(lines)
    )


def test_a_block_is_of_one_file() -> None:
    """Lines of another file begin another block."""
    files = ["a", "a", "b", "a"]
    lines = [a_line(0, file=file, file_sha256=file * 64) for file in files]
    found = [(some.file, some.file_sha256, len(some)) for some in arriving_lines(FOCUS, lines)]
    assert found == [("a", "a" * 64, 2), ("b", "b" * 64, 1), ("a", "a" * 64, 1)]


def test_each_line_has_its_delivery_its_name_and_its_row() -> None:
    """Lines of two months, in turn: deliveries are listed once, and each line knows its own."""
    lines = [a_line(0, "1"), a_line(31, "2"), a_line(1, "4")]
    [some] = arriving_lines(FOCUS, lines)
    assert [delivery.period for delivery in some.deliveries] == ["1970-01-01", "1970-02-01"]
    assert list(some.places) == [0, 1, 0]
    assert [(one.lines, one.pico) for one in some.sums] == [
        (2, {"USD": 5 * 10**12}),
        (1, {"USD": 2 * 10**12}),
    ]
    named = [line_of(delivery_of(FOCUS, line), line) for line in lines]
    assert list(zip(*some.lines, strict=True)) == [one[:3] for one in named]
    assert [some.charge(place).id for place in range(3)] == [one.name for one in named]
    assert list(some.amounts_pico) == ["1000000000000", "2000000000000", "4000000000000"]
    for place in range(3):
        assert charge_row(some.charge(place))[4:] == (some.bodies[place], some.checksums[place])


def test_a_row_of_charges_has_its_checksum() -> None:
    """Also one that needs more room than most."""
    for text in ("", "x" * 5_000):
        charge = a_line(0, description=text)
        *row, checksum = charge_row(charge)
        assert tuple(row[:4]) == (charge.id, charge.file_sha256, 0, DAY_NS)
        assert checksum == long_row_checksum("charges", tuple(row))
        assert text.encode() in row[4]


def test_the_sort_of_a_line_is_all_that_decides_on_notes() -> None:
    """Two columns without a field of their own are part of it; they are missing where they are."""
    plain = sort_of(a_line(0, resource_type="VM", department="sales"))
    assert plain == (
        "a-cloud", "a-cloud", "", "Compute", "Usage", "VM", "sales", NaturalClass.PURCHASED_COMPUTE,
        None, None,
    )  # fmt: skip
    other = (("CommitmentDiscountStatus", "Unused"), ("Tags", "{}"), ("x_More", "1"))
    told = sort_of(a_line(0, resource_type="VM", department="sales", other=other))
    assert told == plain._replace(commitment_status="Unused", tags="{}")


def sum_of(lines: list[Charge]) -> PartSum:
    """The sum of `lines` counted one by one."""
    total = PartSum()
    for line in lines:
        total.add(line_of(delivery_of(FOCUS, line), line), line)
    return total


def test_a_sum_counts_lines_times_invoices_and_amounts_by_currency() -> None:
    """As they are billed: a line converted from euros counts in euros."""
    euros = Foreign("EUR", 3 * 10**12, None, "1.1", "1970-01-01", "a test")
    total = sum_of([
        a_line(0, "1"),
        replace(a_line(1, "2"), invoice="INV-1"),
        replace(a_line(4, "3.3"), foreign=euros),
        a_line(0, "-4"),
    ])  # fmt: skip
    part = total.part(-1, "series", "place")
    assert part == (
        -1, total.digest, 4, ((0, 2 * DAY_NS), (4 * DAY_NS, 5 * DAY_NS)), "series", "place",
        ("", "INV-1"), True,
    )  # fmt: skip
    assert total.totals() == {"USD": Total("-1", -(10**12)), "EUR": Total("3", 3 * 10**12)}


def test_a_sum_of_nothing_is_nothing() -> None:
    """No totals, no time, and a digest of zero."""
    empty = PartSum()
    assert empty.part(0, "", "") == Part(0, 0, 0, (), "", "", ())
    assert empty.totals() == {}
    assert empty == PartSum()
    assert empty != 0


def test_a_total_keeps_what_is_finer_than_a_picounit() -> None:
    """Three lines of 0.4 picounits, kept as 0 each: 1.2 are left out, and one picounit is to be added."""
    fine = [a_line(day, "0", exact="0.0000000000004") for day in range(3)]
    [total] = sum_of(fine).totals().values()
    assert total == Total("12E-13", 0)
    assert total.left == Decimal("1.2E-12")
    assert rounding_pico(total) == 1


@pytest.mark.parametrize(
    ("exact", "pico", "rounding"),
    [
        ("0", 0, 0),
        ("1", 10**12, 0),
        ("5E-13", 0, 0),
        ("15E-13", 1, 1),
        ("-15E-13", -1, -1),
        ("25E-13", 3, -1),
        ("1.00000000000049", 10**12, 0),
        ("-6E-13", 0, -1),
    ],
)
def test_a_rounding_line_is_the_exact_total_rounded_once_less_its_lines(
    exact: str, pico: int, rounding: int
) -> None:
    """Halves go to the even picounit, up and down alike."""
    assert rounding_pico(Total(exact, pico)) == rounding


def test_totals_are_added_by_currency() -> None:
    """Exactly, in one form of writing, and neither of both is changed."""
    one = {"USD": Total("0.10", 10**11), "EUR": Total("2", 2 * 10**12)}
    other = {"USD": Total("0.9000000000000001", 9 * 10**11), "GBP": Total("1.0", 10**12)}
    found = added(one, other)
    assert found == {
        "USD": Total("10000000000000001E-16", 10**12),
        "EUR": Total("2", 2 * 10**12),
        "GBP": Total("1", 10**12),
    }
    assert (one["USD"].exact, other["USD"].exact) == ("0.10", "0.9000000000000001")
    assert added({}, one) == {"USD": Total("1E-1", 10**11), "EUR": Total("2", 2 * 10**12)}
    assert added(one, {}) == one


LINES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["1", "-2.5"]), st.booleans()), max_size=6
)


@settings(max_examples=8)
@given(LINES, LINES, st.randoms(use_true_random=False))
def test_a_sum_is_the_same_in_any_order_and_in_any_pieces(
    one: list[tuple[int, str, bool]], other: list[tuple[int, str, bool]], dice: random.Random
) -> None:
    """The digest tells whether lines are the same; it must not tell how they came."""
    first, second = (
        [a_line(day, amount, exact="0.0000000000004" if fine else None)
         for day, amount, fine in drawn] for drawn in (one, other)
    )  # fmt: skip
    whole = sum_of([*first, *second])
    pieces = sum_of(second)
    pieces.merge(sum_of(first))
    turned = [*first, *second]
    dice.shuffle(turned)
    assert whole == pieces == sum_of(turned)
    assert hash(whole) == hash(pieces)
    assert whole.totals() == pieces.totals()


def test_lines_are_a_part_of_their_own_like_another() -> None:
    """The number, series and place are those of the part that lent them."""
    like = Part(7, 1, 9, ((0, 1),), "s", "p", ("i",))
    lines = [a_line(0, "1"), a_line(2, "2")]
    given_ = [(line_of(delivery_of(FOCUS, line), line), line) for line in lines]
    part, totals = totals_of(given_, like)
    assert part == sum_of(lines).part(7, "s", "p")
    assert totals == {"USD": Total("3", 3 * 10**12)}


def test_staged_lines_are_arrivals_by_delivery(db: sqlite3.Connection) -> None:
    """Numbered downwards as their deliveries appear, over all blocks of the file."""
    lines = [a_line(0, "1", file="f", file_sha256="h"), a_line(31, "2", file="f", file_sha256="h")]
    more = [a_line(day, file="f", file_sha256="h") for day in range(28)] * 8
    found = stage(db, arriving_lines(FOCUS, [*lines, *more]), ("s", "p"), -3)
    assert [(one.delivery.period, one.part.number, one.part.lines) for one in found] == [
        ("1970-01-01", -3, 225),
        ("1970-02-01", -4, 1),
    ]
    assert {(one.file, one.file_sha256) for one in found} == {("f", "h")}
    assert {(one.part.series, one.part.place) for one in found} == {("s", "p")}
    assert found[0].totals == {"USD": Total("225", 225 * 10**12)}
    assert rows(db)[:3] == [(-3, 0), (-4, 31), (-3, 0)]
    assert len(rows(db)) == 226


def test_nothing_staged_is_no_arrival(db: sqlite3.Connection) -> None:
    """A file without lines has no delivery."""
    assert stage(db, [], ("", ""), -1) == []


def test_lines_of_a_file_that_breaks_off_are_gone(db: sqlite3.Connection) -> None:
    """Lines of files before it stay."""
    stage(db, arriving_lines(FOCUS, [a_line(0)]), ("", ""), -1)

    def broken() -> Iterator[ArrivingLines]:
        yield from arriving_lines(FOCUS, [a_line(1), a_line(31)])
        raise BillError("a bad cell")

    with pytest.raises(BillError, match="a bad cell"):
        stage(db, broken(), ("", ""), -2)
    assert rows(db) == [(-1, 0)]


def test_discarded_parts_are_gone_and_others_stay(db: sqlite3.Connection) -> None:
    """An index on the staged lines changes nothing of that."""
    stage(db, arriving_lines(FOCUS, [a_line(0), a_line(31), a_line(59)]), ("", ""), -1)
    db.execute(INDEX)
    discard(db, [])
    assert [part for part, _ in rows(db)] == [-1, -2, -3]
    discard(db, [-1, -3, -9])
    assert [part for part, _ in rows(db)] == [-2]
