"""Division as relations: the same integers as `money.split` and `tree.split_down`."""

from __future__ import annotations

import random
from decimal import Decimal

import ibis
import pyarrow as pa
import pytest

from inferworks.books.allocation.hierarchical_split import split_down as split_down_in_python
from inferworks.books.calendar.span import Span
from inferworks.books.engines.apportion import Width, split_down, width_of
from inferworks.books.engines.base import floor_divide, whole_divide
from inferworks.books.engines.duckdb import DuckEngine
from inferworks.books.engines.time_buckets import NO_SLOT, Slots, part_of
from inferworks.errors import BooksError

pytestmark = pytest.mark.slow

DAY_NS = 86_400 * 10**9


def wholes(values: list[int]) -> pa.Array:
    """A column of DECIMAL(38, 0)."""
    return pa.array([Decimal(value) for value in values], pa.decimal128(38, 0))


def test_a_guessed_quotient_is_put_right(duck: DuckEngine) -> None:
    """Over all magnitudes, and right at the edges of every multiple, the quotient is the integer one."""
    dice = random.Random(1)
    pairs = [
        (
            dice.randrange(10 ** dice.randrange(1, 39)),
            dice.randrange(1, 10 ** dice.randrange(1, 38)),
        )
        for _ in range(20_000)
    ]
    pairs += [
        (quotient * divisor + off, divisor)
        for quotient in (0, 1, 2**52 + 1, 2**53 - 1, 10**18, 10**29)
        for divisor in (1, 3, 10**8 - 1, 2**26 + 1)
        for off in (0, divisor - 1)
    ]
    pairs = [(one, by) for one, by in pairs if one // by < 10**30 and one < 10**38]
    one, by = zip(*pairs, strict=True)
    rows = duck.table(pa.table({"n": range(len(one)), "one": wholes(one), "by": wholes(by)}))
    quotients = rows.mutate(quotient=floor_divide(rows.one, rows.by)).order_by("n")
    found = duck.fetch(quotients)["quotient"].to_pylist()
    assert [int(value) for value in found] == [a // b for a, b in pairs]


def test_days_are_whole_even_a_nanosecond_before_midnight(duck: DuckEngine) -> None:
    """A double cannot tell a nanosecond in this century; the correction can."""
    moments = [day * DAY_NS + off for day in (0, 1, 20_000, 100_000) for off in (0, 1, DAY_NS - 1)]
    rows = duck.table(pa.table({"at_ns": pa.array(moments, pa.int64())}))
    days = duck.fetch(rows.mutate(day=whole_divide(rows.at_ns, DAY_NS)).order_by("at_ns"))
    assert days["day"].to_pylist() == [at_ns // DAY_NS for at_ns in moments]


@pytest.mark.parametrize("width", Width)
def test_parts_are_those_of_the_definition(duck: DuckEngine, width: Width) -> None:
    """Ties, zeros, credits and one-leaf trees come out as `tree.split_down` has them."""
    dice = random.Random(2)
    rows: list[tuple[int, str, str, int, int]] = []
    expected: dict[tuple[int, str, str], int] = {}
    for number in range(200):
        amount = dice.randrange(-(10**15), 10**15) if number else 0
        weights = {
            (dice.choice("abc"), f"leaf-{n}"): dice.choice([0, 1, 1, dice.randrange(10**12)])
            for n in range(dice.randrange(1, 12))
        } | {("z", "leaf"): 1}
        parts = split_down_in_python(amount, weights, lambda leaf: ((leaf[0],),))
        for leaf, weight in weights.items():
            rows.append((number, *leaf, amount, weight))
            expected[number, *leaf] = parts[leaf]
    dice.shuffle(rows)
    group, first, then, amounts, weighed = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"g": group, "a": first, "b": then, "amount": wholes(amounts), "w": weighed})
    found = duck.fetch(split_down(duck.table(table), ["g"], ["a"], ["b"], by="w", width=width))
    parts = {(row["g"], row["a"], row["b"]): int(row["part"]) for row in found.to_pylist()}
    assert {leaf: part for leaf, part in expected.items() if part} == {
        leaf: part for leaf, part in parts.items() if part
    }


def test_an_amount_too_large_for_128_bits_is_refused() -> None:
    """Up to a sextillion it is halved; beyond, the error says what to do."""
    assert width_of(10**18 - 1, 10**18 - 1) is Width.NARROW
    assert width_of(10**18, 10**19) is Width.USUAL
    assert width_of(10**29, 10**18) is Width.WIDE
    with pytest.raises(BooksError, match="cut the charge"):
        width_of(10**31, 10**3)


def test_a_moment_falls_into_the_slot_that_holds_it(duck: DuckEngine) -> None:
    """Edges belong to the slot they open; before the first and from the last on there is none."""
    slots = Slots([Span(10, 20), Span(15, 40), Span(10, 40)])
    moments = list(range(5, 45))
    rows = duck.table(pa.table({"at_ns": pa.array(moments, pa.int64())}))
    rows = rows.mutate(slot=slots.number(rows.at_ns)).mutate(end=lambda t: slots.end_ns(t.slot))
    found = duck.fetch(rows.order_by("at_ns")).to_pylist()
    edges = [10, 15, 20, 40]
    for row in found:
        held = [n for n in range(3) if edges[n] <= row["at_ns"] < edges[n + 1]]
        assert row["slot"] == (held[0] if held else NO_SLOT)
        assert row["end"] == (edges[held[0] + 1] if held else 0)
    assert slots.within(Span(15, 40)) == range(1, 3)


def test_a_part_of_an_interval_is_that_of_a_span(duck: DuckEngine) -> None:
    """`part_of` as a relation gives what `Span.part_of` gives, halves and all."""
    dice = random.Random(3)
    rows = [
        (
            dice.randrange(1_000),
            start,
            start + dice.randrange(1, 50),
            at,
            at + dice.randrange(1, 60),
        )
        for start, at in ((dice.randrange(100), dice.randrange(100)) for _ in range(2_000))
    ]
    names = ("quantity", "start_ns", "end_ns", "from_ns", "until_ns")
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    table = duck.table(pa.table({"n": range(len(rows)), **columns}))
    part = part_of(table.quantity, table.start_ns, table.end_ns, (table.from_ns, table.until_ns))
    found = duck.fetch(table.mutate(part=part).order_by(ibis.asc("n")))["part"].to_pylist()
    expected = [Span(at, until).part_of(q, start, end) for q, start, end, at, until in rows]
    assert [int(value) for value in found] == expected
