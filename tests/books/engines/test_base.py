"""Exact arithmetic on any engine: a guessed quotient put right, sums of nothing, and small tables."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inferworks.books.engines.base import (
    LIMIT,
    WHOLE,
    ScratchEngine,
    floor_divide,
    integers,
    no_rows,
    small_table,
    total,
    whole,
    whole_divide,
)
from inferworks.books.engines.duckdb import DuckEngine
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


def test_a_whole_number_has_up_to_38_digits(duck: DuckEngine) -> None:
    """The largest and the smallest come back as they were, by way of text."""
    values = [LIMIT - 1, 1 - LIMIT, 0, 10**20]
    rows = duck.table(pa.table({"n": range(4), "value": wholes(values)})).order_by("n")
    assert integers(duck.fetch(rows)["value"]) == values
    assert rows.value.type() == WHOLE
    assert integers(pa.chunked_array([wholes([])])) == []


def test_sums_of_wholes_are_wholes_and_of_nothing_zero(duck: DuckEngine) -> None:
    """Of some rows, of rows of which none is meant, and of no rows."""
    rows = duck.table(pa.table({"value": pa.array([2**62, 2**62, 5], pa.int64())}))
    sums = rows.agg(
        all=total(rows.value),
        some=total(rows.value, rows.value < 9),
        none=total(rows.value, rows.value < 0),
    )
    assert duck.fetch(sums).to_pylist() == [
        {"all": Decimal(2**63 + 5), "some": Decimal(5), "none": Decimal(0)}
    ]
    empty = rows.filter(rows.value < 0)
    assert duck.fetch(empty.agg(all=total(empty.value)))["all"].to_pylist() == [Decimal(0)]


def test_products_beyond_64_bits_are_exact(duck: DuckEngine) -> None:
    """Said to be wholes before they are multiplied."""
    rows = duck.table(pa.table({"value": pa.array([2**62], pa.int64())}))
    [found] = integers(duck.fetch(rows.mutate(twice=whole(whole(rows.value) * 2**20)))["twice"])
    assert found == 2**82


def test_small_tables_have_texts_and_numbers(duck: DuckEngine) -> None:
    """Some may be missing; a table may have no rows, and columns all the same."""
    table = small_table(duck, {"name": iter(["a", None])}, {"n": iter([2**62, None])})
    assert duck.fetch(table.order_by(ibis.asc("name", nulls_first=False))).to_pylist() == [
        {"name": "a", "n": 2**62},
        {"name": None, "n": None},
    ]
    empty = duck.fetch(small_table(duck, {"name": ()}, {"n": ()}))
    assert (empty.num_rows, empty.schema.names) == (0, ["name", "n"])
    assert empty.schema.types == [pa.string(), pa.int64()]


def test_a_file_without_rows_has_its_columns(tmp_path: Path) -> None:
    """Beside older files it gives them the columns that they lack."""
    schema = pa.schema([("a", pa.string()), ("b", pa.int64())])
    path = no_rows(tmp_path, "kept_1", schema)
    assert path == str(tmp_path / "kept_1.parquet")
    found = pq.ParquetFile(path).read()
    assert (found.num_rows, found.schema) == (0, schema)


def test_what_an_engine_keeps_on_the_disk_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    """Its block may have ended well or not."""
    with ScratchEngine(tmp_path):
        [folder] = tmp_path.iterdir()
        assert folder.name.startswith("inferworks-books-")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), ScratchEngine(tmp_path):
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []


def test_a_query_that_leaves_its_bounds_is_an_error_of_the_books(duck: DuckEngine) -> None:
    """Rather than a figure that is not exact."""
    rows = duck.table(pa.table({"value": wholes([LIMIT - 1])}))
    with pytest.raises(BooksError, match="the books' DuckDB query failed: "):
        duck.fetch(rows.mutate(more=whole(rows.value + 1)))
