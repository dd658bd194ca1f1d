"""Price books by date: the one that ships, and those that somebody pinned.

A pin is a decision with a date: from then on usage is estimated with this book, before it with the book
that held then. Pinned books are kept whole in the data folder, named by their hash, so they can be read
again long after the package that they came from was replaced. The book that ships is kept there as well,
once it was read: a start reads a file in hundredths of the time that the package takes to load.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from importlib import resources
from pathlib import Path

import msgspec

from inferworks.catalog.genai import installed_book, installed_source
from inferworks.catalog.prices import ListPrice, PriceBook, PriceList, book_json
from inferworks.errors import UserError


class Pin(msgspec.Struct, frozen=True, order=True):
    """Start of a price book: from `effective_ns` on, the book with this hash holds."""

    effective_ns: int
    sha256: str
    source: str


class ListPrices:
    """List prices at any moment, each from the book that held then."""

    def __init__(self, books: list[tuple[int, PriceList]]) -> None:
        """`books`: from which nanosecond each holds; the first also holds before its time."""
        self._books = sorted(books, key=lambda book: (book[0], book[1].sha256))

    def at(self, at_ns: int) -> PriceList:
        """The book that holds at `at_ns`."""
        begun = [book for from_ns, book in self._books if from_ns <= at_ns]
        return begun[-1] if begun else self._books[0][1]

    def list_price(self, provider: str, model: str, at_ns: int) -> ListPrice | None:
        """Return the list price of `model` at `provider` at `at_ns`; None when it is not known."""
        return self.at(at_ns).list_price(provider, model, at_ns)


def list_prices(folder: Path) -> ListPrices:
    """The list prices by the pins in `folder`; the shipped book where nothing was pinned.

    UserError when a pinned book was lost or altered, or nothing is pinned and the installed list is
    not the one this version was released with.
    """
    pinned = pins(folder)
    if not pinned:
        return ListPrices([(0, PriceList(shipped_book(folder)))])
    kept = []
    for pin in pinned:
        path = _path(folder, pin.sha256)
        try:
            book = msgspec.json.decode(path.read_bytes(), type=PriceBook)
        except (OSError, msgspec.DecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{path}: cannot be read: {reason}; restore it from a backup"
            ) from error
        if book.sha256 != pin.sha256:
            raise UserError(f"{path}: was altered since it was pinned; restore it from a backup")
        kept.append((pin.effective_ns, PriceList(book)))
    return ListPrices(kept)


def shipped_book(folder: Path) -> PriceBook:
    """The installed price list, if it is one that this version was released with; kept in `folder`."""
    text = resources.files("inferworks.catalog").joinpath("price_books.toml").read_text("utf-8")
    shipped = {row["source"]: row["sha256"] for row in tomllib.loads(text)["book"]}
    sha256 = shipped.get(installed_source(), "")
    path = _path(folder, sha256)
    with suppress(OSError, msgspec.DecodeError):  # else it is read from the package, and kept again
        kept = msgspec.json.decode(path.read_bytes(), type=PriceBook)
        if kept.sha256 == sha256:
            return kept
    book = installed_book()
    if book.sha256 not in shipped.values():
        raise UserError(
            f"{book.source} is not the price list that this version knows, and prices never change "
            "by themselves; look at it with `inferworks prices show`, then: inferworks prices pin"
        )
    if book.sha256 == sha256:
        with suppress(OSError):  # the folder may not be ours to write, or not there yet
            folder.mkdir(exist_ok=True)
            _write(path, book_json(book))
    return book


def pins(folder: Path) -> list[Pin]:
    """The pins in `folder`, oldest first."""
    path = folder / _PINS
    if not path.exists():
        return []
    try:
        return sorted(msgspec.json.decode(path.read_bytes(), type=list[Pin]))
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}; restore it from a backup") from error


def pin(folder: Path, book: PriceBook, effective_ns: int) -> Pin:
    """Keep `book` in `folder` and let it hold from `effective_ns` on.

    Pinning the book in force changes nothing. UserError when another book begins at that moment, or
    later: the past would change.
    """
    before = pins(folder)
    made = Pin(effective_ns, book.sha256, book.source)
    if before and before[-1].sha256 == made.sha256:
        return before[-1]
    if before and before[-1].effective_ns >= effective_ns:
        raise UserError(
            f"a price book is pinned from a later moment ({before[-1].source}); pins are only added "
            "after the last"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write(_path(folder, made.sha256), book_json(book))
    _write(folder / _PINS, msgspec.json.format(msgspec.json.encode([*before, made])))
    return made


_PINS = "pins.json"


def _path(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256}.json"


def _write(path: Path, data: bytes) -> None:
    """Write `data` to `path`, all of it or nothing, and durably."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
