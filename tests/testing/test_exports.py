"""The conformance suite of exporters finds one that breaks a promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, BinaryIO

import pytest

from inferworks.books.exports.base import ExportFile
from inferworks.testing.exports import check_exporter

BOOKS: Any = None
"""Books that no exporter of these looks at."""


def writes(data: bytes) -> Callable[[BinaryIO], None]:
    """A function that writes `data`."""

    def write(sink: BinaryIO) -> None:
        sink.write(data)

    return write


def counts(numbers: Iterator[int]) -> Callable[[BinaryIO], None]:
    """A function that writes another number each time."""

    def write(sink: BinaryIO) -> None:
        sink.write(b"%d" % next(numbers))

    return write


@dataclass
class Made:
    """An exporter of some files."""

    files: Callable[[Any], list[ExportFile]]
    name: str = "mine"
    about: str = "a format of a few words"


def of(*files: tuple[str, bytes], **fields: str) -> Made:
    """An exporter of files by name and content."""
    return Made(lambda _: [ExportFile(name, writes(data)) for name, data in files], **fields)


def test_an_exporter_that_keeps_its_promises_passes() -> None:
    """One file or several, with plain names and the same bytes each time."""
    check_exporter(of(("a.txt", b"a")), BOOKS)
    check_exporter(of(("a.txt", b"a"), ("b.txt", b"a")), BOOKS)


@pytest.mark.parametrize(
    ("exporter", "words"),
    [
        (of(("a.txt", b"a"), name="my format"), "a format is named on the command line"),
        (of(("a.txt", b"a"), about="short"), "a format says what it is for in a few words"),
        (of(("a.txt", b"a"), about="long " * 18), "a format says what it is for in a few words"),
        (of(), "an export is at least one file"),
        (of(("a.txt", b"a"), ("a.txt", b"b")), "two files have one name"),
        (of(("../a.txt", b"a")), r"\.\./a\.txt"),
        (of(("a/b.txt", b"a")), r"a/b\.txt"),
        (of((".a", b"a")), r"\.a"),
        (of(("SHA256SUMS", b"a")), "SHA256SUMS is written beside the files"),
        (of(("a.txt", b"a"), ("b.txt", b"")), "no file is empty"),
    ],
)
def test_an_exporter_that_breaks_a_promise_is_found(exporter: Made, words: str) -> None:
    """The promise that was broken is named."""
    with pytest.raises(AssertionError, match=words):
        check_exporter(exporter, BOOKS)


def test_bytes_that_differ_are_found() -> None:
    """Within a file that is written twice, and between two exports."""
    numbers = count()
    changing = [ExportFile("a.txt", counts(numbers))]
    with pytest.raises(AssertionError, match="a file writes itself the same way again"):
        check_exporter(Made(lambda _: changing), BOOKS)
    with pytest.raises(AssertionError, match="the same books give the same bytes"):
        check_exporter(Made(lambda _: [ExportFile("a.txt", writes(b"%d" % next(numbers)))]), BOOKS)
