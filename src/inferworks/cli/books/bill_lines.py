"""The lines of bills as a statement is drawn from them: each by itself, or alike ones in bundles."""

from __future__ import annotations

from contextlib import closing

from inferworks.books.charge import Charge
from inferworks.books.span import Span, Times
from inferworks.books.store import BookStore
from inferworks.books.workings import Rules
from inferworks.folder import DataFolder
from inferworks.meter.facts import Facts

MANY_LINES = 20_000
"""From so many lines on they are put into bundles, where figures are all that is wanted."""


class BillLines:
    """The lines in the books of `folder` that meet `span`; none when nothing was imported yet."""

    def __init__(self, folder: DataFolder, span: Span, currency: str) -> None:
        self._folder, self._span = folder, span
        self.currency = currency
        """The currency of the books; that of the configuration where there are none."""
        self.times: list[Times] = []
        """When they are for."""
        if folder.books.exists():
            with BookStore(folder.books, read_only=True) as store:
                self.times, self.currency = store.times(*span), store.currency

    def charges(self) -> list[Charge]:
        """Each of them, by id. BooksError when they are not what was imported (theorems 16 and 17)."""
        if not self._folder.books.exists():
            return []
        with BookStore(self._folder.books, read_only=True) as store:
            return store.validated(*self._span)

    def for_figures(self, rules: Rules, span: Span, facts: Facts) -> list[Charge]:
        """The same for the figures of `span`: where they are many, alike ones in bundles."""
        if sum(one.lines for one in self.times) < MANY_LINES:
            return self.charges()
        from inferworks.books.bundle import Bundler, Things  # numpy takes its time to load

        with (
            BookStore(self._folder.books, read_only=True) as store,
            closing(store.bodies(*self._span)) as bodies,
        ):
            return Bundler(rules, span, Things.of(facts)).charges(bodies)
