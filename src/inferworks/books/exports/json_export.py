"""The whole books as one JSON document: the statement, and the tables under it. Amounts are texts.

A table of a large bill has a million rows, so the document is written piece by piece, as `msgspec.json`
would write it whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

import msgspec

from inferworks.books.exports.base import Books, ExportFile
from inferworks.books.exports.tables import books_tables
from inferworks.books.exports.tabular import text_of


class JsonExporter:
    """One JSON document."""

    name = "json"
    about = "the statement and the tables under it, in one document"

    def files(self, books: Books) -> Sequence[ExportFile]:
        """One file."""
        return [ExportFile("books.json", partial(_write, books))]


def _write(books: Books, sink: BinaryIO) -> None:
    sink.write(b'{\n "statement": ' + _text(books.statement.to_json(), 1))
    for table in books_tables(books):
        sink.write(b",\n " + msgspec.json.encode(table.name) + b": ")
        opening = b"["
        for row in table.rows:
            cells = {
                column.name: text_of(value, column.kind)
                for column, value in zip(table.columns, row, strict=True)
            }
            sink.write(opening + b"\n  " + _text(cells, 2))
            opening = b","
        sink.write(b"[]" if opening == b"[" else b"\n ]")
    sink.write(b"\n}\n")


def _text(value: object, depth: int) -> bytes:
    """`value` as it stands so deep within a document; no text has a line of its own."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1)
    return text.replace(b"\n", b"\n" + b" " * depth)
