"""Spelling of numbers, moments and currencies in a file, and the one form in which we write them.

Problem. `1,234` is a thousand and more, or a little more than one; `11/1/2026` is in November or in
January. Only the whole file tells: one cell `1,234.50` or `11/30/2026` settles it for all.

Decision. Before a file is read, its columns of numbers and moments are surveyed. A value that fits only
one reading is evidence. Numbers are decided column by column, because a program may format the cost and
not the quantity; days are decided for the file, because nobody writes two orders of a day into one. Where
all that is written is ambiguous, the other moments of the file may still tell (`11/1/2026` beside a
billing period of November). Otherwise the file is refused with one question and the option that answers
it. Plain decimals and ISO 8601 are taken as such, unless the rest of the file raises a doubt.

A file in our own spelling needs no survey. So a long one is not read twice: it is assumed to be such a
file until a cell differs (`assumed_plain`), and only then surveyed and read again.

Rejected. To go by the language of the machine, by the separator or by the sign of the currency: all of
them are wrong now and then, by a factor of a thousand or by ten months, and nobody would notice.

Everything here is pure: texts in, texts or a ValueError out.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from operator import itemgetter
from typing import Final, NamedTuple

from inferworks.books.bills.tables import Batch, worked
from inferworks.books.bills.twice import TWICE, in_zone
from inferworks.errors import BillError

NOTHING = frozenset({"", "NULL", "null"})
_SIGNS: Final = {
    "US$": frozenset({"USD"}),
    "C$": frozenset({"CAD"}),
    "CA$": frozenset({"CAD"}),
    "A$": frozenset({"AUD"}),
    "AU$": frozenset({"AUD"}),
    "$": frozenset({"USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "CLP", "COP", "ARS"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP", "EGP", "LBP"}),
    "¥": frozenset({"JPY", "CNY"}),
    "₹": frozenset({"INR"}),
    "₩": frozenset({"KRW"}),
    "₺": frozenset({"TRY"}),
    "R$": frozenset({"BRL"}),
    "zł": frozenset({"PLN"}),
}
_SIGN_TEXT = "|".join(map(re.escape, sorted(_SIGNS, key=len, reverse=True)))
_AMOUNT = re.compile(
    rf"(?P<open>\()?(?P<minus>[-+]?)(?P<sign>{_SIGN_TEXT}|[A-Z]{{3}} )?(?P<inner>[-+]?)"
    rf"(?P<digits>[0-9][0-9.,' ]*|[.,][0-9]+)(?P<exponent>[eE][-+]?[0-9]{{1,3}})?"
    rf"(?P<after> ?(?:{_SIGN_TEXT}|[A-Z]{{3}}))?(?P<late>-?)(?P<close>\))?"
)
PLAIN_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "’": "'"})
_POINT = re.compile(
    r"(?:[1-9][0-9]{0,2}(?P<by>[,' ])[0-9]{3}(?:(?P=by)[0-9]{3})*"
    r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}|[0-9]*)(?:\.[0-9]*)?"
)
_COMMA = re.compile(
    r"(?:[1-9][0-9]{0,2}(?P<by>[.' ])[0-9]{3}(?:(?P=by)[0-9]{3})*|[0-9]*)(?:,[0-9]*)?"
)
_READINGS: Final = {".": _POINT, ",": _COMMA}
"""Pattern of a number under each decimal mark: groups of one kind, none that begins with a zero."""

_KNOWN_TEXTS: Final = 10_000

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?P<offset>Z|[+-]\d\d:\d\d)?)?"
)
_DAY = re.compile(
    r"(?:(?P<year>\d{4})(?P<ys>[-/.])(?P<ym>\d{1,2})(?P=ys)(?P<yd>\d{1,2})"
    r"|(?P<cy>(?:19|20)\d\d)(?P<cm>\d\d)(?P<cd>\d\d)"
    r"|(?P<first>\d{1,2})(?P<by>[-/.])(?P<second>\d{1,2})(?P=by)(?P<last>\d{4}|\d\d)"
    r"|(?P<nd>\d{1,2})[- ](?P<nm>[A-Za-z]{3,9})\.?,?[- ](?P<ny>\d{4})"
    r"|(?P<am>[A-Za-z]{3,9})\.? (?P<ad>\d{1,2}),? (?P<ay>\d{4}))"
    r"(?:(?:T|,? +)(?P<time>\d.*))?"
)
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d{1,9})?\d*)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)? ?(?P<zone>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?)?(?: UTC)?"
)
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)


class Sort(StrEnum):
    """Sort of the cells of a column, as far as they have several spellings."""

    NUMBER = "number"
    MOMENT = "moment"
    CURRENCY = "currency"


class Order(StrEnum):
    """The order in which a day is written."""

    MONTH_FIRST = "MDY"
    DAY_FIRST = "DMY"
    YEAR_FIRST = "YMD"


class Spelling(NamedTuple):
    """Spelling of a file, where there are several ways."""

    sorts: Mapping[str, Sort] = {}
    marks: Mapping[str, str] = {}
    """The decimal mark of each column of numbers that does not write plain decimals."""
    order: Order | None = None
    zone: str = ""
    """Zone of moments without an offset, as in the IANA database; empty: UTC."""

    def canonical(self, column: str, text: str) -> str:
        """The text of a cell as we write it; ValueError with a reason when it cannot be read."""
        sort = self.sorts.get(column)
        stripped = text.strip()
        if sort is None or stripped in NOTHING:
            return text
        if sort is Sort.NUMBER:
            return number(stripped, self.marks.get(column, "."))
        if sort is Sort.MOMENT:
            return moment(stripped, self.order, self.zone)
        return stripped.upper() if len(stripped) == 3 and stripped.isalpha() else text


class GivenSpelling(NamedTuple):
    """Spelling of a file as given in a mapping or on the command line; empty: not given."""

    mark: str = ""
    order: Order | None = None
    zone: str = ""


NOTHING_GIVEN: Final = GivenSpelling()


def number(text: str, mark: str) -> str:
    """The plain decimal of a number whose decimal mark is `mark`; ValueError when it is none such."""
    if mark == "." and PLAIN_NUMBER.fullmatch(text):
        return text
    found = _amount(text)
    if found is None:
        return text
    plain = _plain(found["digits"].strip(), mark)
    minuses = [found["open"], *(found[name] == "-" for name in ("minus", "inner", "late"))]
    if sum(map(bool, minuses)) > 1:
        raise ValueError("is negative twice")
    return ("-" if any(minuses) else "") + plain + (found["exponent"] or "")


def _plain(digits: str, mark: str) -> str:
    """The digits of a number without what groups them, its decimal mark a point."""
    if not _READINGS[mark].fullmatch(digits):
        raise ValueError(f"not a number with the decimal mark {mark}")
    return re.sub(r"[.,' ]", lambda at: "." if at[0] == mark else "", digits)


def _amount(text: str) -> re.Match[str] | None:
    """The parts of a number; None when it is none, which its reader will say."""
    found = _AMOUNT.fullmatch(text.translate(_SPACES))
    if found is None or bool(found["open"]) != bool(found["close"]):
        return None
    return None if found["sign"] and found["after"] else found


def _sign(found: re.Match[str]) -> str:
    return (found["sign"] or found["after"] or "").strip()


def moment(text: str, order: Order | None, zone: str) -> str:
    """The moment as ISO 8601; ValueError when there is none such. `order` is of days like 11/1/2026."""
    plain = _ISO.fullmatch(text)
    if plain and (plain["offset"] or not zone):
        return text
    found = _DAY.fullmatch(text)
    if found is None:
        return text
    try:
        day = dt.date(*_year_month_day(found, order))
    except ValueError as error:
        reason = str(error)
        raise ValueError("no such day" if "must be in" in reason else reason) from None
    time = found["time"]
    if time is None and not zone:
        return day.isoformat()
    return _at(day, time or "00:00", zone)


def _year_month_day(found: re.Match[str], order: Order | None) -> tuple[int, int, int]:
    if found["year"]:
        return int(found["year"]), int(found["ym"]), int(found["yd"])
    if found["cy"]:
        return int(found["cy"]), int(found["cm"]), int(found["cd"])
    if found["nm"] or found["am"]:
        name = (found["nm"] or found["am"]).lower()[:3]
        if name not in _MONTHS:
            raise ValueError(f"{name!r} is no month in English")
        year, day = found["ny"] or found["ay"], found["nd"] or found["ad"]
        return int(year), _MONTHS.index(name) + 1, int(day)
    first, second, last = (int(found[name]) for name in ("first", "second", "last"))
    if len(found["last"]) == 2:
        if order is Order.YEAR_FIRST:
            return 2000 + first, second, last
        last += 2000
    elif found["by"] == ".":
        order = Order.DAY_FIRST
    if order is Order.MONTH_FIRST or first == second:
        return last, first, second
    if order is Order.DAY_FIRST:
        return last, second, first
    raise ValueError("say which is the month")


def _at(day: dt.date, time: str, zone: str) -> str:
    """The moment of `day` at `time`, in UTC unless it names an offset itself."""
    found = _TIME.fullmatch(time)
    if found is None:
        raise ValueError("no time of day; write 09:00:00, and UTC or an offset such as +01:00")
    hour = int(found["hour"])
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no such time of day")
        hour = hour % 12 + (12 if found["half"] in "Pp" else 0)
    elif found["minute"] is None:
        raise ValueError("no time of day; write 09:00")
    try:
        at = dt.datetime.combine(
            day, dt.time(hour, int(found["minute"] or 0), int(found["second"] or 0))
        )
    except ValueError:
        raise ValueError("no such time of day") from None
    fraction, offset = found["fraction"] or "", found["zone"]
    if offset is None and zone:
        return in_zone(at, fraction, zone)
    suffix = "Z"
    if offset and offset[0] in "+-":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        suffix = f"{offset[0]}{digits[:2]}:{digits[2:]}"
    return f"{at.isoformat()}{fraction}{suffix}"


class Unread(NamedTuple):
    """Reason why a text cannot be read."""

    reason: str


def spelled(batches: Iterable[Batch], spelling: Spelling) -> Iterator[Batch]:
    """`batches` with their numbers, moments and currencies as we write them."""
    for batch in batches:
        columns = dict(batch.columns)
        wrong: dict[int, dict[str, str]] = defaultdict(dict)
        for column in filter(columns.__contains__, spelling.sorts):

            def canonical(text: str, column: str = column) -> str | Unread:
                try:
                    return spelling.canonical(column, text)
                except ValueError as error:
                    return Unread(f"{text[:60]!r}: {error}")

            columns[column] = readable(worked(columns[column], canonical), column, wrong)
        yield batch._replace(columns=columns).without(wrong)


def readable(
    texts: Sequence[str | Unread], column: str, wrong: dict[int, dict[str, str]]
) -> Sequence[str]:
    """`texts` without those that cannot be read, which are put down as `wrong` with `column`."""
    for at, text in enumerate(texts):
        if isinstance(text, Unread):
            wrong[at][column] = text.reason
    return ["" if isinstance(text, Unread) else text for text in texts]


class SpelledOtherwiseError(Exception):
    """A cell is not as we write it: what was read so far does not count, the file has to be surveyed."""


def assumed_plain(batches: Iterable[Batch], sorts: Mapping[str, Sort]) -> Iterator[Batch]:
    """`batches`, their columns of these `sorts` as we write them; else SpelledOtherwiseError."""
    for batch in batches:
        for sort, is_plain in _IS_PLAIN.items():
            columns = (column for column, its in sorts.items() if its is sort)
            texts = set[str]().union(*(batch.columns.get(column, ()) for column in columns))
            together = "\n".join(texts)
            are_lines = sort in _ARE_PLAIN and together.count("\n") < len(texts)
            if are_lines and _ARE_PLAIN[sort].fullmatch(together):
                continue
            for text in map(str.strip, texts):
                if not is_plain(text) and text not in NOTHING:
                    raise SpelledOtherwiseError
        yield batch


_IS_PLAIN: Final[Mapping[Sort, Callable[[str], object]]] = {
    Sort.NUMBER: PLAIN_NUMBER.fullmatch,
    Sort.MOMENT: _ISO.fullmatch,
    Sort.CURRENCY: str.isupper,
}
_ARE_PLAIN: Final = {
    sort: re.compile(rf"(?:{one})?(?:\n(?:{one})?)*")
    for sort, one in (
        (Sort.NUMBER, PLAIN_NUMBER.pattern),
        (Sort.MOMENT, _ISO.pattern.replace("?P<offset>", "")),
    )
}
"""Texts that are plain or empty, on lines of their own: as all are in most files, and seen at once."""


class _Seen(NamedTuple):
    """A text and where it stands."""

    text: str
    place: str
    row: int

    def __str__(self) -> str:
        return f"{self.text[:40]!r} ({self.place} {self.row})"


class Survey:
    """Evidence of the spelling of a file: `add` each row, then ask for `spelling`."""

    def __init__(
        self, name: str, sorts: Mapping[str, Sort], *, doubtful: bool, stated: GivenSpelling
    ) -> None:
        """`doubtful`: the file's separator is one that goes with decimal commas."""
        self._name = name
        self._sorts = sorts
        self._doubtful = doubtful
        self._stated = stated
        self._numbers: dict[str, dict[str, _Seen]] = {}
        self._orders: dict[Order, tuple[str, _Seen]] = {}
        self._open: tuple[str, _Seen] | None = None
        self._short: tuple[str, _Seen] | None = None
        self._odd: set[str] = set()
        self._days: dict[Order | None, list[dt.date]] = {}
        self._signs: dict[str, tuple[str, _Seen]] = {}
        self._codes: set[str] = set()
        self._clock: list[_Seen] = []
        """Moments that name no offset, in a zone that was told."""
        self._known: dict[str, set[str]] = {column: set() for column in sorts}
        """Texts looked at already, by column, for most of a file repeats itself."""

    def add(self, place: str, batch: Batch) -> None:
        """Look at some rows; `place` is what their numbers count."""
        fresh: list[tuple[int, str, str]] = []
        for column in self._sorts:
            known = self._known[column]
            for at, text in enumerate(batch.columns.get(column, ())):
                if text not in known:
                    if len(known) > _KNOWN_TEXTS:
                        known.clear()
                    known.add(text)
                    fresh.append((at, column, text.strip()))
        for at, column, text in sorted(fresh, key=itemgetter(0)):
            if text in NOTHING:
                continue
            sort, seen = self._sorts[column], _Seen(text, place, batch.numbers[at])
            if sort is Sort.NUMBER:
                self._number(column, seen)
            elif sort is Sort.MOMENT:
                self._moment(column, seen)
            else:
                self._codes.add(text.upper())
                if not text.isupper():
                    self._odd.add(column)

    def spelling(self, codes: Iterable[str] = ()) -> Spelling:
        """Return the spelling of the file; `codes` are currencies that were named elsewhere as its own.

        BillError with one question when it could be written in two ways. Columns in which everything
        is as we write it are not among its `sorts`.
        """
        named = self._codes | set(codes)
        for sign, (column, seen) in self._signs.items():
            if named and named.isdisjoint(_SIGNS.get(sign, {sign})):
                raise BillError(
                    f"{self._name}, column {column}: {seen} is not in {', '.join(sorted(named)[:3])}, "
                    "the currency that the file names"
                )
        marks = {column: self._mark(column) for column in self._numbers}
        odd = {column: mark for column, mark in marks.items() if mark != "."}
        order = self._order()
        sorts = {c: sort for c, sort in self._sorts.items() if c in self._odd or c in odd}
        return Spelling(sorts, odd, order, self._stated.zone)

    def remarks(self, spelling: Spelling) -> Iterator[str]:
        """Yield remarks on a file of this spelling: times that there were twice."""
        twice: list[_Seen] = []
        for seen in self._clock:
            with suppress(ValueError):
                if TWICE.search(moment(seen.text, spelling.order, spelling.zone)):
                    twice.append(seen)
        if twice:
            more = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
            yield (
                f"{self._name}: {twice[0]}{more}: the hour that {spelling.zone} had twice, when its clocks "
                "were put back; the first is taken, or the second where a span would end before it begins. "
                "Moments with an offset leave no doubt"
            )

    def _number(self, column: str, seen: _Seen) -> None:
        found = self._numbers.setdefault(column, {})
        plain = PLAIN_NUMBER.fullmatch(seen.text) is not None
        if not plain:
            self._odd.add(column)
        if plain and ("." in found or "." not in seen.text):
            return
        amount = _amount(seen.text)
        if amount is None:
            return
        if _sign(amount):
            self._signs.setdefault(_sign(amount), (column, seen))
        digits = amount["digits"].strip()
        fits = [mark for mark, shape in _READINGS.items() if shape.fullmatch(digits)]
        if len(fits) == 1 or amount["exponent"]:
            found.setdefault(fits[0] if fits else ".", seen)
        elif fits and _plain(digits, ".") != _plain(digits, ","):
            found.setdefault("plain" if plain else "open", seen)

    def _mark(self, column: str) -> str:
        found = self._numbers[column]
        if self._stated.mark:
            return self._stated.mark
        if "." in found and "," in found:
            raise BillError(
                f"{self._name}, column {column}: {found['.']} has a decimal point and {found[',']} a "
                "decimal comma; one of them is wrong"
            )
        if "." in found or "," in found:
            return "." if "." in found else ","
        commas = self._doubtful or any("," in other for other in self._numbers.values())
        doubt = found.get("open") or (found.get("plain") if commas else None)
        if doubt is None:
            return "."
        point, comma = number(doubt.text, "."), number(doubt.text, ",")
        raise BillError(
            f"{self._name}, column {column}: {doubt} is {point} or {comma}, and no other value of the "
            "column tells; say which with --decimal-mark . or --decimal-mark , (ImportOptions or a "
            "mapping: decimal_mark), or write one of its values with decimals"
        )

    def _moment(self, column: str, seen: _Seen) -> None:
        plain = _ISO.fullmatch(seen.text)
        if not plain or (self._stated.zone and not plain["offset"]):
            self._odd.add(column)
            if self._stated.zone and len(self._clock) < _KNOWN_TEXTS:
                self._clock.append(seen)
        found = _DAY.fullmatch(seen.text)
        if found is None:
            return
        if found["last"] and len(found["last"]) == 2:
            self._short = self._short or (column, seen)
            return
        if found["first"] is None or found["by"] == ".":
            self._note_day(None, found, None)
            return
        first, second = int(found["first"]), int(found["second"])
        if first > 12 >= second:
            self._orders.setdefault(Order.DAY_FIRST, (column, seen))
        elif second > 12 >= first:
            self._orders.setdefault(Order.MONTH_FIRST, (column, seen))
        elif first != second:
            self._open = self._open or (column, seen)
            for order in (Order.MONTH_FIRST, Order.DAY_FIRST):
                self._note_day(order, found, order)

    def _note_day(self, key: Order | None, found: re.Match[str], order: Order | None) -> None:
        """Widen the span of the days read in this way."""
        try:
            day = dt.date(*_year_month_day(found, order))
        except ValueError:
            return
        span = self._days.setdefault(key, [day, day])
        span[:] = min(span[0], day), max(span[1], day)

    def _order(self) -> Order | None:
        if self._stated.order is not None:
            return self._stated.order
        if self._short:
            column, seen = self._short
            raise BillError(
                f"{self._name}, column {column}: {seen} has a year of two digits; say what comes first "
                "with --dates MDY, --dates DMY or --dates YMD (ImportOptions or a mapping: dates)"
            )
        if not (self._open or self._orders):
            return None
        if len(self._orders) == 2:
            (one, day), (other, month) = (
                self._orders[o] for o in (Order.DAY_FIRST, Order.MONTH_FIRST)
            )
            raise BillError(
                f"{self._name}: {day} in column {one} has the day first, {month} in column {other} the "
                "month; one of them is wrong"
            )
        likely = list(self._orders)
        if not likely and None in self._days:
            low, high = self._days[None]  # the span of the file's unambiguous days
            spans = self._days.items()
            likely = [o for o, (first, last) in spans if o and low <= first and last <= high]
        if len(likely) == 1:
            return likely[0]
        assert self._open is not None
        column, seen = self._open
        readings = " or ".join(
            f"{moment(seen.text, order, '')[:10]} (--dates {order})"
            for order in (Order.MONTH_FIRST, Order.DAY_FIRST)
        )
        raise BillError(
            f"{self._name}, column {column}: {seen} is {readings}, and no other day of the file tells; "
            "say which (ImportOptions or a mapping: dates)"
        )


def looks_like(text: str, sort: Sort) -> bool:
    """Return True if `text` could be a cell of a column of this sort, in any spelling."""
    stripped = text.strip()
    if sort is Sort.NUMBER:
        return _amount(stripped) is not None
    if sort is Sort.MOMENT:
        return _DAY.fullmatch(stripped) is not None
    return len(stripped) == 3 and stripped.isalpha()
