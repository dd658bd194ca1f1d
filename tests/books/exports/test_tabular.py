"""Tables as CSV and Parquet: every value exact, every text as it was."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inferworks.books.exports.base import Books, ExportFile, content
from inferworks.books.exports.tables import Column, Kind, Row, Rows, Table, Value
from inferworks.books.exports.tabular import (
    CsvExporter,
    ParquetExporter,
    csv_file,
    parquet_file,
    text_of,
)

SECOND_NS = 10**9
COLUMNS = (
    Column("name"),
    Column("row", Kind.WHOLE),
    Column("amount", Kind.DECIMAL),
    Column("at", Kind.MOMENT),
    Column("day", Kind.SECOND),
)
BIGGEST = 10**38 - 1
ROWS: tuple[Row, ...] = (
    ("a", 1, 15 * 10**11, SECOND_NS + 1, SECOND_NS),
    ("=1+1", -1, -1, 0, 0),
    ('quoted "x", y\nz', BIGGEST, BIGGEST, None, None),
    (None, None, None, None, None),
    ("", 0, 0, 10**18, 10**18),
)


def a_table(rows: tuple[Row, ...] | Rows = ROWS) -> Table:
    """A table of every kind of column."""
    return Table("things", COLUMNS, rows)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Kind.DECIMAL, None),
        ("x", Kind.TEXT, "x"),
        ("", Kind.TEXT, ""),
        (7, Kind.WHOLE, "7"),
        (BIGGEST, Kind.WHOLE, "9" * 38),
        (1, Kind.DECIMAL, "0.000000000001"),
        (-15 * 10**11, Kind.DECIMAL, "-1.50"),
        (0, Kind.DECIMAL, "0.00"),
        (0, Kind.MOMENT, "1970-01-01T00:00:00Z"),
        (SECOND_NS + 1, Kind.MOMENT, "1970-01-01T00:00:01.000000001Z"),
        (SECOND_NS, Kind.SECOND, "1970-01-01T00:00:01Z"),
    ],
)
def test_a_value_is_written_exactly(value: Value, kind: Kind, text: str | None) -> None:
    """A missing one is none, and not an empty text."""
    assert text_of(value, kind) == text


def test_csv_has_a_header_and_a_row_a_line() -> None:
    """Quotes where one is needed, nothing for a missing value, and no formula."""
    file = csv_file(a_table())
    assert file.name == "things.csv"
    assert content(file).decode() == (
        "name,row,amount,at,day\n"
        "a,1,1.50,1970-01-01T00:00:01.000000001Z,1970-01-01T00:00:01Z\n"
        "'=1+1,-1,-0.000000000001,1970-01-01T00:00:00Z,1970-01-01T00:00:00Z\n"
        f'"quoted ""x"", y\nz",{BIGGEST},{"9" * 26}.{"9" * 12},,\n'
        ",,,,\n"
        ",0,0.00,2001-09-09T01:46:40Z,2001-09-09T01:46:40Z\n"
    )


def test_csv_in_utf_8_has_every_letter() -> None:
    """Without a mark of the order of bytes."""
    rows: tuple[Row, ...] = (("größe-🦥", 1, 1, 1, SECOND_NS),)
    raw = content(csv_file(a_table(rows)))
    assert raw.startswith(b"name,")
    [row] = csv.DictReader(io.StringIO(raw.decode("utf-8")))
    assert row["name"] == "größe-🦥"


def read(table: Table) -> pa.Table:
    """The Parquet file of a table."""
    return pq.ParquetFile(io.BytesIO(content(parquet_file(table)))).read()


def test_parquet_has_types_that_hold_every_value() -> None:
    """Amounts and whole numbers are decimals, moments are of UTC."""
    found = read(a_table())
    assert parquet_file(a_table()).name == "things.parquet"
    assert found.schema.names == [column.name for column in COLUMNS]
    assert found.schema.types == [
        pa.string(), pa.decimal128(38, 0), pa.decimal128(38, 12), pa.timestamp("ns", "UTC"),
        pa.timestamp("ms", "UTC"),
    ]  # fmt: skip
    assert found["name"].to_pylist() == [row[0] for row in ROWS]
    assert found["row"].to_pylist() == [None if row[1] is None else Decimal(row[1]) for row in ROWS]
    assert found["amount"].to_pylist()[:3] == [
        Decimal("1.500000000000"), Decimal("-0.000000000001"), Decimal(f"{'9' * 26}.{'9' * 12}"),
    ]  # fmt: skip
    assert found["at"].cast(pa.int64()).to_pylist() == [row[3] for row in ROWS]
    assert found["day"].cast(pa.int64()).to_pylist() == [1_000, 0, None, None, 10**12]


@pytest.mark.parametrize("make", [csv_file, parquet_file])
def test_a_table_without_rows_is_a_file_with_columns(
    make: Callable[[Table], ExportFile],
) -> None:
    """Readers find them, and no row."""
    raw = content(make(a_table(())))
    if make is csv_file:
        assert raw == b"name,row,amount,at,day\n"
    else:
        found = pq.ParquetFile(io.BytesIO(raw)).read()
        assert (found.num_rows, found.num_columns) == (0, 5)


@pytest.mark.parametrize("make", [csv_file, parquet_file])
def test_rows_are_read_as_they_are_written(make: Callable[[Table], ExportFile]) -> None:
    """Twice the same bytes, also of rows that are computed anew each time."""
    file = make(a_table(Rows(lambda: iter(ROWS))))
    assert content(file) == content(file) == content(make(a_table()))


def test_both_exporters_write_every_table_of_the_books(books: Books) -> None:
    """Under the same names; the rows are the same."""
    comma, parquet = CsvExporter().files(books), ParquetExporter().files(books)
    names = ["charges", "parts", "revenue", "postings", "corrections", "totals"]
    assert [file.name for file in comma] == [f"{name}.csv" for name in names]
    assert [file.name for file in parquet] == [f"{name}.parquet" for name in names]
    for one, other in zip(comma, parquet, strict=True):
        rows = list(csv.DictReader(io.StringIO(content(one).decode(), newline="")))
        found = pq.ParquetFile(io.BytesIO(content(other))).read()
        assert found.num_rows == len(rows)
        amounts = [Decimal(row["amount"]) for row in rows]
        assert amounts == found["amount"].to_pylist()
