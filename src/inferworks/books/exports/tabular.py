"""Tables as CSV and Parquet.

CSV: UTF-8, comma, `\\n`, a quote only where one is needed, nothing for a missing value, and no text that a
spreadsheet would work out (`formula`). Parquet: amounts
are DECIMAL(38, 12) and whole numbers DECIMAL(38, 0), because neither a float nor 64 bits would hold them.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

from inferworks.arrow import pa, pq
from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.tables import Kind, Table, Value, books_tables
from inferworks.books.exports.values import decimal_text, moment_text
from inferworks.spreadsheet import inert

_BATCH = 50_000
_EXACT = Context(prec=60)


class CsvExporter:
    """The tables of the books as CSV."""

    name = "csv"
    about = "charges, parts, revenue, postings and totals as CSV"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file a table."""
        return [csv_file(table) for table in books_tables(books)]


class ParquetExporter:
    """The tables of the books as Parquet."""

    name = "parquet"
    about = "the same as Parquet"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file a table."""
        return [parquet_file(table) for table in books_tables(books)]


def csv_file(table: Table) -> ExportFile:
    """`table` as a CSV file."""
    return ExportFile(f"{table.name}.csv", partial(_write_csv, table))


def parquet_file(table: Table) -> ExportFile:
    """`table` as a Parquet file."""
    return ExportFile(f"{table.name}.parquet", partial(_write_parquet, table))


def text_of(value: Value, kind: Kind) -> str | None:
    """`value` as text, exactly; None when it is missing."""
    if value is None or isinstance(value, str):
        return value
    if kind is Kind.DECIMAL:
        return decimal_text(value)
    return moment_text(value) if kind in (Kind.MOMENT, Kind.SECOND) else str(value)


def _write_csv(table: Table, sink: BinaryIO) -> None:
    kinds = [column.kind for column in table.columns]
    writer = csv.writer(codecs.getwriter("utf-8")(sink), lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows:
        writer.writerow(
            inert(value) if isinstance(value, str) else text_of(value, kind)
            for value, kind in zip(row, kinds, strict=True)
        )


def _write_parquet(table: Table, sink: BinaryIO) -> None:
    type_of = {  # made here, for it loads Arrow: CSV and JSON do without
        Kind.TEXT: pa.string(),
        Kind.WHOLE: pa.decimal128(38, 0),
        Kind.DECIMAL: pa.decimal128(38, 12),
        Kind.MOMENT: pa.timestamp("ns", tz="UTC"),
        Kind.SECOND: pa.timestamp("ms", tz="UTC"),
    }
    types = [type_of[column.kind] for column in table.columns]
    schema = pa.schema(zip([column.name for column in table.columns], types, strict=True))
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        remaining = iter(table.rows)
        while rows := list(islice(remaining, _BATCH)):
            columns = zip(*rows, strict=True)
            arrays: list[pa.Array] = []
            for values, column, type_ in zip(columns, table.columns, types, strict=True):
                make = _CELLS.get(column.kind)
                cells: Sequence[Any] = values
                if make is not None:
                    cells = [make(one) if isinstance(one, int) else one for one in values]
                arrays.append(pa.array(cells, type_))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


_CELLS: Mapping[Kind, Callable[[int], Any]] = {
    Kind.DECIMAL: lambda pico: Decimal(pico).scaleb(-12, _EXACT),
    Kind.WHOLE: Decimal,
    Kind.SECOND: lambda at_ns: at_ns // 1_000_000,
}
"""Makes of a number what Arrow makes a cell of, where it is another."""
