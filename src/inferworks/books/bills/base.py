"""The bill reader seam: a received file becomes charges, whole or not at all.

A reader never stops at the first bad cell. It notes the problem, reads on, and at the end refuses the
file with every problem in it, so that a person can correct the file in one go.

A reader gets text by column name; `tables` reads CSV, JSON Lines and Parquet, and `spelling` rewrites
numbers and days in one form.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from inferworks.books.bills import forms
from inferworks.books.bills.mapped import mapped
from inferworks.books.bills.mapping import BillMapping
from inferworks.books.bills.origins import Origins
from inferworks.books.bills.spelling import (
    Sort,
    Spelling,
    assumed_plain,
    spelled,
)
from inferworks.books.bills.tables import PLAIN, Batch, Form, Table, open_table, with_columns
from inferworks.books.bills.twice import settled
from inferworks.books.calendar.moments import parse_moment_ns
from inferworks.books.charge import Charge
from inferworks.books.currency import NO_RATES, NoRateError, Rates, converted
from inferworks.books.deliveries.arriving import ArrivingLines
from inferworks.books.deliveries.canonical import numbered
from inferworks.errors import BillError, MoneyError, NoBillError
from inferworks.files import regular_file
from inferworks.money import parse_pico, rounded_pico

_NOTHING = frozenset({"", "NULL", "null"})
_SHOWN = 60
_WHOLE_DIGITS = 18
_ABOUT = "about:"

Choice = TypeVar("Choice", bound=StrEnum)

Progress = Callable[[int], None]
"""Called now and then with the number of rows read so far."""


class BillFile(NamedTuple):
    """A received file, and its detected properties (`detect`)."""

    name: str
    sha256: str
    raw: bytes
    form: Form = PLAIN
    spelling: Spelling = Spelling()
    mapping: BillMapping | None = None
    """Mapping of its rows to a kind of ours, where they are not of one."""
    left_out: int = 0
    """The rows that the mapping takes for totals and the like."""
    remarks: tuple[str, ...] = ()
    """Remarks on its spelling."""
    columns: Mapping[str, str] = {}
    """Known values for columns that the file lacks, the same for each of its lines."""
    assumed: Mapping[str, Sort] = {}
    """The columns that were not surveyed: they are taken to be as we write them, until a cell is not."""

    @property
    def text(self) -> str:
        """The content of a file that is text in UTF-8."""
        return forms.opened(self.name, self.raw).read().decode("utf-8-sig")

    @property
    def is_text(self) -> bool:
        """Return True if it is text; otherwise it is Parquet."""
        return not forms.is_parquet(forms.head_of(self.name, self.raw))


class Money(NamedTuple):
    """An amount of a bill, in picounits; and as it is written, where that is finer."""

    pico: int
    exact: str | None = None


class BillReader(Protocol):
    """Turns one kind of file into charges."""

    kind: str
    """A short name, as it stands in the store."""

    def recognises(self, header: Sequence[str]) -> bool:
        """Return True if a file with these column names is of this kind."""
        ...

    def read(
        self, bill: BillFile, currency: str, progress: Progress, rates: Rates = NO_RATES
    ) -> tuple[Charge, ...]:
        """The charges of `bill`, all in `currency`, converted by `rates` where they are in another.

        BillError with every bad cell when there are any. `finished` does what is common to all kinds. The
        id of a charge is that in books that hold nothing else (`deliveries`).
        """
        ...


@runtime_checkable
class LineReader(BillReader, Protocol):
    """Reads files that may be too long to be held in memory."""

    def lines(
        self,
        bill: BillFile,
        currency: str,
        progress: Progress,
        rates: Rates = NO_RATES,
        workers: int = 0,
    ) -> Generator[ArrivingLines]:
        """Yield the lines of `read`, some at a time; raise BillError after the last. To be closed.

        Of a long file, as many processes as there are `workers` read beside this one.
        """
        ...


class Problem(NamedTuple):
    """One cell that cannot be accepted."""

    file: str
    line: int
    column: str
    value: str | None
    """Text of the cell; None when it has none."""
    reason: str
    place: str = "line"
    """Unit that `line` counts: lines, or the rows of a Parquet file."""

    def traced(self, origins: Origins) -> Problem:
        """Return the problem with the file's own column and text."""
        found = origins.of(self.line, self.column)
        return self if found is None else self._replace(column=found.column, value=found.text)

    def __str__(self) -> str:
        where = f"{self.file}, {self.place} {self.line}"
        if not self.column:
            return f"{where}: {self.reason}"
        shown = f"{self.value[:_SHOWN]!r}: " if self.value is not None else ""
        return f"{where}, column {self.column}: {shown}{self.reason}"


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
        floats: Mapping[str, int] | None = None,
        origins: Origins | None = None,
    ) -> None:
        self.line = line
        self.row = row
        self._file = file
        self._problems = problems
        self._place = place
        self._floats = floats or {}
        self._origins = origins

    def note(self, column: str, reason: str) -> None:
        """Note that the cell in `column` cannot be accepted."""
        value = self.row.get(column, "")
        problem = Problem(self._file, self.line, column, value, reason, self._place)
        self._problems.append(problem.traced(self._origins) if self._origins else problem)

    def optional(self, column: str) -> str | None:
        """The text in `column`; None when it is empty, NULL or not there."""
        return cell_text(self.row.get(column, ""))

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

    def money(self, column: str) -> Money:
        """The amount in `column`, of any precision, rounded once, half to even, to a picounit."""
        text = self.text(column)
        return self._money(column, text) if text else Money(0)

    def optional_money_pico(self, column: str) -> int | None:
        """Return the amount in picounits; None when the cell is empty."""
        text = self.optional(column)
        return None if text is None else self._money(column, text).pico

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
        optional = self.optional
        names = sorted(set(self.row).difference(read))
        return tuple([(name, text) for name in names if (text := optional(name))])

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

    def _money(self, column: str, text: str) -> Money:
        try:
            return money_in(text)
        except MoneyError as error:
            self.note(column, str(error))
            return Money(0)

    def _pico(self, column: str, text: str) -> int:
        if column in self._floats:
            significant = text.lower().partition("e")[0].replace(".", "").strip("+-0")
            if len(significant) > self._floats[column]:
                reason = "a binary float with no exact text; write the column as a decimal"
                self.note(column, reason)
                return 0
        try:
            return parse_pico(text)
        except MoneyError as error:
            self.note(column, str(error))
            return 0


def cell_text(cell: str) -> str | None:
    """The text in a cell; None when it is empty or NULL."""
    text = cell.strip()
    if text.isascii():
        return None if text in _NOTHING else text
    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=2_048)
def money_in(text: str) -> Money:
    """The amount in `text`, rounded once; MoneyError when it is none."""
    pico, rest = rounded_pico(text)
    return Money(pico, text if rest else None)


def open_bill(path: Path) -> BillFile:
    """The file at `path`; BillError when it cannot be read, or is a zip of several."""
    bills = list(bill_files(path.name, bytes_of(path)))
    if len(bills) > 1:
        raise BillError(f"{path}: holds {len(bills)} files; unpack it")
    return bills[0]


def bytes_of(path: Path) -> bytes:
    """The bytes of the file at `path`; BillError when it cannot be read, or is a pipe or device."""
    try:
        with regular_file(path) as file:
            if os.fstat(file.fileno()).st_size > forms.MOST_BYTES:
                raise BillError(f"{path}: has more than {forms.MOST_BYTES >> 30} GiB; split it")
            return file.read()
    except OSError as error:
        raise BillError(f"cannot read {path}: {error.strerror}") from error


def bill_files(name: str, raw: bytes, encoding: str = "") -> Iterator[BillFile]:
    """The bills in the file `raw`: itself, or what the zip of that name holds."""
    for member, content in forms.members(name, raw):
        yield bill_file(member, content, encoding)


def bill_file(name: str, raw: bytes, encoding: str = "") -> BillFile:
    """The bytes `raw` as a bill called `name`, in `encoding` unless a mark says otherwise.

    BillError when they are damaged, in a form that is not read here, or no text.
    """
    forms.check(name, raw, encoding)
    return BillFile(name, hashlib.sha256(raw).hexdigest(), raw, Form(encoding=encoding))


def opened(bill: BillFile) -> Table:
    """The table in `bill`, its columns ours, its numbers and moments written in the way that we read.

    Its rows end with SpelledOtherwiseError where something is not as it was `assumed`.
    """
    return as_ours(open_table(bill.name, bill.raw, bill.form), bill)


def as_ours(table: Table, bill: BillFile) -> Table:
    """`table`, of the file `bill`, as `opened` gives it: batch by batch, each by itself."""
    if bill.assumed:
        table = table._replace(batches=assumed_plain(table.batches, bill.assumed))
    try:
        if bill.mapping is not None:
            table = mapped(table, bill.mapping, bill.spelling)
        elif bill.spelling.sorts:
            table = table._replace(batches=spelled(table.batches, bill.spelling))
        return with_columns(settled(table, bill.spelling.zone), bill.columns)
    except NoBillError as error:
        raise NoBillError(f"{bill.name}: {error}") from error


def origins_of(bill: BillFile) -> Origins | None:
    """Return the origins of the cells of `bill`; None where they are as they stand in the file."""
    if bill.mapping is None and not bill.spelling.sorts:
        return None
    return Origins(lambda: open_table(bill.name, bill.raw, bill.form), bill.mapping)


def header_of(bill: BillFile) -> list[str]:
    """The column names of `bill`; BillError when there are none or one stands twice."""
    names = list(opened(bill).header)
    if not any(names):
        raise NoBillError(f"{bill.name}: the file is empty; the first line must name the columns")
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
    table, origins = opened(bill), origins_of(bill)
    for batch in read_batches(bill.name, table, problems, progress):
        for number, row, _ in batch.rows:
            assert row is not None
            yield Cells(
                bill.name,
                number,
                row,
                problems,
                place=table.place,
                floats=table.floats,
                origins=origins,
            )


def read_batches(
    name: str, table: Table, problems: list[Problem], progress: Progress
) -> Iterator[Batch]:
    """The rows of `table` in the file of this name, batch by batch; misshapen ones are noted."""
    count = 0
    for batch in table.batches:
        problems += misshapen(name, table, batch)
        yield batch._replace(misshapen=())
        count += len(batch.numbers) + len(batch.misshapen)
        progress(count)


def misshapen(name: str, table: Table, batch: Batch) -> Iterator[Problem]:
    """Yield the problems of the misshapen rows of `batch`, of `table` in the file of this name."""
    for number, _, why in batch.misshapen:
        for column, reason in why.items():
            yield Problem(name, number, column, None, reason, table.place)


def refuse(problems: list[Problem]) -> None:
    """BillError with all `problems`, each once and in the order of the file, when there are any."""
    if problems:  # a cell that two columns are made of is bad twice
        texts = map(str, sorted(problems, key=lambda problem: problem.line))
        raise BillError("\n".join(dict.fromkeys(texts)))


def finished(
    kind: str,
    charges: Iterable[Charge],
    problems: list[Problem],
    currency_column: str,
    currency: str,
    rates: Rates,
) -> tuple[Charge, ...]:
    """`charges` of a file as a reader of this `kind` hands them out: with their ids and in `currency`.

    BillError with all `problems`.
    """
    return numbered(kind, tuple(converting(charges, problems, currency_column, currency, rates)))


def converting(
    charges: Iterable[Charge],
    problems: list[Problem],
    currency_column: str,
    currency: str,
    rates: Rates,
) -> Iterator[Charge]:
    """`charges` in `currency`, one by one; BillError with all `problems` when the last was asked for."""
    conversion = Conversion(currency_column, currency, rates)
    yield from filter(None, map(conversion.of, charges))
    refuse([*problems, *conversion.problems, *conversion.unrated.values()])


class Conversion:
    """Charges of a file in the currency of the books, by its rates; what cannot be converted is noted."""

    def __init__(self, currency_column: str, currency: str, rates: Rates) -> None:
        self._column, self._currency, self._rates = currency_column, currency, rates
        self.problems: list[Problem] = []
        self.unrated: dict[str, Problem] = {}
        """Currencies without a rate: each is named with its first day and not again on a thousand lines."""

    def of(self, charge: Charge) -> Charge | None:
        """`charge` in the currency of the books; None, and noted, when it cannot be converted."""
        if charge.currency == self._currency:
            return charge
        where = charge.file, charge.row
        try:
            return converted(charge, self._currency, self._rates)
        except NoRateError as error:
            if charge.currency and charge.currency not in self.unrated:
                problem = Problem(*where, self._column, charge.currency, str(error))
                self.unrated[charge.currency] = problem
        except MoneyError as error:
            self.problems.append(Problem(*where, "", "", str(error)))
        return None


def fingerprint(parts: Sequence[str | None]) -> str:
    """Return a short name for a line that has none: a hash of its subject."""
    digest = hashlib.sha256(msgspec.json.encode(list(parts)))
    return _ABOUT + digest.hexdigest()[:16]


def no_progress(rows: int) -> None:
    """Progress that nobody watches."""
