"""The bill lines of a span as the books have them, read one at a time.

They are read anew for each use, and each time the books are opened for it alone. If they are read twice,
to build a statement and to seal its inputs, both must have read the same: the checksums of all lines have
the same sum, or something was imported in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from inferworks.books.calendar.span import Span
from inferworks.books.charge import Charge
from inferworks.books.lines import Glance, Lines
from inferworks.books.repository.store import BookStore
from inferworks.errors import BooksError

_FEW = 10_000
"""So many lines are looked up one by one; of more all are read."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(str).decode


class StoredLines(Lines):
    """The lines in the books at `path` whose period meets `span`."""

    def __init__(self, path: Path, span: Span, *, validated: bool = True) -> None:
        """Read the books at `path`; `validated` compares the lines with the register of deliveries."""
        super().__init__()
        self._path, self._span, self._validated = path, span, validated
        self._sum: int | None = None

    def __len__(self) -> int:
        with self._open() as store:
            return sum(one.lines for one in store.times(*self._span))

    def bodies(self) -> Iterator[bytes]:
        """Yield each line as its JSON. BooksError when they differ from an earlier reading."""
        read = 0
        with self._open() as store, closing(store.bodies(*self._span)) as found:
            for body, checksum in found:
                read += checksum
                yield body
        self._must_be_the_same(read)

    def names(self) -> Iterator[bytes]:
        """The id of each, as JSON; no line is read for it."""
        with self._open() as store:
            found = store.ids(*self._span)
        return map(_encode, found)

    def called(self, names: Collection[bytes]) -> Iterator[Charge]:
        """Yield the lines of the given names."""
        if len(names) > _FEW:
            return super().called(names)
        with self._open() as store:
            return iter(store.called(map(_decode, sorted(names))))

    def glances(self) -> Iterator[tuple[bytes, Glance]]:
        """Yield each line as its JSON with its `Glance`. BooksError when they differ from the import."""
        if not self._validated:
            yield from super().glances()
            return
        read = 0
        with self._open() as store, closing(store.lines(*self._span)) as found:
            for body, line, checksum in found:
                read += checksum
                yield body, line
        self._must_be_the_same(read)

    def _open(self) -> BookStore:
        return BookStore(self._path, read_only=True)

    def _must_be_the_same(self, read: int) -> None:
        if self._sum not in (None, read):
            raise BooksError("bills were imported meanwhile; nothing was done, try again")
        self._sum = read
