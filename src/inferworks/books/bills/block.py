"""Some rows of a file, read column by column: `Cells` for many rows at once.

A bill of a million lines has a few hundred different texts in most of its columns. Each text is parsed
once for all the rows that have it, and a row costs no more than a look-up. Problems of a cell are noted
for each row, as by `Cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import repeat
from typing import TypeVar

from inferworks.books.bills.base import Choice, Money, Problem, cell_text, money_in
from inferworks.books.bills.tables import Batch, Table, worked
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.deliveries.canonical import (
    ABOUT,
    NOT_CARRIED,
    Columns,
    about_column,
    carried_column,
    joined,
)
from inferworks.errors import MoneyError
from inferworks.spreadsheet import restored

T = TypeVar("T")


class Block:
    """Rows of a file; what is wrong with their cells is noted in `problems`."""

    def __init__(
        self,
        file: str,
        table: Table,
        batch: Batch,
        problems: list[Problem],
    ) -> None:
        self.numbers = batch.numbers
        self._columns = batch.columns
        self._file, self._table, self._problems = file, table, problems
        self._known: dict[str, list[str | None]] = {}
        self._codes: dict[str, tuple[Sequence[str], Sequence[int]]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def restored(self) -> Block:
        """Undo the escaping of formulas in a file that we wrote (`formula`)."""
        self._columns = {name: worked(cells, restored) for name, cells in self._columns.items()}
        return self

    def note(self, at: int, column: str, reason: str) -> None:
        """Note that the cell of the row at this place in `column` cannot be accepted."""
        number, value = self.numbers[at], self.cells(column)[at]
        self._problems.append(Problem(self._file, number, column, value, reason, self._table.place))

    def note_where(self, is_wrong: Collection[int], column: str, reason: str) -> None:
        """Note the same for the rows at these places."""
        for at in is_wrong:
            self.note(at, column, reason)

    def cells(self, column: str) -> Sequence[str]:
        """Return the cells of `column`; empty texts if the file lacks it."""
        return self._columns.get(column) or [""] * len(self)

    def each(self, column: str, make: Callable[[str], T]) -> list[T]:
        """Return `make` of each cell of `column`; it is called once for each text."""
        texts, places = self._coded(column)
        made = list(map(make, texts))
        if len(made) == len(self):
            return made
        return made * len(self) if len(made) == 1 else list(map(made.__getitem__, places))

    def _coded(self, column: str) -> tuple[Sequence[str], Sequence[int]]:
        """The different texts of `column`, and which of them stands in each row."""
        if column not in self._codes:
            cells = self.cells(column)
            place = {text: n for n, text in enumerate(dict.fromkeys(cells))}
            self._codes[column] = list(place), list(map(place.__getitem__, cells))
        return self._codes[column]

    def optional(self, column: str) -> list[str | None]:
        """The texts in `column`; None where it is empty, NULL or not there."""
        if column not in self._known:
            self._known[column] = self.each(column, cell_text)
        return self._known[column]

    def first(self, *columns: str) -> list[str | None]:
        """The texts in the first of `columns` that has one."""
        found = self.optional(columns[0])
        for column in columns[1:]:
            if None not in found:
                break
            found = [one or other for one, other in zip(found, self.optional(column), strict=True)]
        return found

    def text(self, column: str) -> list[str]:
        """The texts in `column`, which must not be empty."""
        self._require(column)
        return [text or "" for text in self.optional(column)]

    def money(self, column: str) -> list[Money]:
        """The amounts in `column`, of any precision, rounded once, half to even, to a picounit."""
        self._require(column)
        return self._read(column, money_in, Money(0))

    def optional_money_pico(self, column: str) -> list[int | None]:
        """Return the amounts in picounits; None where a cell is empty."""
        return self._read(column, lambda text: money_in(text).pico, None)

    def period_ns(self, start: str, end: str) -> tuple[list[int], list[int]]:
        """The periods between the moments in two columns; they must have a length."""
        starts_ns, ends_ns = self._moment_ns(start), self._moment_ns(end)
        for at, (start_ns, end_ns) in enumerate(zip(starts_ns, ends_ns, strict=True)):
            if start_ns is not None and end_ns is not None and end_ns <= start_ns:
                self.note(at, end, f"must be after {start} {self.cells(start)[at]!r}")
        return [moment or 0 for moment in starts_ns], [moment or 0 for moment in ends_ns]

    def choice(self, column: str, known: type[Choice], usual: Sequence[Choice]) -> list[Choice]:
        """The one of `known` that `column` names in each row; the `usual` one where it is empty."""
        found = self.optional(column)
        names = {name.value: name for name in known}
        self.note_where(
            [at for at, text in enumerate(found) if text is not None and text not in names],
            column,
            f"must be one of {', '.join(known)}",
        )
        return [names.get(text or "", one) for text, one in zip(found, usual, strict=True)]

    def unread(self, read: Collection[str]) -> list[tuple[tuple[str, str], ...]]:
        """The columns that are not in `read` and not empty, by name."""
        pairs = [self._pairs(name) for name in sorted(self._columns) if name not in read]
        filled = [column for column in pairs if any(column)]
        if not filled:
            return [()] * len(self)
        rows = zip(*filled, strict=True)
        if all(map(all, filled)):
            return list(rows)
        return [tuple(filter(None, row)) for row in rows]

    def columns(self, read: Collection[str]) -> Iterator[Columns]:
        """The JSON of the columns that are not in `read`, of each row, for the names of lines."""
        names = [name for name in sorted(self._columns) if name not in read]
        about = [self._told(name, about_column) for name in names if name in ABOUT]
        carried = [self._told(name, carried_column) for name in names if name not in NOT_CARRIED]
        return map(Columns, self._joined(about), self._joined(carried))

    def _told(self, name: str, make: Callable[[str, str], bytes]) -> list[bytes]:
        def told(cell: str) -> bytes:
            text = cell_text(cell)
            return make(name, text) if text else b""

        return self.each(name, told)

    def _joined(self, columns: Sequence[Sequence[bytes]]) -> Iterator[bytes]:
        return map(joined, zip(*columns, strict=True)) if columns else repeat(b"", len(self))

    def _pairs(self, name: str) -> list[tuple[str, str] | None]:
        def pair(cell: str) -> tuple[str, str] | None:
            text = cell_text(cell)
            return (name, text) if text else None

        return self.each(name, pair)

    def _moment_ns(self, column: str) -> list[int | None]:
        self._require(column)
        return self._read(column, parse_moment_ns, None)

    def _require(self, column: str) -> None:
        """Note where `column` is empty."""
        if None in self.optional(column):
            self.note_where(missing(self.optional(column)), column, "must not be empty")

    def _read(self, column: str, read: Callable[[str], T], otherwise: T) -> list[T]:
        """Return `read` of each text; `otherwise` where it is empty, or fails and is noted."""
        reasons: dict[str, str] = {}

        def tried(cell: str) -> T:
            text = cell_text(cell)
            try:
                return read(text) if text else otherwise
            except (ValueError, MoneyError) as error:
                reasons[cell] = str(error)
                return otherwise

        made = self.each(column, tried)
        if reasons:
            for at, cell in enumerate(self.cells(column)):
                if cell in reasons:
                    self.note(at, column, reasons[cell])
        return made


def missing(texts: Sequence[str | None]) -> list[int]:
    """The places where there is none."""
    return [at for at, text in enumerate(texts) if text is None]
