"""The bill reader seam: a file somebody sent us becomes charges, whole or not at all.

A reader never stops at the first bad cell. It notes the problem, reads on, and at the end refuses the
file with every problem in it, because a person mends a file in one go or gives up.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from inferworks.books.charge import Charge, charge_id
from inferworks.errors import BillError, MoneyError
from inferworks.money import parse_pico
from inferworks.units import NS_PER_SECOND

_NOTHING = frozenset({"", "NULL", "null"})
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SHOWN = 60
_ABOUT = "about:"

Progress = Callable[[int], None]
"""Called now and then with the number of rows read so far."""


class BillFile(NamedTuple):
    """A file as it was handed in."""

    name: str
    sha256: str
    text: str


class BillReader(Protocol):
    """Turns one kind of file into charges."""

    kind: str
    """A short name, as it stands in the store."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Whether a file with these column names is of this kind."""
        ...

    def read(self, bill: BillFile, currency: str, progress: Progress) -> tuple[Charge, ...]:
        """The charges of `bill`, all in `currency`; BillError with every bad cell when there are any."""
        ...


class Problem(NamedTuple):
    """One cell that cannot be accepted."""

    file: str
    line: int
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}"
        if not self.column:
            return f"{where}: {self.reason}"
        return f"{where}, column {self.column}: {self.value[:_SHOWN]!r}: {self.reason}"


class Cells:
    """One row of a file, read cell by cell; what is wrong with a cell is noted in `problems`."""

    def __init__(
        self, file: str, line: int, row: Mapping[str, str], problems: list[Problem]
    ) -> None:
        self.line = line
        self.row = row
        self._file = file
        self._problems = problems

    def note(self, column: str, reason: str) -> None:
        """Note that the cell in `column` cannot be accepted."""
        value = self.row.get(column, "")
        self._problems.append(Problem(self._file, self.line, column, value, reason))

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
        text = self.text(column)
        if not text:
            return 0
        try:
            return parse_moment_ns(text)
        except ValueError as error:
            self.note(column, str(error))
            return 0

    def period_ns(self, start_column: str, end_column: str) -> tuple[int, int]:
        """The period between the moments in two columns; it must have a length."""
        start_ns, end_ns = self.moment_ns(start_column), self.moment_ns(end_column)
        if start_ns and end_ns and end_ns <= start_ns:
            self.note(end_column, f"must be after {start_column} {self.row[start_column]!r}")
        return start_ns, end_ns

    def currency(self, column: str, expected: str) -> str:
        """The currency in `column`, which must be that of the books; noted once, not on every line."""
        text = self.text(column)
        noted = any((p.column, p.value) == (column, text) for p in self._problems)
        if text and text != expected and not noted:
            self.note(
                column, f"the books are kept in {expected}; convert the bill before importing"
            )
        return text

    def _pico(self, column: str, text: str) -> int:
        try:
            return parse_pico(text)
        except MoneyError as error:
            self.note(column, str(error))
            return 0


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
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BillError(
            f"{name}: not UTF-8 text at byte {error.start}; export it as UTF-8 CSV"
        ) from error
    return BillFile(name, hashlib.sha256(raw).hexdigest(), text)


def header_of(bill: BillFile) -> list[str]:
    """The column names of `bill`; BillError when there are none or one stands twice."""
    try:
        header = next(csv.reader(io.StringIO(bill.text), strict=True), [])
    except csv.Error as error:
        raise BillError(f"{bill.name}, line 1: not CSV: {error}") from error
    names = [name.strip() for name in header]
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
    header = header_of(bill)
    reader = csv.reader(io.StringIO(bill.text, newline=""), strict=True)
    try:
        next(reader)
        for count, values in enumerate(reader, start=1):
            if count % 1000 == 0:
                progress(count)
            if len(values) == len(header):
                yield Cells(
                    bill.name, reader.line_num, dict(zip(header, values, strict=True)), problems
                )
            elif values:
                reason = f"has {len(values)} cells where the header has {len(header)}"
                problems.append(Problem(bill.name, reader.line_num, "", "", reason))
    except csv.Error as error:
        problems.append(Problem(bill.name, reader.line_num, "", "", f"not CSV: {error}"))


def refuse(problems: list[Problem]) -> None:
    """BillError with all `problems`, in the order of the file, when there are any."""
    if problems:
        raise BillError("\n".join(map(str, sorted(problems, key=lambda problem: problem.line))))


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
