"""The bill reader seam: a file somebody sent us becomes charges, whole or not at all.

A reader never stops at the first bad cell. It notes the problem, reads on, and at the end refuses the
file with every problem in it, because a person mends a file in one go or gives up.

A reader meets text by column name; whether the file was CSV, JSON Lines or Parquet is `tables`' business.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from inferworks.books.bills.tables import EXACT_DIGITS, is_text, open_table
from inferworks.books.charge import Charge, charge_id
from inferworks.books.currency import NO_RATES, NoRateError, Rates, converted
from inferworks.errors import BillError, MoneyError
from inferworks.money import parse_pico
from inferworks.units import NS_PER_SECOND

_NOTHING = frozenset({"", "NULL", "null"})
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SHOWN = 60
_WHOLE_DIGITS = 18
_ABOUT = "about:"

Choice = TypeVar("Choice", bound=StrEnum)

Progress = Callable[[int], None]
"""Called now and then with the number of rows read so far."""


class BillFile(NamedTuple):
    """A file as it was handed in."""

    name: str
    sha256: str
    raw: bytes

    @property
    def text(self) -> str:
        """The content of a file that is text."""
        return self.raw.decode("utf-8-sig")


class BillReader(Protocol):
    """Turns one kind of file into charges."""

    kind: str
    """A short name, as it stands in the store."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether a file with these column names is of this kind."""
        ...

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, all in `currency`, converted by `rates` where they are in another.

        BillError with every bad cell when there are any. `finished` does what is common to all kinds.
        """
        ...


class Problem(NamedTuple):
    """One cell that cannot be accepted."""

    file: str
    line: int
    column: str
    value: str
    reason: str
    place: str = "line"
    """What `line` counts: lines, or the rows of a Parquet file."""

    def __str__(self) -> str:
        where = f"{self.file}, {self.place} {self.line}"
        if not self.column:
            return f"{where}: {self.reason}"
        return f"{where}, column {self.column}: {self.value[:_SHOWN]!r}: {self.reason}"


class Cells:
    """One row of a file, read cell by cell; what is wrong with a cell is noted in `problems`."""

    def __init__(
        self,
        file: str,
        line: int,
        row: Mapping[str, str],
        problems: list[Problem],
        *,
        place: str = "line",
        floats: frozenset[str] = frozenset(),
    ) -> None:
        self.line = line
        self.row = row
        self._file = file
        self._problems = problems
        self._place = place
        self._floats = floats

    def note(self, column: str, reason: str) -> None:
        """Note that the cell in `column` cannot be accepted."""
        value = self.row.get(column, "")
        problem = Problem(self._file, self.line, column, value, reason, self._place)
        self._problems.append(problem)

    def optional(self, column: str) -> str | None:
        """The text in `column`; None when it is empty, NULL or not there."""
        text = self.row.get(column, "").strip()
        return None if text in _NOTHING else text

    def first(self, *columns: str) -> str | None:
        """The text in the first of `columns` that has one."""
        return next((text for column in columns if (text := self.optional(column))), None)

    def text(self, column: str) -> str:
        """The text in `column`, which must not be empty."""
        text = self.optional(column)
        if text is None:
            self.note(column, "must not be empty")
            return ""
        return text

    def amount_pico(self, column: str) -> int:
        """The amount in `column`, in picounits."""
        text = self.text(column)
        return self._pico(column, text) if text else 0

    def optional_pico(self, column: str) -> int | None:
        """The amount in `column`, in picounits; None when it is empty."""
        text = self.optional(column)
        return None if text is None else self._pico(column, text)

    def moment_ns(self, column: str) -> int:
        """The moment in `column`, in nanoseconds since 1970-01-01 UTC."""
        return self._moment_ns(column) or 0

    def period_ns(self, start_column: str, end_column: str) -> tuple[int, int]:
        """The period between the moments in two columns; it must have a length."""
        start_ns, end_ns = self._moment_ns(start_column), self._moment_ns(end_column)
        if start_ns is not None and end_ns is not None and end_ns <= start_ns:
            self.note(end_column, f"must be after {start_column} {self.row[start_column]!r}")
        return start_ns or 0, end_ns or 0

    def whole(self, column: str) -> int:
        """The whole number in `column`, zero or more, of at most 18 digits."""
        text = self.text(column)
        if text and not (text.isascii() and text.isdigit() and len(text) <= _WHOLE_DIGITS):
            self.note(column, "must be a whole number, zero or more")
            return 0
        return int(text or "0")

    def choice(self, column: str, known: type[Choice], default: Choice) -> Choice:
        """The one of `known` that `column` names; `default` when it is empty."""
        text = self.optional(column)
        if text is None:
            return default
        if text not in set(known):
            self.note(column, f"must be one of {', '.join(known)}")
            return default
        return known(text)

    def unread(self, read: Collection[str]) -> tuple[tuple[str, str], ...]:
        """The columns that are not in `read` and not empty, by name."""
        names = sorted(name for name in self.row if name not in read)
        return tuple((name, text) for name in names if (text := self.optional(name)))

    def _moment_ns(self, column: str) -> int | None:
        """The moment in `column`; None, and noted why, when there is none."""
        text = self.text(column)
        if not text:
            return None
        try:
            return parse_moment_ns(text)
        except ValueError as error:
            self.note(column, str(error))
            return None

    def _pico(self, column: str, text: str) -> int:
        if column in self._floats and _digits(text) > EXACT_DIGITS:
            self.note(column, "a binary float with no exact text; write the column as a decimal")
            return 0
        try:
            return parse_pico(text)
        except MoneyError as error:
            self.note(column, str(error))
            return 0


def _digits(text: str) -> int:
    """The significant digits of the decimal number in `text`."""
    return len(text.lower().partition("e")[0].replace(".", "").strip("+-0"))


def open_bill(path: Path) -> BillFile:
    """The file at `path`; BillError when it cannot be read or is not UTF-8 text."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BillError(f"cannot read {path}: {error.strerror}") from error
    return bill_file(path.name, raw)


def bill_file(name: str, raw: bytes) -> BillFile:
    """The bytes `raw` as a bill called `name`."""
    try:
        if is_text(raw):
            raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BillError(
            f"{name}: not UTF-8 text at byte {error.start}; export it as UTF-8 CSV"
        ) from error
    return BillFile(name, hashlib.sha256(raw).hexdigest(), raw)


def header_of(bill: BillFile) -> list[str]:
    """The column names of `bill`; BillError when there are none or one stands twice."""
    names = list(open_table(bill.name, bill.raw).header)
    if not any(names):
        raise BillError(f"{bill.name}: the file is empty; the first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BillError(f"{bill.name}, line 1: column {twice[0]!r} stands twice")
    return names


def require_columns(bill: BillFile, required: Sequence[str]) -> None:
    """BillError unless the header of `bill` has every column in `required`."""
    header = set(header_of(bill))
    missing = [name for name in required if name not in header]
    if missing:
        raise BillError(f"{bill.name}, line 1: column {', '.join(missing)} is missing")


def read_rows(bill: BillFile, problems: list[Problem], progress: Progress) -> Iterator[Cells]:
    """The rows of `bill` under its header; blank lines are left out, misshapen rows are noted."""
    table = open_table(bill.name, bill.raw)
    for count, (number, row, problem) in enumerate(table.rows, start=1):
        if count % 1000 == 0:
            progress(count)
        if row is None:
            problems.append(Problem(bill.name, number, "", "", problem, table.place))
        else:
            yield Cells(bill.name, number, row, problems, place=table.place, floats=table.floats)


def refuse(problems: list[Problem]) -> None:
    """BillError with all `problems`, in the order of the file, when there are any."""
    if problems:
        raise BillError("\n".join(map(str, sorted(problems, key=lambda problem: problem.line))))


def finished(
    charges: Sequence[Charge],
    problems: list[Problem],
    currency_column: str,
    currency: str,
    rates: Rates,
) -> tuple[Charge, ...]:
    """`charges` as a reader hands them out: with their ids and in `currency`.

    BillError with all `problems`. A currency without a rate is one of them, named with its first day
    and not again on each of a thousand lines.
    """
    missing: set[str] = set()
    done: list[Charge] = []
    for charge in numbered(charges):
        try:
            done.append(converted(charge, currency, rates))
        except NoRateError as error:
            if charge.currency and charge.currency not in missing:
                missing.add(charge.currency)
                problems.append(
                    Problem(charge.file, charge.row, currency_column, charge.currency, str(error))
                )
        except MoneyError as error:
            problems.append(Problem(charge.file, charge.row, "", "", str(error)))
    refuse(problems)
    return tuple(done)


def numbered(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """`charges` with an ordinal added to lines of one invoice that are alike, and with their ids.

    Some bills do not number their lines. Such a line is named by what it is about, and lines about the
    same thing are told apart by an ordinal that does not depend on where they stand in the file.
    """
    alike: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    named = [_named(charge, 1) for charge in charges]
    for position, charge in enumerate(charges):
        if charge.line.startswith(_ABOUT):
            alike[charge.issuer, charge.invoice, charge.line].append(position)
    for positions in alike.values():
        ranked = sorted(positions, key=lambda at: (charges[at].other, charges[at].amount_pico, at))
        for ordinal, position in enumerate(ranked, start=1):
            named[position] = _named(charges[position], ordinal)
    return tuple(named)


def _named(charge: Charge, ordinal: int) -> Charge:
    line = charge.line if ordinal == 1 else f"{charge.line}#{ordinal}"
    return msgspec.structs.replace(
        charge, line=line, id=charge_id(charge.issuer, charge.invoice, line)
    )


def fingerprint(parts: Sequence[str | None]) -> str:
    """A short name for a line that has none: a hash of what it is about."""
    digest = hashlib.sha256(msgspec.json.encode(list(parts)))
    return _ABOUT + digest.hexdigest()[:16]


def parse_moment_ns(text: str) -> int:
    """Nanoseconds since 1970-01-01 UTC of an ISO 8601 moment; UTC unless it names an offset.

    ValueError with a reason when `text` is no such moment.
    """
    match = _MOMENT.fullmatch(text.strip())
    if not match:
        raise ValueError("not a moment; write 2026-11-21T09:00:00Z")
    date, time, fraction, zone = match.groups()
    try:
        moment = dt.datetime.fromisoformat(f"{date}T{time or '00:00'}{zone or 'Z'}")
    except ValueError:
        raise ValueError("no such date or time") from None
    seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
    moment_ns = seconds * NS_PER_SECOND + int((fraction or "0").ljust(9, "0"))
    if abs(moment_ns) >= 2**63:
        raise ValueError("must lie between the years 1678 and 2262")
    return moment_ns


def no_progress(rows: int) -> None:
    """Progress that nobody watches."""
