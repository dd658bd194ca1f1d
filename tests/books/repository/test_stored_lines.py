"""Lines in the books, read one at a time: those of a span, the same at each reading, or an error."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from inferworks.books.bills.base import bill_file
from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.lines import glance
from inferworks.books.repository import stored_lines
from inferworks.books.repository.store import BookStore
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.errors import BooksError
from inferworks.testing.books import a_charge

SPAN = Span(0, 100)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Books with three lines in the span, and two beside it."""
    path = tmp_path / "books.db"
    spans = {"a": (0, 10), "b": (-5, 5), "c": (90, 110), "d": (-10, 0), "e": (100, 110)}
    add(path, "bills", *(a_charge(name, "1", span) for name, span in spans.items()))
    return path


def add(path: Path, name: str, *charges: Charge) -> None:
    """Import a file of vouchers."""
    with BookStore(path) as store:
        store.add(bill_file(name, name.encode()), "voucher", charges, 1)


def test_lines_are_those_that_meet_the_span(path: Path) -> None:
    """In the order of their ids, each as a charge, a name, JSON and at a glance."""
    lines = StoredLines(path, SPAN)
    charges = list(lines)
    assert sorted(charge.line for charge in charges) == ["a", "b", "c"]
    assert [charge.id for charge in charges] == sorted(charge.id for charge in charges)
    assert len(lines) == 3
    assert [msgspec.json.decode(body, type=Charge) for body in lines.bodies()] == charges
    assert list(lines.names()) == [f'"{charge.id}"'.encode() for charge in charges]
    assert list(lines.glances()) == [(body, glance(body)) for body in lines.bodies()]


def test_a_span_without_lines_has_none(path: Path) -> None:
    """Neither at once nor one by one."""
    lines = StoredLines(path, Span(200, 300))
    assert len(lines) == 0
    assert list(lines) == list(lines.names()) == list(lines.glances()) == []
    assert list(lines.called([])) == []


@pytest.mark.parametrize("few", [10_000, 0])
def test_lines_are_found_by_their_names(
    path: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, or of more than a few by reading all of them."""
    monkeypatch.setattr(stored_lines, "_FEW", few)
    lines = StoredLines(path, SPAN)
    names = list(lines.names())
    assert [charge.id for charge in lines.called(names[:2])] == [
        msgspec.json.decode(name) for name in names[:2]
    ]


def test_lines_read_again_are_the_same(path: Path) -> None:
    """By any way of reading them all."""
    lines = StoredLines(path, SPAN)
    first = list(lines.bodies())
    assert [body for body, _ in lines.glances()] == first == list(lines.bodies())


def test_an_import_between_two_readings_is_noticed(path: Path) -> None:
    """Then nothing that was computed of the first reading may be sealed with the second."""
    lines = StoredLines(path, SPAN)
    list(lines.bodies())
    add(path, "more", a_charge("f", "1", (50, 60)))
    for read in (lines.bodies, lines.glances):
        with pytest.raises(BooksError) as refused:
            list(read())
        assert str(refused.value) == ("bills were imported meanwhile; nothing was done, try again")
    assert len(list(StoredLines(path, SPAN).bodies())) == 4


def test_an_import_for_another_time_changes_nothing(path: Path) -> None:
    """Only lines of the span are compared."""
    lines = StoredLines(path, SPAN)
    list(lines.bodies())
    add(path, "more", a_charge("f", "1", (500, 600)))
    assert len(list(lines.glances())) == 3


def test_validated_lines_are_held_against_their_import(path: Path) -> None:
    """Theorem 16, after the last line; lines that are not validated are read as they are."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM lines WHERE id IN (SELECT MIN(id) FROM lines)")
        db.execute("DELETE FROM lines WHERE id IN (SELECT MIN(id) FROM lines)")
        db.execute("DELETE FROM lines WHERE id IN (SELECT MIN(id) FROM lines)")
    with pytest.raises(BooksError, match="theorem 16"):
        list(StoredLines(path, SPAN).glances())
    assert len(list(StoredLines(path, SPAN, validated=False).glances())) == 3
    assert len(list(StoredLines(path, SPAN).bodies())) == 3
