"""The books as flat tables: each charge, part, amount earned and posting once, and sums that agree."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from tests.support.small_company import SPAN, USD, worked_out

from inferworks.books.charge import Function
from inferworks.books.exports.base import Books, books_of
from inferworks.books.exports.tables import Kind, Rows, Table, Value, books_tables
from inferworks.books.period import Period
from inferworks.books.statement.corrections import Correction
from inferworks.testing.books import a_company

COMPUTATION = worked_out(a_company())
BOOKS = books_of(COMPUTATION, "Example Inference")


def tables(books: Books = BOOKS) -> dict[str, Table]:
    """The tables of the small company, by name."""
    return {table.name: table for table in books_tables(books)}


def column(name: str, column_name: str, books: Books = BOOKS) -> list[Value]:
    """The values of a column."""
    table = tables(books)[name]
    place = [column.name for column in table.columns].index(column_name)
    return [row[place] for row in table.rows]


def total(values: Iterable[Value]) -> int:
    """Sum of amounts."""
    return sum(value for value in values if isinstance(value, int))


def test_tables_have_their_names_and_one_of_them_waits_for_corrections() -> None:
    """Six, in the order in which they are documented."""
    assert list(tables()) == ["charges", "parts", "revenue", "postings", "corrections", "totals"]


@pytest.mark.parametrize(
    "name", ["charges", "parts", "revenue", "postings", "corrections", "totals"]
)
def test_each_row_has_a_value_for_every_column(name: str) -> None:
    """Of its kind, or none; amounts are the last column, after their currency."""
    table = tables()[name]
    assert [one.name for one in table.columns][-2:] == ["currency", "amount"]
    assert len({one.name for one in table.columns}) == len(table.columns)
    for row in table.rows:
        for value, of in zip(row, table.columns, strict=True):
            assert value is None or isinstance(value, str if of.kind is Kind.TEXT else int)
        assert row[-2] == "USD"
        assert not any(isinstance(value, bool | float) for value in row)


def test_rows_can_be_read_again() -> None:
    """Rows are computed on each iteration and never all held."""
    made: list[int] = []

    def make() -> list[tuple[Value, ...]]:
        made.append(1)
        return [("a",)]

    rows = Rows(make)
    assert made == []
    assert list(rows) == list(rows) == [("a",)]
    assert len(made) == 2
    assert list(tables()["parts"].rows) == list(tables()["parts"].rows)


def test_charges_stand_once_with_their_pool() -> None:
    """A row for each bill line, in the time that the span bears."""
    ids = column("charges", "charge_id")
    assert sorted(ids, key=str) == [item.charge.id for item in COMPUTATION.allocated]
    assert total(column("charges", "amount")) == 22 * USD
    pools = dict(zip(column("charges", "line"), column("charges", "pool"), strict=True))
    assert pools == {
        "machine": "machines", "disk": "storage", "web": "web", "repair": "people",
        "tokens": "providers",
    }  # fmt: skip
    assert set(column("charges", "period_end")) == {SPAN.end_ns}


def test_parts_sum_to_their_charges() -> None:
    """Within each they are numbered from 1."""
    billed = dict(zip(column("charges", "charge_id"), column("charges", "amount"), strict=True))
    numbers: dict[Value, list[Value]] = {}
    sums: dict[Value, int] = {}
    for id_, number, amount in zip(
        *(column("parts", name) for name in ("charge_id", "part", "amount")), strict=True
    ):
        numbers.setdefault(id_, []).append(number)
        sums[id_] = sums.get(id_, 0) + total([amount])
    assert sums == billed
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def test_functions_of_parts_sum_to_the_totals() -> None:
    """By the policy of the books."""
    sums: dict[Value, int] = {}
    for function, amount in zip(
        column("parts", "function"), column("parts", "amount"), strict=True
    ):
        sums[function] = sums.get(function, 0) + total([amount])
    totals = dict(zip(column("totals", "total"), column("totals", "amount"), strict=True))
    assert {name: pico for name, pico in totals.items() if name in sums} == sums
    assert set(Function) <= set(totals)
    assert totals["billed"] == totals["allocated"] == 22 * USD
    assert totals["revenue"] == 17 * USD
    assert totals["gross-margin"] == 17 * USD - BOOKS.statement.cost_of_revenue_pico


def test_revenue_is_quantity_times_price() -> None:
    """In picounits for a unit; who paid nothing has no row with an amount."""
    names = ("customer", "unit", "quantity", "price", "amount", "currency")
    rows = list(zip(*(column("revenue", name) for name in names), strict=True))
    paid = {(row[0], row[1]): row[2:5] for row in rows if row[4]}
    million = 10**6
    assert paid == {
        ("acme", "input_tokens"): (million, 8 * million, 8 * USD),
        ("acme", "output_tokens"): (million // 2, 12 * million, 6 * USD),
        ("burns", "input_tokens"): (million, 3 * million, 3 * USD),
    }


def test_postings_balance_in_every_entry() -> None:
    """Numbered from 1, within the span."""
    names = ("entry", "at", "amount")
    sums: dict[Value, int] = {}
    for number, at_ns, amount in zip(*(column("postings", name) for name in names), strict=True):
        assert isinstance(at_ns, int)
        assert SPAN.holds(at_ns)
        sums[number] = sums.get(number, 0) + total([amount])
    assert list(sums) == list(range(1, len(COMPUTATION.entries) + 1))
    assert set(sums.values()) == {0}


def test_corrections_stand_by_themselves() -> None:
    """With the period that they are for; the charges of the span are as they were."""
    line = BOOKS.statement.lines[0]
    earlier = Period(-1_000, 0, "before")
    correction = Correction(earlier, (), -7, (replace(line, amount_pico=-7),), (), ())
    books = replace(BOOKS, statement=replace(BOOKS.statement, corrections=(correction,)))
    assert column("corrections", "period", books) == ["before"]
    assert column("corrections", "amount", books) == [-7]
    assert column("corrections", "pool", books) == [line.pool]
    assert list(tables(books)["charges"].rows) == list(tables()["charges"].rows)
    assert list(tables()["corrections"].rows) == []
