"""The whole books as one JSON document: the statement, and the tables under it. Amounts are texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

import msgspec

from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.tables import Table, books_tables
from inferworks.books.exports.tabular import text_of


class JsonExporter:
    """One JSON document."""

    name = "json"
    about = "the statement and the tables under it, in one document"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file."""
        return [ExportFile("books.json", partial(_write, books))]


def _write(books: Books, sink: BinaryIO) -> None:
    tables = {table.name: _rows(table) for table in books_tables(books)}
    document = {"statement": books.statement.to_json(), **tables}
    sink.write(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def _rows(table: Table) -> list[dict[str, str | None]]:
    return [
        {
            column.name: text_of(value, column.kind)
            for column, value in zip(table.columns, row, strict=True)
        }
        for row in table.rows
    ]
