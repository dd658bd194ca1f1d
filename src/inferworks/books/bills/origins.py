"""Origin of a wrong cell in the file: its own column and its own text.

Problem. A person who corrects a file looks for the column and text in the message. A mapping takes a
column of ours from the first of several that has a text, and numbers and times are rewritten before they
are read: neither the column nor the text of the wrong cell is then the file's.

Decision. Only on an error the file is opened a second time, beside the first, and read up to the row.
Errors come in the order of rows, so a file with errors everywhere is read once more and not again.

Rejected. Keeping each row's own cells: every row would pay for the few wrong ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from inferworks.books.bills.mapping import BillMapping, Names
from inferworks.books.bills.paths import roots_of, text_at
from inferworks.books.bills.tables import Batch, Table


class Origin(NamedTuple):
    """Origin of a cell of ours."""

    column: str
    """Name of the column in the file."""
    text: str
    """Text of the cell in the file."""


class Origins:
    """The cells of the file that `table` opens, of whose columns `mapping` makes ours."""

    def __init__(self, table: Callable[[], Table], mapping: BillMapping | None) -> None:
        self._table, self._mapping = table, mapping
        self._batches: Iterator[Batch] | None = None
        self._batch = Batch((), {})

    def of(self, number: int, column: str) -> Origin | None:
        """Return the origin of `column` of ours in the row of this number; None if it cannot be told."""
        if self._batches is None:
            self._batches = iter(self._table().batches)
        while not (self._batch.numbers and self._batch.numbers[-1] >= number):
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._batch = batch
        if number not in self._batch.numbers:
            return None
        at = self._batch.numbers.index(number)
        row = {name: texts[at] for name, texts in self._batch.columns.items()}
        names = Names(row)
        ways = self._mapping.filled().get(column, ()) if self._mapping is not None else ()
        cells: list[Origin] = []
        for source in [source for way in ways for source in way.sources] or [column]:
            root = next((found for name in roots_of(source) if (found := names.find(name))), None)
            if root is not None and root.casefold() == source.casefold():
                cells.append(Origin(root, row[root]))
            elif root is not None:
                path = root + source[len(root) :]
                with suppress(ValueError):
                    cells.append(Origin(path, text_at(row, path)))
        return next((one for one in cells if one.text.strip()), cells[0] if cells else None)
