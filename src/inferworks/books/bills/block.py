"""Some rows of a file, read column by column: `Cells` for many rows at once.

A bill of a million lines has a few hundred different texts in most of its columns. Each text is parsed
and encoded once for all the rows that have it, and a row costs no more than a look-up. What was found is
kept from block to block (`Memory`). Problems of a cell are noted for each row, as by `Cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from operator import gt
from typing import Any, Final, Generic, TypeVar

import msgspec

from inferworks.books.bills.base import Choice, Money, Problem, cell_text, money_in
from inferworks.books.bills.tables import Batch, Table, worked
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.deliveries.canonical import (
    ABOUT,
    NOT_CARRIED,
    canonical,
    normal,
)
from inferworks.errors import MoneyError
from inferworks.spreadsheet import restored

_MOST_KNOWN: Final = 4_096
"""Results of one function that are kept from block to block."""
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Memo(dict[K, T], Generic[K, T]):
    """Results of `make`, kept for as long as they are asked for again."""

    def __init__(self, make: Callable[[K], T]) -> None:
        super().__init__()
        self.make = make
        self.repeats = True
        """True unless most of what is asked for is new: that is made for its block alone."""
        self._asked = 0

    def __missing__(self, key: K) -> T:
        found = self[key] = self.make(key)
        return found

    def each(self, keys: Sequence[K]) -> list[T]:
        """Return the result for each of `keys`."""
        if not self.repeats:
            return list(map(self.make, keys))
        found = list(map(self.__getitem__, keys))
        self._asked += len(keys)
        if len(self) > _MOST_KNOWN:
            self.repeats = self._asked > 2 * len(self)
            self._asked = 0
            self.clear()
        return found


class Memory:
    """Results that are kept for the next blocks of a file, by function and column."""

    def __init__(self) -> None:
        self._memos: dict[tuple[str, Callable[..., Any]], Memo[Any, Any]] = {}
        self.reasons: dict[str, dict[str, str]] = {}
        """Reasons against cells that cannot be read, by column and text."""

    def memo(
        self, column: str, make: Callable[..., Any], bound: Callable[[K], T] | None = None
    ) -> Memo[K, T]:
        """Return the results of `make` for `column`.

        `make` is a function that outlives the block; `bound` is the same with what else it needs.
        """
        memo = self._memos.get((column, make))
        if memo is None:
            memo = self._memos[column, make] = Memo(bound or make)
        return memo

    def each(
        self,
        column: str,
        make: Callable[..., T],
        keys: Sequence[K],
        bound: Callable[[K], T] | None = None,
    ) -> list[T]:
        """Return `make` of each of `keys`, texts of `column` or what was found of them."""
        return self.memo(column, make, bound).each(keys)


class Block:
    """Rows of a file; what is wrong with their cells is noted in `problems`."""

    def __init__(
        self,
        file: str,
        table: Table,
        batch: Batch,
        problems: list[Problem],
        memory: Memory,
    ) -> None:
        self.numbers = batch.numbers
        self.memory = memory
        self._columns: dict[str, Sequence[str]] = {}
        # columns that are equal are one: bills say costs, quantities and names several times
        known: dict[tuple[str, ...], list[Sequence[str]]] = {}
        for name, cells in batch.columns.items():
            alike = known.setdefault((*cells[:1], *cells[-1:]), [])
            same = next((other for other in alike if other == cells), None)
            if same is None:
                alike.append(cells)
            self._columns[name] = cells if same is None else same
        self._file, self._table, self._problems = file, table, problems
        self._known: dict[str, list[str | None]] = {}

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
        """Return `make`, which outlives the block, of each cell of `column`."""
        return self.memory.each(column, make, self.cells(column))

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
        amounts: list[Money | None] = self._read(column, money_in, None)
        return [amount and amount.pico for amount in amounts]

    def period_ns(self, start: str, end: str) -> tuple[list[int], list[int]]:
        """The periods between the moments in two columns; they must have a length."""
        starts_ns, ends_ns = self._moment_ns(start), self._moment_ns(end)
        if all(starts_ns) and all(ends_ns) and all(map(gt, ends_ns, starts_ns)):  # type: ignore[arg-type]
            return starts_ns, ends_ns  # type: ignore[return-value]
        for at, (start_ns, end_ns) in enumerate(zip(starts_ns, ends_ns, strict=True)):
            if start_ns is not None and end_ns is not None and end_ns <= start_ns:
                self.note(at, end, f"must be after {start} {self.cells(start)[at]!r}")
        return [moment or 0 for moment in starts_ns], [moment or 0 for moment in ends_ns]

    def choice(self, column: str, known: type[Choice], usual: Sequence[Choice]) -> list[Choice]:
        """The one of `known` that `column` names in each row; the `usual` one where it is empty."""
        found = self.optional(column)
        if not any(found):
            return list(usual)
        names = {name.value: name for name in known}
        self.note_where(
            [at for at, text in enumerate(found) if text is not None and text not in names],
            column,
            f"must be one of {', '.join(known)}",
        )
        return [names.get(text or "", one) for text, one in zip(found, usual, strict=True)]

    def unread(self, read: Collection[str]) -> list[bytes]:
        """The JSON of the columns that are not in `read` and not empty, by name."""
        names = [name for name in sorted(self._columns) if name not in read]
        return self._joined(names, str)

    def about(self, read: Collection[str]) -> list[bytes]:
        """The JSON of those of them that tell what a line is about, without its brackets."""
        names = [name for name in sorted(self._columns) if name not in read and name in ABOUT]
        return self._joined(names, normal)

    def carried(self, read: Collection[str]) -> list[bytes]:
        """The JSON of those of them that a line carries, without its brackets."""
        names = [name for name in sorted(self._columns) if name not in {*read, *NOT_CARRIED}]
        return self._joined(names, canonical)

    def _joined(self, names: Sequence[str], write: Callable[[str], str]) -> list[bytes]:
        """The JSON of pairs of a column and the text of its cell as `write` has it, where it has one."""
        made: dict[int, list[bytes]] = {}

        def make(cell: str) -> bytes:
            text = cell_text(cell)
            return _encode(write(text)) if text else b""

        def pair(begin: bytes, value: bytes) -> bytes:
            return b"%b%b]" % (begin, value) if value else b""

        def pairs(name: str) -> list[bytes]:
            cells, begin = self._columns[name], b"[%b," % _encode(name)
            memo: Memo[str, bytes] = self.memory.memo(
                name, write, lambda cell: pair(begin, make(cell))
            )
            if memo.repeats:
                return memo.each(cells)
            if id(cells) not in made:  # of equal columns, which are one
                made[id(cells)] = list(map(make, cells))
            return [pair(begin, value) for value in made[id(cells)]]

        columns = map(pairs, names)
        filled = [column for column in columns if any(column)]
        if not filled:
            return [b""] * len(self)
        rows = zip(*filled, strict=True)
        if all(map(all, filled)):
            return list(map(b",".join, rows))
        return [b",".join(filter(None, row)) for row in rows]

    def _moment_ns(self, column: str) -> list[int | None]:
        self._require(column)
        return self._read(column, parse_moment_ns, None)

    def _require(self, column: str) -> None:
        """Note where `column` is empty."""
        if None in self.optional(column):
            self.note_where(missing(self.optional(column)), column, "must not be empty")

    def _read(self, column: str, read: Callable[[str], T], otherwise: T) -> list[T]:
        """Return `read` of each text; `otherwise` where it is empty, or fails and is noted."""
        reasons = self.memory.reasons.setdefault(column, {})

        def tried(cell: str) -> T:
            text = cell_text(cell)
            try:
                return read(text) if text else otherwise
            except (ValueError, MoneyError) as error:
                reasons[cell] = str(error)
                return otherwise

        made = self.memory.each(column, read, self.cells(column), tried)
        if reasons:
            for at, cell in enumerate(self.cells(column)):
                if cell in reasons:
                    self.note(at, column, reasons[cell])
        return made


def missing(texts: Sequence[str | None]) -> list[int]:
    """The places where there is none."""
    return [at for at, text in enumerate(texts) if text is None]
