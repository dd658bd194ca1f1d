"""Mappings from the columns of a foreign file to ours, in a file that anyone can write.

    title = "Example Cloud, monthly CSV"
    kind = "bill"

    [columns]
    BilledCost = { column = "cost_cents", unit = "cents" }
    ChargePeriodStart = "day"
    ChargePeriodEnd = { column = "day", plus = "1 day" }
    ChargeDescription = { text = "{model}, {direction}" }

    [constants]
    BillingCurrency = "USD"
    InvoiceIssuerName = "Example Cloud"

    [[leave_out]]
    column = "day"
    is = ["Total"]

Problem. Every product writes its costs in columns of its own, and a reader for each would repeat the
common work: signs, units, zones, totals below the table.

Decision. A mapping turns the rows of a file into rows of a kind that we read (`columns.KINDS`), so there
is one reader per kind. It is data: columns, words, units and constants, no expressions. Other columns are
kept beside the line under their name with the prefix `x_`. Those that ship (`mappings/`) are found by the
names of a file's columns; a mapping of one's own is given on the command line. Both are checked in full
when they are loaded, and the columns they need when they meet a file.

Rejected. A program per product; expressions in the mapping, which would have to be trusted, explained and
tested; guessing columns by their likeness while importing (a draft may guess, for a person reads it).
"""

from __future__ import annotations

import codecs
import re
import tomllib
import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import msgspec

from inferworks.books.bills.columns import KINDS, Kind
from inferworks.books.bills.spelling import Order, Sort
from inferworks.errors import BillError
from inferworks.files import text_of
from inferworks.misfit import misfit

MONEY: Final = {"cents": -2, "millicents": -5, "micro": -6, "nano": -9, "pico": -12, "thousands": 3}
"""Units of numbers, as powers of ten."""
SECONDS: Final = {"milliseconds": "0.001", "seconds": "1", "minutes": "60", "hours": "3600",
                  "days": "86400", "h:mm:ss": "1"}  # fmt: skip
"""Units of time, in seconds; `h:mm:ss` is how a duration is written."""
BYTES: Final = {
    f"{letter}{suffix}B": base**power
    for power, letter in enumerate("KMGTP", start=1)
    for suffix, base in (("", 1000), ("i", 1024))
}
"""Units of storage, in bytes."""
EPOCHS: Final = {"unix": 0, "unix_ms": -3, "unix_us": -6, "unix_ns": -9}
"""Units of a moment that is a number since 1970-01-01 UTC, as powers of ten of a second."""
MONTH: Final = "month"
"""Unit of a moment that is a month, or a day of it: where the month begins."""
IN_SECONDS: Final = {"minutes": "60", "seconds": "1"}
"""Our own columns that hold time, and what one of their units is."""
IN_BYTES: Final = frozenset({"bytes"})
PLUS: Final = re.compile(r"(-?\d{1,6}) (second|minute|hour|day|month)s?")
UNKNOWN: Final = "?"
"""Placeholder in a draft for a value that a person must give."""
_PLACE: Final = re.compile(r"\{([^{}]+)\}")
_LONGEST: Final = 256 * 1024


class Filled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Source of the text of a column, one of the first six, and its processing."""

    column: str = ""
    """A column. `a.b` is `b` in the JSON object in `a`."""
    join: tuple[str, ...] = ()
    """Several columns, with a space between them: a day and a time."""
    add: tuple[str, ...] = ()
    """Several numbers, summed; `a[].b` are all the `b` in the JSON array in `a`."""
    text: str = ""
    """A text in which `{column}` stands for what is in it."""
    above: str = ""
    """Value of a line above the header, by its first cell."""
    in_name: str = ""
    """Text for which `*` stands in the name of a column: the currency in `Amount (*)`."""
    before: str = ""
    """Only what is before the first of this."""
    after: str = ""
    """Only what is after the first of this; all of it where it is not there."""
    words: dict[str, str] = {}
    """Replacements of texts, whatever their case; others stay as they are."""
    otherwise: str | None = None
    """Replacement of a text that is none of `words`."""
    default: str = ""
    """Value of an empty text."""
    unit: str = ""
    """Unit of a number or a moment, where it is not ours: cents, hours, GiB, unix."""
    sign: int = 1
    """-1 where amounts owed are written with a minus."""
    plus: str = ""
    """Span added to a moment: `1 day`."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns it is made of."""
        first = (self.column,) if self.column else ()
        return (*first, *self.join, *self.add, *_PLACE.findall(self.text))


class Recognised(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Marks by which a file of this mapping is recognised."""

    columns: tuple[str, ...]
    """The columns that it has; `*` stands for anything."""
    without: tuple[str, ...] = ()
    """Columns that it must not have; excludes other files."""
    rows: str = ""
    """Path of the rows in a JSON document, such as `data[].results[]`."""


class GivenForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Spelling of the file, where it does not state it itself."""

    encoding: str = ""
    decimal_mark: str = ""
    dates: Order | None = None
    zone: str = ""


class LeftOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"is_": "is"}):
    """Rows that are no lines of their own: totals, carried balances."""

    column: str
    is_: tuple[str, ...] = ()
    starts: str = ""
    empty: bool = False


class BillMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mapping of the rows of one product's file to rows of a kind of ours."""

    title: str
    kind: str
    columns: dict[str, str | Filled | tuple[str | Filled, ...]] = {}
    """Sources of our columns; of several, the first that has a text."""
    constants: dict[str, str] = {}
    leave_out: tuple[LeftOut, ...] = ()
    ignore: tuple[str, ...] = ()
    """Columns that are not even kept beside the line: what differs in each export of the same line."""
    at_least: str = ""
    """Length of a charge that begins and ends at one moment, such as a fee or a tax."""
    beside: dict[str, tuple[str, ...]] = {}
    """Our numbers and their parts: parts that come to more were counted beside it, and are added."""
    keep_names: bool = False
    """True if columns that have our names have our meaning."""
    recognise: Recognised | None = None
    form: GivenForm = GivenForm()
    source: str = ""
    """Address of the product's documentation of its columns."""
    note: str = ""
    """Note shown whenever such a file is imported."""
    name: str = ""

    @property
    def of_kind(self) -> Kind:
        """The kind it maps to."""
        return KINDS[self.kind]

    def filled(self) -> dict[str, tuple[Filled, ...]]:
        """Return the sources of each of our columns, in the order in which they are tried."""
        return {
            name: tuple(
                Filled(column=one) if isinstance(one, str) else one
                for one in (found if isinstance(found, tuple) else (found,))
            )
            for name, found in self.columns.items()
        }

    def places(self) -> Iterator[Filled]:
        """All the places that any of our columns comes from."""
        for filled in self.filled().values():
            yield from filled

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if a file with these columns is one of this product's."""
        if self.recognise is None or not header:
            return False
        found = Names(header)
        return all(map(found.find, self.recognise.columns)) and not any(
            map(found.find, self.recognise.without)
        )


class Names:
    """The names of a file's columns, found whatever their case, and by patterns with one `*`."""

    def __init__(self, header: Iterable[str]) -> None:
        self._header = tuple(header)
        self._folded = {name.casefold(): name for name in reversed(self._header)}

    def find(self, name: str) -> str | None:
        """The column called `name`; None when there is none."""
        found = self._folded.get(name.casefold())
        if found is None and "*" in name:
            found = next((n for n in self._header if self.star(name, n) is not None), None)
        return found

    def star(self, name: str, column: str) -> str | None:
        """Return the text for which `*` in `name` stands if it matches `column`; else None."""
        before, _, after = name.partition("*")
        found = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", column, re.IGNORECASE)
        return found and found[1].strip()


def load_mapping(path: Path) -> BillMapping:
    """The mapping in a file; BillError with all that is wrong with it."""
    return read_mapping(path.name, text_of(path, "mapping", BillError, _LONGEST))


def read_mapping(name: str, text: str) -> BillMapping:
    """The mapping in `text`, called `name`; BillError with all that is wrong with it."""
    try:
        tables = tomllib.loads(text)
        found = msgspec.convert(tables, BillMapping)
    except tomllib.TOMLDecodeError as error:
        raise BillError(f"{name}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        place, words = misfit(error, tables, BillMapping)
        raise BillError(f"{name}: {place or 'the mapping'}: {words}") from error
    flaws = list(_flaws(found))
    if flaws:
        raise BillError("\n".join(f"{name}: {flaw}" for flaw in flaws))
    return msgspec.structs.replace(found, name=name.removesuffix(".toml"))


def _flaws(mapping: BillMapping) -> Iterator[str]:
    """Yield the faults of a mapping."""
    kind = KINDS.get(mapping.kind)
    if kind is None:
        yield f"kind: there is no {mapping.kind!r}; it is one of {', '.join(KINDS)}"
        return
    yield from _name_flaws(mapping, kind)
    for name, places in mapping.filled().items():
        for filled in places:
            yield from (f"columns.{name}: {flaw}" for flaw in _column_flaws(name, filled, kind))
    for number, rule in enumerate(mapping.leave_out, start=1):
        if (bool(rule.is_) + bool(rule.starts) + rule.empty) != 1:
            yield f"leave_out {number}: give one of is, starts and empty"
    if mapping.at_least and not PLUS.fullmatch(mapping.at_least):
        yield 'at_least: it is written as in "1 second"'
    for name, parts in mapping.beside.items():
        for one in (name, *parts):
            if kind.sorts.get(one) is not Sort.NUMBER:
                yield f"beside: {one} is no number of a {mapping.kind}"
    yield from _form_flaws(mapping.form)


def _name_flaws(mapping: BillMapping, kind: Kind) -> Iterator[str]:
    """Yield the missing required columns, and the given ones of no use."""
    given = {*mapping.columns, *mapping.constants}
    if not mapping.keep_names:
        for name in kind.required:
            if name not in given:
                yield f"columns: {name} is missing; a {mapping.kind} needs it"
        if kind.one_of and given.isdisjoint(kind.one_of):
            yield f"columns: one of {', '.join(kind.one_of)} is needed"
    for name in sorted(given - set(kind.columns)):
        if not name.startswith("x_"):
            yield f"columns: {name} is no column of a {mapping.kind}; x_{name} is kept beside the line"
    for name, text in mapping.constants.items():
        if text == UNKNOWN:
            yield f"constants.{name}: is still to be filled in"
    for name in sorted(set(mapping.columns) & set(mapping.constants)):
        yield f"constants: {name} stands in columns as well"


def _form_flaws(form: GivenForm) -> Iterator[str]:
    if form.decimal_mark not in ("", ".", ","):
        yield 'form.decimal_mark: it is "." or ","'
    try:
        codecs.lookup(form.encoding or "utf-8")
    except (LookupError, ValueError):
        yield f"form.encoding: there is no {form.encoding!r}; windows-1252 is what old programs write"
    try:
        if form.zone:
            zoneinfo.ZoneInfo(form.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        yield f"form.zone: there is no {form.zone!r}; write it as in Europe/Berlin"


def _column_flaws(name: str, filled: Filled, kind: Kind) -> Iterator[str]:
    ways = [filled.column, filled.join, filled.add, filled.text, filled.above, filled.in_name]
    if sum(map(bool, ways)) != 1:
        yield "give one of column, join, add, text, above and in_name"
    if filled.in_name and filled.in_name.count("*") != 1:
        yield "in_name has one *, which stands for what is wanted"
    if filled.sign not in (1, -1):
        yield "sign is 1 or -1"
    if filled.plus and not PLUS.fullmatch(filled.plus):
        yield 'plus is written as in "1 day", with seconds, minutes, hours, days or months'
    sort = kind.sorts.get(name)
    if sort is not Sort.NUMBER and (filled.sign == -1 or filled.add):
        yield "sign and add are for numbers"
    if sort is not Sort.MOMENT and filled.plus:
        yield "plus is for moments"
    units = units_of(name, sort)
    if filled.unit and filled.unit not in units:
        yield f"unit {filled.unit!r} is none of {', '.join(units) or 'a text, which has none'}"


def units_of(name: str, sort: Sort | None) -> Iterable[str]:
    """The units in which a column of ours can be given."""
    if sort is Sort.MOMENT:
        return (*EPOCHS, MONTH)
    if sort is not Sort.NUMBER:
        return ()
    if name in IN_SECONDS:
        return SECONDS
    return BYTES if name in IN_BYTES else MONEY


@cache
def shipped() -> tuple[BillMapping, ...]:
    """The mappings that ship, the most particular first."""
    found = [
        read_mapping(file.name, file.read_text(encoding="utf-8"))
        for file in _folder().iterdir()
        if file.name.endswith(".toml")
    ]
    found.sort(key=lambda one: (-len(one.recognise.columns if one.recognise else ()), one.name))
    return tuple(found)


def shipped_text(name: str) -> str:
    """The text of the mapping called `name` that ships."""
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return resources.files("inferworks.books.bills") / "mappings"
