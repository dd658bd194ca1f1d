"""The queries of the document: they find nothing in sound books, and something in each kind of fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from inferworks.books.exports.base import Books, write_files
from inferworks.books.exports.tabular import ParquetExporter
from inferworks.books.revenue.rating import Item
from inferworks.money import format_pico

from .conftest import many_terms, some_books
from .tie_outs import TieOuts, queries, write_tables


@pytest.fixture
def tie_outs(books: Books, tmp_path: Path) -> Iterator[TieOuts]:
    """The exports of the books, open."""
    write_tables(books, tmp_path)
    opened = TieOuts(tmp_path)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("query", range(len(queries()[1])))
def test_sound_books_tie_out(query: int, tie_outs: TieOuts) -> None:
    """No query finds a row."""
    assert tie_outs.wrong(query) == []


def test_there_are_enough_of_them() -> None:
    """Seven queries, each a few lines that a reviewer can read."""
    assert len(queries()[1]) == 7
    assert all(query.count("\n") < 20 for query in queries()[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "was", "becomes", "query"),
    [
        ("books/parts.csv", "0.123456789012", "0.123456789013", 0),
        ("books/postings.csv", "-512.25", "-512.26", 1),
        ("books/revenue.csv", "765432", "765433", 2),
        ("focus/customers.csv", "765432.00", "765433.00", 4),
        ("focus/suppliers.csv", "0.123456789012,,", "0.123456789013,,", 5),
        ("books/totals.csv", "512", "513", None),
    ],
)
def test_a_fault_is_found_where_it_is(
    file: str, was: str, becomes: str, query: int | None, tie_outs: TieOuts, tmp_path: Path
) -> None:
    """The last digit of one amount is enough."""
    text = (tmp_path / file).read_text()
    if query is None:
        first = text.splitlines()[1].rsplit(",", 1)[1]
        was, becomes, query = first, first[:-1] + ("1" if first[-1] != "1" else "2"), 6
    assert was in text
    (tmp_path / file).write_text(text.replace(was, becomes, 1))
    assert tie_outs.wrong(query)


def test_every_kind_of_price_ties_out(tmp_path: Path) -> None:
    """Tiers, a fee, a percentage off, a minimum, a price per request of a picounit."""
    books = some_books(more=[many_terms("col:on"), many_terms("plain")])
    items = {row.item for row in books.statement.revenue_rows}
    assert {Item.USAGE, Item.SUBSCRIPTION, Item.DISCOUNT, Item.MINIMUM} <= items
    write_tables(books, tmp_path)
    opened = TieOuts(tmp_path)
    assert [opened.wrong(query) for query in range(7)] == [[]] * 7
    opened.close()


def test_books_with_nothing_in_them_tie_out(books: Books, tmp_path: Path) -> None:
    """Headers without rows are sound."""
    nothing = msgspec.structs.replace(
        books.statement, billed_pico=0, lines=(), revenue_rows=(), entries=()
    )
    write_tables(msgspec.structs.replace(books, statement=nothing, allocated=()), tmp_path)
    opened = TieOuts(tmp_path)
    assert not opened.notice()
    opened.close()


def test_amounts_are_exact_in_parquet(books: Books, tmp_path: Path) -> None:
    """The tables as Parquet hold the same amounts, as decimals of twelve places."""
    write_files(ParquetExporter().files(books), tmp_path)
    with duckdb.connect() as db:
        found = db.sql(f"SELECT sum(amount) FROM '{tmp_path}/parts.parquet'").fetchall()
    assert str(found[0][0]) == f"{format_pico(books.statement.billed_pico, places=12)}"
