"""Promises of every export format, and the way of exports to the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from inferworks.books.exports.base import SUMS, Books, ExportFile, write_files
from inferworks.books.exports.formats import FORMATS, exporter
from inferworks.books.exports.stub import StubExporter
from inferworks.errors import UserError
from inferworks.testing.exports import check_exporter


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_keeps_the_promises(form: str, books: Books) -> None:
    """Named as it is called, and the same bytes for the same books."""
    assert exporter(form).name == form
    check_exporter(exporter(form), books)


@pytest.mark.parametrize("form", FORMATS)
def test_empty_books_can_be_exported(form: str, books: Books) -> None:
    """A span in which nothing happened is a file too."""
    nothing = msgspec.structs.replace(
        books.statement, billed_pico=0, lines=(), revenue_rows=(), entries=()
    )
    empty = msgspec.structs.replace(books, statement=nothing, allocated=())
    check_exporter(exporter(form), empty)


def test_several_files_lie_in_a_folder_with_their_sums(books: Books, tmp_path: Path) -> None:
    """`sha256sum --check` accepts the folder."""
    out = tmp_path / "out"
    paths = write_files(StubExporter({"a.txt": "one", "b.txt": "two"}).files(books), out)
    assert [path.name for path in paths] == ["a.txt", "b.txt", SUMS]
    for line in (out / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert {path.name for path in out.iterdir()} == {"a.txt", "b.txt", SUMS}


def test_one_file_goes_where_it_is_told(books: Books, tmp_path: Path) -> None:
    """The file goes to the path, or into the folder when the path is one."""
    files = StubExporter({"a.txt": "one"}).files(books)
    assert write_files(files, tmp_path / "mine") == (tmp_path / "mine",)
    assert write_files(files, tmp_path) == (tmp_path / "a.txt",)


def test_a_failed_export_leaves_what_was_there(tmp_path: Path) -> None:
    """The first of two files is not replaced when the second cannot be written, and nothing is left."""

    def full(sink: BinaryIO) -> None:
        sink.write(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_text("old")
    files = [ExportFile("a.txt", lambda sink: None), ExportFile("b.txt", full)]
    with pytest.raises(UserError, match="No space left"):
        write_files(files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"
    with pytest.raises(UserError, match="No space left"):
        write_files(files, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_named(books: Books, tmp_path: Path) -> None:
    """The error is one line with the path in it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the export to .*file"):
        write_files(StubExporter({"a": "1", "b": "2"}).files(books), tmp_path / "file")
