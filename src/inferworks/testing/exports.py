"""Conformance suite of the exporter seam; exporters of others can be held to it too."""

from __future__ import annotations

from inferworks.books.exports.base import SUMS, Books, Exporter, content


def check_exporter(exporter: Exporter, books: Books) -> None:
    """Check that `exporter` keeps the promises of the seam on `books`; AssertionError if not.

    It has a name and a description; its files have plain names of their own; none is empty; and exporting
    again, or writing a file again, gives the same bytes.
    """
    assert exporter.name.isidentifier(), "a format is named on the command line"
    assert 10 < len(exporter.about) < 90, "a format says what it is for in a few words"
    files = list(exporter.files(books))
    names = [file.name for file in files]
    assert files, "an export is at least one file"
    assert len(set(names)) == len(names), f"two files have one name: {names}"
    assert all(name == name.strip("./ ") and "/" not in name for name in names), names
    assert SUMS not in names, f"{SUMS} is written beside the files"
    first = [content(file) for file in files]
    assert all(first), "no file is empty, not even of empty books"
    assert first == [content(file) for file in files], "a file writes itself the same way again"
    again = [content(file) for file in exporter.files(books)]
    assert first == again, "the same books give the same bytes"
