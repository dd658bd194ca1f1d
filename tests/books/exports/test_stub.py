"""The exporter that ships as a fake."""

from __future__ import annotations

from inferworks.books.exports.base import Books
from inferworks.books.exports.stub import StubExporter
from inferworks.testing.exports import check_exporter


def test_the_stub_keeps_the_promises(books: Books) -> None:
    """The fake is held to what the real ones are."""
    check_exporter(StubExporter({"a.txt": "one", "b.txt": "two"}), books)
