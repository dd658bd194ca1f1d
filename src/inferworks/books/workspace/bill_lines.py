"""The lines of bills as a statement is drawn from them: held where they are few, else to be read."""

from __future__ import annotations

from inferworks.books.calendar.span import Span, Times
from inferworks.books.lines import MANY_LINES, Charges
from inferworks.books.repository.store import BookStore
from inferworks.books.repository.stored_lines import StoredLines
from inferworks.folder import DataFolder


class BillLines:
    """The lines in the books of `folder` that meet `span`; none when nothing was imported yet."""

    def __init__(self, folder: DataFolder, span: Span, currency: str) -> None:
        self._folder, self._span = folder, span
        self.currency = currency
        """The currency of the books; that of the configuration where there are none."""
        self.times: list[Times] = []
        """Times of the lines."""
        if folder.books.exists():
            with BookStore(folder.books, read_only=True) as store:
                self.times, self.currency = store.times(*span), store.currency

    def charges(self, *, validated: bool = True) -> Charges:
        """Each of them, by id. Where they are `validated`, BooksError when they are not what was imported.

        That is theorems 16 and 17; of lines that are not held it comes when they are read.
        """
        count = sum(one.lines for one in self.times)
        if not count:
            return ()
        if count >= MANY_LINES:
            return StoredLines(self._folder.books, self._span, validated=validated)
        with BookStore(self._folder.books, read_only=True) as store:
            read = store.validated if validated else store.charges
            return tuple(read(*self._span))
